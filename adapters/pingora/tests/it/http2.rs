//! HTTP/2 on both sides, with trailers.

use std::net::SocketAddr;
use std::thread;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use portcullis_core::abi::{BufferType, CallbackId, MapType, StreamType};
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};
use tokio::net::{TcpListener, TcpStream};

use crate::plugins::{
    ON_REQUEST, ON_REQUEST_BODY, ON_RESPONSE, ON_RESPONSE_BODY, answering, append, call_out, remove, scripted, tagger,
};
use crate::proxy::{Proxy, Setup};
use crate::upstream::{LARGE, Upstream};

/// Starts an upstream that echoes, and sends trailers when it is asked to.
fn start() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(echo(request, respond));
                    }
                });
            }
        });
    });
    address
}

async fn echo(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let has_trailers = request.uri().path() == "/trailers";
    let tag = request.headers().get("x-tag").cloned().unwrap_or_else(|| HeaderValue::from_static("none"));
    let body = read(request.into_body()).await.0;
    let response = Response::builder().header("x-seen-tag", tag).body(()).unwrap();
    let mut sender = respond.send_response(response, false).unwrap();
    send(&mut sender, body, !has_trailers).await;
    if has_trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        sender.send_trailers(trailers).unwrap();
    }
}

async fn read(mut body: h2::RecvStream) -> (Bytes, HeaderMap) {
    let mut all = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    (all.freeze(), body.trailers().await.unwrap().unwrap_or_default())
}

async fn send(sender: &mut h2::SendStream<Bytes>, mut data: Bytes, end: bool) {
    while !data.is_empty() {
        sender.reserve_capacity(data.len());
        let capacity = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await.unwrap().unwrap();
        let piece = data.split_to(capacity.min(data.len()));
        sender.send_data(piece, false).unwrap();
    }
    if end {
        sender.send_data(Bytes::new(), true).unwrap();
    }
}

/// Sends a request; returns the response's head, body and trailers.
fn exchange(address: SocketAddr, path: &str, body: Bytes) -> (Response<()>, Bytes, HeaderMap) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, connection) = h2::client::handshake(TcpStream::connect(address).await.unwrap()).await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://test.example{path}")).body(()).unwrap();
        let (response, mut sender) = client.send_request(request, false).unwrap();
        send(&mut sender, body, true).await;
        let (head, body) = response.await.unwrap().into_parts();
        let (body, trailers) = read(body).await;
        (Response::from_parts(head, ()), body, trailers)
    })
}

fn proxy(specs: &[portcullis::PluginSpec], mode: BodyMode) -> Proxy {
    let options = Options::default().with_response_body(mode);
    Proxy::before(Upstream::start(), start(), specs, Setup { options, is_http2: true, ..Setup::default() })
}

#[test]
fn bodies_pass_and_are_changed() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || {
            Script::new()
                .on(ON_RESPONSE, |_, _| 0)
                .on(ON_RESPONSE_BODY, |caller, args| append(caller, BufferType::HttpResponseBody, args, "!"))
        };
        let proxy = proxy(&[tagger(), scripted("appender", script)], mode);
        for body in [Bytes::from_static(b"abc"), vec![b'a'; LARGE].into(), Bytes::new()] {
            let (head, echoed, trailers) = exchange(proxy.address, "/", body.clone());
            assert_eq!(
                (&head.headers()["x-tag"], &head.headers()["x-seen-tag"]),
                (&"response".parse().unwrap(), &"request".parse().unwrap())
            );
            assert!(echoed == [&body[..], b"!"].concat(), "{mode:?}: {}", echoed.len());
            assert!(trailers.is_empty());
        }
    }
}

#[test]
fn trailers_of_responses_pass_and_are_changed() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || {
            Script::new().on(ON_RESPONSE, |_, _| 0).on(CallbackId::on_response_trailers, |caller, _| {
                remove(caller, MapType::ResponseTrailers, "x-sum");
                caller.add_header(MapType::ResponseTrailers, "x-plugin", "2")
            })
        };
        let proxy = proxy(&[scripted("sums", script)], mode);
        let (_, body, trailers) = exchange(proxy.address, "/trailers", "abc".into());
        assert_eq!(
            (&body[..], trailers.len(), &trailers["x-plugin"]),
            (&b"abc"[..], 1, &"2".parse().unwrap()),
            "{mode:?}"
        );
        let (_, _, trailers) = exchange(proxy.address, "/", "abc".into());
        assert!(trailers.is_empty());
    }
}

#[test]
fn trailers_can_be_made_and_a_body_held_until_them_if_it_is_buffered() {
    let maker = || {
        Script::new().on(ON_RESPONSE_BODY, |caller, args| {
            if args.get(2) == Some(&1) {
                assert_eq!(caller.add_header(MapType::ResponseTrailers, "x-made", "1"), 0);
            }
            0
        })
    };
    let proxy = proxy(&[scripted("maker", maker)], BodyMode::Buffer);
    let (_, body, trailers) = exchange(proxy.address, "/", "abc".into());
    assert_eq!((&body[..], &trailers["x-made"]), (&b"abc"[..], &"1".parse().unwrap()));
    let holder = || Script::new().on(ON_RESPONSE_BODY, |_, _| 1).on(CallbackId::on_response_trailers, |_, _| 0);
    let proxy = self::proxy(&[scripted("holder", holder)], BodyMode::Buffer);
    let (_, body, trailers) = exchange(proxy.address, "/trailers", "abc".into());
    assert_eq!((&body[..], &trailers["x-sum"]), (&b"abc"[..], &"1".parse().unwrap()));
}

#[test]
fn a_local_response_ends() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || {
            Script::new().on(ON_RESPONSE, |caller, _| {
                caller.local_response(418, "a teapot");
                1
            })
        };
        let proxy = proxy(&[scripted("teapot", script)], mode);
        let (head, body, _) = exchange(proxy.address, "/", "abc".into());
        assert_eq!((head.status().as_u16(), &body[..]), (418, &b"a teapot"[..]), "{mode:?}");
    }
}

#[test]
fn callouts_go_over_http2_too() {
    let script = || {
        let script = answering(Script::new(), |caller| {
            let status = caller.header(MapType::HttpCallResponseHeaders, ":status").unwrap_or_default();
            let tag = caller.header(MapType::HttpCallResponseHeaders, "x-seen-tag").unwrap_or_default();
            caller.log(&format!("{status} {tag}"));
            caller.continue_stream(StreamType::Request);
        });
        script.on(ON_REQUEST, |caller, _| i32::from(call_out(caller, "h2", &[("x-tag", "callout")])))
    };
    let proxy = Proxy::with(&[scripted("caller", script)], Setup { h2: start(), shards: 1, ..Setup::default() });
    for times in 1..4 {
        assert_eq!(crate::http1::exchange(proxy.address, crate::http1::get("/empty", "")).status(), 200);
        proxy.wait_for("200 callout", times);
    }
}

#[test]
fn a_request_is_answered_while_its_body_comes() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let script = || {
            Script::new().on(ON_REQUEST_BODY, |caller, _| {
                caller.local_response(418, "a teapot");
                1
            })
        };
        let proxy = proxy(&[scripted("teapot", script)], mode);
        let answer = crate::http1::exchange(proxy.address, crate::http1::post("/", "", b"abc"));
        assert_eq!((answer.status(), answer.text().as_str()), (418, "a teapot"), "{mode:?}");
    }
}
