use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use portcullis::model::Headers;
use portcullis_driver::body::{QueueBody, body_queue};
use portcullis_driver::{SendError, Upstreams};

use super::{Clusters, Event, Exchanges, Membership, Outbox, Outboxes, REQUESTS};
use crate::envoy::{NotStarted, Requests, Scheduler};

/// Notes what the scheduler is asked for.
#[derive(Clone, Debug, Default)]
struct Called(Arc<Mutex<Vec<u64>>>);

impl Scheduler for Called {
    fn commit(&self, event: u64) {
        self.0.lock().unwrap().push(event);
    }
}

/// Notes what Envoy is asked for. Requests to `gone` do not begin.
#[derive(Debug, Default)]
struct Envoy(Vec<String>, u64, bool);

impl Requests for Envoy {
    fn start(&mut self, cluster: &str, headers: &Headers, body: &[u8], end: bool) -> Result<u64, NotStarted> {
        if cluster == "gone" {
            return Err(NotStarted::CLUSTER);
        }
        self.1 += 1;
        let path = headers.get_str(":path").unwrap();
        self.0.push(format!("{} starts {cluster} {path} {} {end}", self.1, body.escape_ascii()));
        Ok(self.1)
    }

    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool {
        self.0.push(format!("{id} sends {} {end}", data.escape_ascii()));
        true
    }

    fn send_trailers(&mut self, id: u64, trailers: &Headers) -> bool {
        self.0.push(format!("{id} trails {}", trailers.len()));
        true
    }

    fn reset(&mut self, id: u64) {
        self.0.push(format!("{id} resets"));
    }

    /// Unless it is a connection.
    fn can_reset(&self) -> bool {
        !self.2
    }
}

struct Setup {
    clusters: Clusters,
    called: Called,
    outbox: Membership,
    exchanges: Exchanges,
    envoy: Envoy,
}

impl Setup {
    fn new() -> Self {
        let (outboxes, called) = (Outboxes::default(), Called::default());
        let outbox = outboxes.add(Outbox::new(Some(Box::new(called.clone()))));
        outbox.accept();
        let (exchanges, envoy) = Default::default();
        Self { clusters: Clusters::new(outboxes), called, outbox, exchanges, envoy }
    }

    /// Lets tasks run, and then the main thread.
    async fn turn(&mut self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.exchanges.carry_out(&mut self.envoy, self.outbox.take());
    }

    fn event(&mut self, id: u64, event: Event) {
        self.exchanges.event(&mut self.envoy, id, event);
    }
}

fn get(body: QueueBody) -> Request<QueueBody> {
    Request::get("http://a/x").body(body).unwrap()
}

fn status(status: &str) -> Headers {
    [(":status", status)].into_iter().collect()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

#[test]
fn a_request_goes_and_its_answer_comes() {
    run(async {
        let mut setup = Setup::new();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move {
            let response = clusters.send("auth", get(QueueBody::full(Bytes::from("hi")))).await?;
            let (parts, body) = response.into_parts();
            let whole = body.collect().await?;
            let trailers = whole.trailers().map_or(0, |trailers| trailers.len());
            Ok::<_, SendError>((parts.status.as_u16(), whole.to_bytes(), trailers))
        });
        setup.turn().await;
        assert_eq!(setup.envoy.0, ["1 starts auth /x hi true"]);
        assert_eq!(*setup.called.0.lock().unwrap(), [REQUESTS]);
        setup.event(1, Event::Headers { headers: status("201"), end: false });
        setup.event(1, Event::Data { data: Bytes::from("one "), end: false });
        setup.event(1, Event::Data { data: Bytes::from("two"), end: false });
        setup.event(1, Event::Trailers([("t", "1")].into_iter().collect()));
        setup.event(1, Event::Complete);
        assert_eq!(call.await.unwrap(), Ok((201, Bytes::from("one two"), 1)));
        setup.turn().await;
        assert_eq!(setup.envoy.0.len(), 1, "nothing is given up: {:?}", setup.envoy.0);
    });
}

#[test]
fn a_body_goes_as_it_comes() {
    run(async {
        let mut setup = Setup::new();
        let (sender, body) = body_queue();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("grpc", get(body)).await.map(drop) });
        setup.turn().await;
        sender.push(Bytes::from("one"));
        sender.push(Bytes::from("two"));
        setup.turn().await;
        setup.turn().await;
        sender.finish(None);
        setup.turn().await;
        assert_eq!(
            setup.envoy.0,
            ["1 starts grpc /x  false", "1 sends one false", "1 sends two false", "1 sends  true"]
        );
        setup.event(1, Event::Headers { headers: status("200"), end: false });
        assert_eq!(call.await.unwrap(), Ok(()));
        setup.turn().await;
        assert_eq!(setup.envoy.0.last().unwrap(), "1 resets", "nobody reads the rest");
    });
}

#[test]
fn a_request_that_nobody_waits_for_is_given_up() {
    run(async {
        let mut setup = Setup::new();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
        setup.turn().await;
        call.abort();
        setup.turn().await;
        assert_eq!(setup.envoy.0, ["1 starts auth /x  true", "1 resets"]);
        setup.event(1, Event::Reset(2));
    });
}

#[test]
fn a_request_that_nobody_waits_for_is_not_begun() {
    run(async {
        let mut setup = Setup::new();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
        tokio::task::yield_now().await;
        call.abort();
        setup.turn().await;
        assert!(setup.envoy.0.is_empty(), "{:?}", setup.envoy.0);
        assert_eq!(*setup.called.0.lock().unwrap(), [REQUESTS], "it was on its way");
    });
}

#[test]
fn requests_that_are_given_up_do_not_wait_for_envoys_thread() {
    run(async {
        let mut setup = Setup::new();
        for _ in 0..3 {
            let clusters = setup.clusters.clone();
            let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
            tokio::task::yield_now().await;
            call.abort();
            let _ = call.await;
        }
        assert_eq!(*setup.called.0.lock().unwrap(), [REQUESTS], "once for all");
        assert!(setup.outbox.take().is_empty());
        setup.turn().await;
        assert!(setup.envoy.0.is_empty(), "{:?}", setup.envoy.0);
    });
}

#[test]
fn requests_that_cannot_be_given_up_are_few() {
    run(async {
        let mut setup = Setup::new();
        setup.envoy.2 = true;
        for _ in 0..64 {
            let clusters = setup.clusters.clone();
            let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
            setup.turn().await;
            call.abort();
            setup.turn().await;
        }
        for (ended, expected) in [(None, Some("overflow")), (Some(1), None)] {
            if let Some(id) = ended {
                setup.event(id, Event::Headers { headers: status("200"), end: true });
                setup.event(id, Event::Complete);
            }
            let clusters = setup.clusters.clone();
            let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
            setup.turn().await;
            if expected.is_none() {
                setup.event(65, Event::Headers { headers: status("200"), end: true });
            }
            assert_eq!(call.await.unwrap().err().map(|error| error.reason), expected);
        }
        assert!(!setup.envoy.0.iter().any(|line| line.ends_with("resets")), "{:?}", setup.envoy.0);
    });
}

#[test]
fn failures_are_told_in_envoys_words() {
    run(async {
        for (cluster, event, expected) in [
            ("gone", None, "unknown cluster"),
            ("auth", Some(Event::Reset(0)), "connection failure"),
            ("auth", Some(Event::Headers { headers: Headers::new(), end: true }), "the response's head is invalid"),
        ] {
            let mut setup = Setup::new();
            let clusters = setup.clusters.clone();
            let call = tokio::spawn(async move { clusters.send(cluster, get(QueueBody::empty())).await.map(drop) });
            setup.turn().await;
            if let Some(event) = event {
                setup.event(1, event);
            }
            assert_eq!(call.await.unwrap().unwrap_err().message, expected);
        }
    });
}

#[test]
fn what_ends_with_its_configuration_fails() {
    run(async {
        let mut setup = Setup::new();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
        setup.turn().await;
        drop(setup.outbox);
        drop(setup.exchanges);
        assert_eq!(call.await.unwrap().unwrap_err().reason, "local reset");
        let late = setup.clusters.send("auth", get(QueueBody::empty())).await.map(drop);
        assert_eq!(late.unwrap_err().reason, "local reset");
    });
}

#[test]
fn a_configuration_that_is_being_made_takes_no_requests_of_others() {
    run(async {
        let mut setup = Setup::new();
        let other = Called::default();
        let made = setup.clusters.outboxes.add(Outbox::new(Some(Box::new(other.clone()))));
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
        setup.turn().await;
        // It is refused.
        drop(made);
        setup.event(1, Event::Headers { headers: status("200"), end: true });
        assert_eq!(call.await.unwrap(), Ok(()));
        assert!(other.0.lock().unwrap().is_empty());
    });
}

#[test]
fn a_plugin_may_call_out_while_its_configuration_is_made() {
    run(async {
        let (outboxes, called) = (Outboxes::default(), Called::default());
        let made = outboxes.add(Outbox::new(Some(Box::new(called.clone()))));
        let clusters = Clusters::new(outboxes);
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await.map(drop) });
        tokio::task::yield_now().await;
        assert_eq!(*called.0.lock().unwrap(), [REQUESTS]);
        drop(made);
        assert_eq!(call.await.unwrap().unwrap_err().reason, "local reset");
    });
}

#[test]
fn more_of_an_answer_than_may_wait_ends_it() {
    run(async {
        let mut setup = Setup::new();
        let clusters = setup.clusters.clone();
        let call = tokio::spawn(async move { clusters.send("auth", get(QueueBody::empty())).await });
        setup.turn().await;
        setup.event(1, Event::Headers { headers: status("200"), end: false });
        let body = call.await.unwrap().unwrap().into_body();
        let piece = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..17 {
            setup.event(1, Event::Data { data: piece.clone(), end: false });
        }
        assert_eq!(setup.envoy.0.last().unwrap(), "1 resets");
        assert_eq!(body.collect().await.map(drop).unwrap_err().message, "too large");
    });
}
