//! Bodies stream, both ways, whatever their size.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::e2e::harness::{Client, Gate, Setup, Upstream, channel, get, guest, post, run, within};

const MIB: usize = 1 << 20;

/// An upstream that gives back each piece of the request's body as it comes.
fn mirror() -> Upstream {
    Upstream::new(|request: Request<Incoming>| async move {
        let (writer, body) = channel();
        tokio::spawn(async move {
            let mut incoming = request.into_body();
            while let Some(Ok(frame)) = incoming.frame().await {
                if let Ok(data) = frame.into_data() {
                    writer.send(data);
                }
            }
        });
        Response::new(body)
    })
}

async fn both(gate: &Gate) -> [Client; 2] {
    [gate.h1().await, gate.h2().await]
}

#[test]
fn pieces_arrive_before_the_body_ends() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = mirror();
            let gate = Setup::to(&upstream).backend(protocol).plugin("stream", &guest("header_tour"), "").start();
            for mut client in both(&gate).await {
                let (writer, body) = channel();
                writer.send("first");
                let response = client.send(Request::post("/").body(body).unwrap()).await.unwrap();
                let mut incoming = response.into_body();
                for piece in ["first", "second", "third"] {
                    if piece != "first" {
                        writer.send(piece);
                    }
                    let frame = within(incoming.frame()).await.unwrap().unwrap();
                    assert_eq!(frame.into_data().unwrap(), piece);
                }
                drop(writer);
                assert!(within(incoming.collect()).await.unwrap().to_bytes().is_empty());
            }
        }
    });
}

#[test]
fn a_mebibyte_passes_both_ways() {
    run(async {
        let data = Bytes::from((0..MIB).map(|index| (index % 251) as u8).collect::<Vec<_>>());
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = mirror();
            // Smaller than the body: nothing is held, so nothing overflows.
            let setup = Setup::to(&upstream).backend(protocol).listener("buffer_limit: 16KiB");
            let gate = setup.plugin("mebibyte", &guest("header_tour"), "").start();
            for mut client in both(&gate).await {
                let answer = client.ask(post("/", data.clone())).await;
                assert_eq!(answer.status, 200);
                assert!(answer.body == data, "{protocol} {}", answer.body.len());
            }
        }
    });
}

#[test]
fn an_upstream_may_answer_before_the_request_has_ended() {
    run(async {
        let upstream = Upstream::new(|_| async { crate::e2e::harness::reply(400, "enough") });
        let gate = Setup::to(&upstream).plugin("early", &guest("header_tour"), "").start();
        for mut client in both(&gate).await {
            let (writer, body) = channel();
            writer.send("begin");
            let response = client.send(Request::post("/").body(body).unwrap()).await.unwrap();
            assert_eq!(response.status(), 400);
            assert_eq!(within(response.into_body().collect()).await.unwrap().to_bytes(), "enough");
            drop(writer);
        }
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 400);
    });
}

#[test]
fn a_slow_reader_holds_the_upstream_back() {
    run(async {
        let upstream = Upstream::new(|_| async {
            let (writer, body) = channel();
            for _ in 0..64 {
                writer.send(vec![7_u8; MIB / 4]);
            }
            Response::new(body)
        });
        let gate = Setup::to(&upstream).plugin("slow", &guest("header_tour"), "").start();
        for mut client in both(&gate).await {
            let mut incoming = client.send(get("/")).await.unwrap().into_body();
            let mut total = 0;
            while let Some(frame) = within(incoming.frame()).await {
                total += frame.unwrap().into_data().unwrap().len();
                tokio::task::yield_now().await;
            }
            assert_eq!(total, 16 * MIB);
        }
    });
}
