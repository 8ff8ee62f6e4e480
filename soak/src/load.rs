//! Clients at a constant rate. A request is sent once, when it is due; one that has no answer is lost, unless its connection had
//! been announced to close: by `connection: close` in the answer before, or by GOAWAY without it among the streams.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::fleet::{PLUGINS, is_word};
use crate::tally::{Counts, Tally};

/// Requests at a time on a connection of HTTP/2.
const STREAMS: u32 = 8;

/// The time after which a request has no answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// All clients.
pub(crate) struct Load {
    shared: Rc<Shared>,
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<()>>,
}

/// State that clients share.
struct Shared {
    address: SocketAddr,
    tally: RefCell<Arc<Tally>>,
    stopped: watch::Receiver<bool>,
}

impl Load {
    /// Starts clients that send `rate` requests a second together.
    pub(crate) fn start(address: SocketAddr, rate: u32, connections: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let shared = Rc::new(Shared { address, tally: RefCell::default(), stopped });
        let of_http2 = (connections / 8).max(1);
        let senders = connections + of_http2 * STREAMS;
        let period = Duration::from_secs(senders.into()) / rate.max(1);
        let beats = Beats { period, senders };
        let mut clients = Vec::new();
        for number in 0..connections {
            clients.push(spawn_local(http1(Rc::clone(&shared), beats.of(number), number)));
        }
        for connection in 0..of_http2 {
            let first = connections + connection * STREAMS;
            clients.push(spawn_local(http2(Rc::clone(&shared), beats, first)));
        }
        Self { shared, stop, clients }
    }

    /// Waits until all clients have sent a few requests.
    pub(crate) async fn settle(&self) {
        while self.tally().answered() < 500 && !*self.shared.stopped.borrow() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Notes results in another tally from now on.
    pub(crate) fn note(&self, tally: Arc<Tally>) {
        self.shared.tally.replace(tally);
    }

    /// Returns the results since the last [`Self::note`].
    pub(crate) fn tally(&self) -> Counts {
        self.shared.tally.borrow().counts()
    }

    /// Stops all clients when they have their answers; returns the results since the last [`Self::note`].
    pub(crate) async fn stop(self) -> Counts {
        let _ = self.stop.send(true);
        for client in self.clients {
            let _ = client.await;
        }
        let tally = self.shared.tally.borrow();
        tally.counts()
    }
}

/// When requests are due.
#[derive(Clone, Copy)]
struct Beats {
    period: Duration,
    senders: u32,
}

impl Beats {
    /// Returns the times of one of the senders, which take turns.
    fn of(self, sender: u32) -> Interval {
        let mut beats = interval_at(Instant::now() + self.period / self.senders * sender, self.period);
        // A request that is late was due all the same: its latency counts from then.
        beats.set_missed_tick_behavior(MissedTickBehavior::Burst);
        beats
    }
}

impl Shared {
    fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally.borrow())
    }

    fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    async fn connect(&self) -> Option<TcpStream> {
        match tokio::time::timeout(PATIENCE, TcpStream::connect(self.address)).await {
            Ok(Ok(tcp)) => Some(tcp),
            Ok(Err(error)) => self.no_connection(&error.to_string()).await,
            Err(_) => self.no_connection("no answer").await,
        }
    }

    async fn no_connection(&self, why: &str) -> Option<TcpStream> {
        self.tally().lost(format!("cannot connect: {why}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        None
    }

    /// Notes an answer to a request that was due at a time.
    fn judge(&self, due: Instant, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
        let by = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        match status == StatusCode::OK && by("x-plugin") == "c" && is_of_a_plugin(body, path) {
            true => self.tally().answered(due.elapsed()),
            false => self.tally().wrong(format!("{path}: {status}: {}", String::from_utf8_lossy(body))),
        }
    }
}

/// Returns whether the echo of a request has the header that a plugin sets: the word of a configuration, and the path.
fn is_of_a_plugin(body: &[u8], path: &str) -> bool {
    let Ok(echo) = serde_json::from_slice::<serde_json::Value>(body) else { return false };
    let header = echo.pointer("/headers/x-c-plugin").and_then(|value| value.as_str());
    header.and_then(|header| header.split_once(' ')).is_some_and(|(word, of)| is_word(word) && of == path)
}

/// Returns the path of a request: to each plugin in turn.
fn path(number: u32) -> String {
    format!("/p{:02}/{number}", number as usize % PLUGINS)
}

/// Sends requests one after the other, on one connection as long as that lasts.
async fn http1(shared: Rc<Shared>, mut beats: Interval, mut number: u32) {
    while !shared.is_stopped() {
        let Some(tcp) = shared.connect().await else { continue };
        let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await else {
            shared.tally().lost("no HTTP/1.1".to_owned());
            continue;
        };
        let driving = spawn_local(connection);
        while !shared.is_stopped() {
            let due = beats.tick().await;
            if sender.is_closed() || sender.ready().await.is_err() {
                shared.tally().closed();
                break;
            }
            number = number.wrapping_add(7);
            let path = path(number);
            let request = Request::get(&path).header("host", "soak").body(Empty::<Bytes>::new());
            let Ok(request) = request else { return };
            let answer = async {
                let answer = sender.send_request(request).await?;
                let (head, body) = answer.into_parts();
                Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
            };
            let (head, body) = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    shared.tally().lost(format!("{path}: {error:?}"));
                    break;
                }
                Err(_) => {
                    shared.tally().lost(format!("{path}: no answer"));
                    break;
                }
            };
            shared.judge(due, &path, head.status, &head.headers, &body);
            if head.headers.get("connection").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close")) {
                shared.tally().announced();
                break;
            }
        }
        driving.abort();
    }
}

/// Sends several requests at a time on one connection as long as that lasts.
async fn http2(shared: Rc<Shared>, beats: Beats, first: u32) {
    while !shared.is_stopped() {
        let Some(tcp) = shared.connect().await else { continue };
        let Ok((sender, connection)) = h2::client::handshake(tcp).await else {
            shared.tally().lost("no HTTP/2".to_owned());
            continue;
        };
        let driving = spawn_local(connection);
        let streams = (first..first + STREAMS)
            .map(|number| spawn_local(stream(Rc::clone(&shared), sender.clone(), beats.of(number), number)));
        for stream in streams.collect::<Vec<_>>() {
            let _ = stream.await;
        }
        driving.abort();
    }
}

/// Sends requests one after the other, each as a stream of a connection.
async fn stream(shared: Rc<Shared>, sender: h2::client::SendRequest<Bytes>, mut beats: Interval, mut number: u32) {
    let mut sender = sender;
    while !shared.is_stopped() {
        let due = beats.tick().await;
        sender = match sender.ready().await {
            Ok(sender) => sender,
            Err(error) => return ended(&shared, "ready", &error, false),
        };
        number = number.wrapping_add(7);
        let path = path(number);
        let Ok(request) = Request::get(format!("http://soak{path}")).body(()) else { return };
        let answer = async {
            let (answer, _) = sender.send_request(request, true)?;
            let (head, mut body) = answer.await?.into_parts();
            let mut bytes = Vec::new();
            while let Some(part) = body.data().await {
                let part = part?;
                bytes.extend_from_slice(&part);
                body.flow_control().release_capacity(part.len())?;
            }
            Ok::<_, h2::Error>((head, bytes))
        };
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok((head, body))) => shared.judge(due, &path, head.status, &head.headers, &body),
            Ok(Err(error)) => return ended(&shared, &path, &error, true),
            Err(_) => {
                shared.tally().lost(format!("{path}: no answer"));
                return;
            }
        }
    }
}

/// Notes the end of a connection. After GOAWAY, streams that the gateway has not seen fail so: they were announced.
fn ended(shared: &Shared, what: &str, error: &h2::Error, was_sent: bool) {
    match error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) {
        true => shared.tally().announced(),
        false if was_sent => shared.tally().lost(format!("{what}: {error:?}")),
        false => shared.tally().closed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_plugin_of_ours_is_wrong() {
        let echo = |word: &str| format!(r#"{{"path":"/p01/5","headers":{{"x-c-plugin":"{word} /p01/5"}}}}"#);
        assert!(is_of_a_plugin(echo("w0").as_bytes(), "/p01/5"));
        assert!(is_of_a_plugin(echo("w1376").as_bytes(), "/p01/5"));
        assert!(!is_of_a_plugin(echo("w1376").as_bytes(), "/p01/6"));
        assert!(!is_of_a_plugin(echo("broken").as_bytes(), "/p01/5"));
        assert!(!is_of_a_plugin(br#"{"path":"/p01/5","headers":{}}"#, "/p01/5"));
    }
}
