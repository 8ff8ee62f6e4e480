//! Connections on which nothing happens, or not enough.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::e2e::harness::{Answer, Client, Gate, Raw, Setup, Upstream, channel, get, guest, logs, run, until, within};
use crate::e2e::http2::certificate;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const GOAWAY: u8 = 7;

/// Sends bytes, and gives all that comes until the gateway closes.
async fn told(gate: &Gate, sent: &[u8]) -> Vec<u8> {
    let mut raw = Raw::connect(gate.address()).await;
    within(raw.0.write_all(sent)).await.unwrap();
    rest(&mut raw).await
}

/// All that comes until the gateway closes, also by a reset.
async fn rest(raw: &mut Raw) -> Vec<u8> {
    let mut read = Vec::new();
    let _ = within(raw.0.read_to_end(&mut read)).await;
    read
}

/// The kinds of the HTTP/2 frames in it.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = bytes {
        kinds.push(*kind);
        bytes = bytes.get(9 + u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap();
    }
    kinds
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    run(async {
        let gate = Setup::echo().listener("request_headers_timeout: 100ms").start();
        for sent in ["", "PRI * HT"] {
            assert_eq!(told(&gate, sent.as_bytes()).await, b"", "{sent:?}");
        }
        for sent in ["G", "GET / HTTP/1.1\r\nhost: a\r\n", "PRONTO / HTTP/1.1\r\n"] {
            let answer = String::from_utf8(told(&gate, sent.as_bytes()).await).unwrap();
            assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{sent:?}: {answer}");
            assert!(answer.ends_with("connection: close\r\n\r\nrequest header timeout"), "{sent:?}: {answer}");
        }
        // HEADERS of a stream, without END_HEADERS.
        let open_head = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82];
        for sent in [[PREFACE, SETTINGS].concat(), [PREFACE, SETTINGS, &open_head].concat()] {
            let answer = told(&gate, &sent).await;
            assert!(kinds(&answer).contains(&GOAWAY), "{answer:?}");
        }
    });
}

#[test]
fn the_next_head_is_waited_for_no_longer_than_the_first() {
    run(async {
        let gate = Setup::echo().listener("request_headers_timeout: 100ms").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        raw.read_to("\"HTTP/1.1\"}").await;
        raw.write("GET / HTTP/1.1\r\nhost:").await;
        let answer = String::from_utf8(rest(&mut raw).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    });
}

#[test]
fn tls_and_then_silence_ends_the_connection() {
    run(async {
        let (cert, key) = certificate("silent");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let setup = Setup::echo().listener(&tls).listener("transport_socket_connect_timeout: 100ms");
        let gate = setup.listener("request_headers_timeout: 100ms").start();
        // No handshake at all, and half of one.
        assert_eq!(told(&gate, b"").await, b"");
        assert_eq!(told(&gate, b"\x16\x03\x01").await, b"");
        let mut client = Client::tls(gate.address(), &cert, &["http/1.1"]).await;
        client.closed().await;
        // A TCP listener has the limit, too.
        let text = gate_text(&tls).replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}");
        assert_eq!(told(&Gate::start(&text), b"\x16").await, b"");
    });
}

fn gate_text(tls: &str) -> String {
    Setup::echo().listener(tls).listener("transport_socket_connect_timeout: 100ms").text()
}

#[test]
fn a_connection_without_requests_is_closed() {
    run(async {
        let gate = Setup::echo().listener("idle_timeout: 100ms").start();
        let mut client = gate.h1().await;
        for _ in 0..2 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        client.closed().await;

        // A peer that does not answer the PING behind the GOAWAY is not waited for.
        let head = [&[0, 0, 6, 1, 5, 0, 0, 0, 1][..], &[0x82, 0x84, 0x86, 0x41, 1, b'a']].concat();
        // Nor is one that has begun another head.
        let open_head = [0, 0, 1, 1, 0, 0, 0, 0, 3, 0x82];
        for then in [&[][..], &open_head] {
            let answer = told(&gate, &[PREFACE, SETTINGS, &head, then].concat()).await;
            let frames = kinds(&answer);
            let data = frames.iter().position(|kind| *kind == 0).expect("the response has a body");
            assert!(frames[data..].contains(&GOAWAY), "{frames:?}");
        }

        // One that is busy is not idle.
        let upstream = Upstream::new(|_| std::future::pending());
        let setup = Setup::to(&upstream).listener("idle_timeout: 50ms").backend("request_timeout: 300ms");
        let gate = setup.start();
        for mut client in [gate.h1().await, gate.h2().await] {
            assert_eq!(client.ask(get("/")).await.status, 504);
        }
    });
}

#[test]
fn an_http2_peer_that_shows_no_life_is_left() {
    run(async {
        let upstream = Upstream::new(|_| std::future::pending());
        let setup = Setup::to(&upstream).listener("connection_keepalive: {interval: 100ms, timeout: 100ms}");
        let gate = setup.plugin("lifeless", &guest("header_tour"), "").start();
        let mut raw = Raw::connect(gate.address()).await;
        let head = [&[0, 0, 6, 1, 5, 0, 0, 0, 1][..], &[0x82, 0x84, 0x86, 0x41, 1, b'a']].concat();
        within(raw.0.write_all(&[PREFACE, SETTINGS, &head].concat())).await.unwrap();
        let frames = kinds(&rest(&mut raw).await);
        assert!(frames.contains(&6), "there was a PING: {frames:?}");
        logs::wait("lifeless", "completed").await;
        until(|| upstream.closed() == 1).await;
    });
}

/// A client whose socket takes next to nothing, and who reads nothing of a response without end.
async fn stuck(gate: &Gate) -> Raw {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut raw = Raw(within(socket.connect(gate.address())).await.unwrap());
    raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    raw
}

/// An upstream whose responses are larger than any buffer, and do not end.
fn flood() -> Upstream {
    Upstream::new(|_| async {
        let (writer, body) = channel();
        for _ in 0..1000 {
            writer.send(Bytes::from_static(&[b'x'; 64 << 10]));
        }
        tokio::spawn(async move { writer.closed().await });
        Response::new(body)
    })
}

#[test]
fn a_client_that_does_not_read_is_reset() {
    run(async {
        let upstream = flood();
        for (name, limit) in [
            ("stuck_write", "write_timeout: 200ms"),
            ("stuck_idle", "stream_idle_timeout: 200ms"),
            ("stuck_long", "max_stream_duration: 200ms"),
        ] {
            let gate = Setup::to(&upstream).backend("request_timeout: 0s").listener(limit);
            let gate = gate.plugin(name, &guest("header_tour"), "").start();
            let before = upstream.closed();
            let mut raw = stuck(&gate).await;
            until(|| upstream.closed() == before + 1).await;
            logs::wait(name, "completed").await;
            let mut read = Vec::new();
            assert!(within(raw.0.read_to_end(&mut read)).await.is_err(), "{name}: the end is a reset");
        }
    });
}

#[test]
fn a_route_has_its_limit_though_the_client_does_not_read() {
    run(async {
        let upstream = flood();
        let gate = Setup::to(&upstream).backend("request_timeout: 200ms").start();
        let _raw = stuck(&gate).await;
        until(|| upstream.closed() == 1).await;
    });
}

#[test]
fn connections_to_upstreams_are_closed_when_nobody_uses_them() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::echo();
            let gate = Setup::to(&upstream).backend(protocol).backend("idle_timeout: 100ms").start();
            let mut client = gate.h1().await;
            for asked in 1..3 {
                assert_eq!(client.ask(get("/")).await.status, 200);
                until(|| upstream.closed() == asked).await;
            }
        }
    });
}

#[test]
fn a_request_keeps_its_connection_however_long_nobody_else_asks() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            match request.uri().path() {
                "/tick" => std::future::pending().await,
                _ => {
                    let (writer, body) = channel();
                    writer.send("begin ");
                    tokio::spawn(async move {
                        // All of the request has come once the clock has ticked.
                        let _ = request.into_body().collect().await;
                        writer.send("end");
                    });
                    Response::new(body)
                }
            }
        });
        let setup = Setup::to(&upstream).backend("protocol: http2").backend("idle_timeout: 50ms");
        let gate = setup.cluster("clock", &format!("endpoints: [{}]", upstream.address));
        let gate = gate.route("match: {path: /tick}, timeout: 200ms, cluster: clock").start();
        let (writer, body) = channel();
        let mut client = gate.h2().await;
        let response = client.send(Request::post("/").body(body).unwrap()).await.unwrap();
        assert_eq!(gate.h1().await.ask(get("/tick")).await.status, 504);
        drop(writer);
        assert_eq!(Answer::read(response).await.unwrap().text(), "begin end");
    });
}

#[test]
fn an_http2_upstream_that_shows_no_life_is_left() {
    run(async {
        // The system accepts connections, and nobody reads them.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let setup = Setup::to_address(listener.local_addr().unwrap()).backend("protocol: http2");
        let gate =
            setup.backend("request_timeout: 0s, connection_keepalive: {interval: 100ms, timeout: 100ms}").start();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
    });
}
