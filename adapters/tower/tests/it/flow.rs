//! Messages that pass: heads, bodies in pieces, trailers, pauses.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Channel, StreamBody};
use portcullis_core::abi::{CallbackId, MapType, StreamType};
use portcullis_core::testing::{FakeHost, Script};
use tower::ServiceExt;

use crate::common::{
    AnyBody, Notes, ask, behind, call_out, echo, empty, full, plugins, remove_header, request, service, set_header,
};

fn tags() -> Script {
    Script::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            caller.add_header(MapType::RequestHeaders, "x-request", "seen");
            0
        })
        .on(CallbackId::on_response_headers, |caller, _| {
            caller.add_header(MapType::ResponseHeaders, "x-response", "seen");
            0
        })
}

#[tokio::test]
async fn heads_pass_with_what_plugins_add_and_extensions_pass_by() {
    #[derive(Clone, Debug, PartialEq)]
    struct Mark(u8);
    let inner = service(|request| async move {
        assert_eq!(request.headers()["x-request"], "seen");
        assert_eq!(request.uri(), "/a?b");
        assert_eq!(request.headers()["host"], "a.example");
        assert_eq!(request.extensions().get(), Some(&Mark(1)));
        let mut response = Response::builder().status(201).header("x-own", "1").body(full("hi"))?;
        response.extensions_mut().insert(Mark(2));
        Ok(response)
    });
    let mut asked = request("GET", "/a?b", empty());
    asked.extensions_mut().insert(Mark(1));
    let response = behind(&FakeHost::new(), tags, inner).oneshot(asked).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Mark(2)));
    assert_eq!((response.status().as_u16(), &response.headers()["x-response"]), (201, &"seen".parse().unwrap()));
    assert_eq!(response.headers()["x-own"], "1");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hi");
}

#[tokio::test]
async fn extensions_of_an_answer_do_not_outlive_its_status() {
    #[derive(Clone, Debug, PartialEq)]
    struct Mark;
    let inner = || {
        service(|_| async {
            let mut response = Response::new(full("hi"));
            response.extensions_mut().insert(Mark);
            Ok(response)
        })
    };
    let hides = || {
        Script::new().on(CallbackId::on_response_headers, |caller, _| {
            set_header(caller, MapType::ResponseHeaders, ":status", "404");
            0
        })
    };
    for (script, status, expected) in [(hides as fn() -> Script, 404, None), (tags, 200, Some(&Mark))] {
        let response = behind(&FakeHost::new(), script, inner()).oneshot(request("GET", "/", empty())).await.unwrap();
        assert_eq!((response.status().as_u16(), response.extensions().get()), (status, expected));
    }
}

#[tokio::test]
async fn an_expectation_is_met_or_refused_and_not_passed_on() {
    let inner = service(|request| async move {
        assert!(!request.headers().contains_key("expect"));
        Ok(Response::new(full("unexpected")))
    });
    let service = behind(&FakeHost::new(), tags, inner);
    for (expectation, status) in [("100-continue", 200), ("100-continue, tea", 417)] {
        let mut asked = request("POST", "/", full("body"));
        asked.headers_mut().insert("expect", expectation.parse().unwrap());
        assert_eq!(ask(service.clone(), asked).await.status.as_u16(), status, "{expectation}");
    }
}

/// A plugin rewrites the target, which is read anew then.
fn moves() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        set_header(caller, MapType::RequestHeaders, ":path", "/moved");
        set_header(caller, MapType::RequestHeaders, ":authority", "b.example");
        0
    })
}

#[tokio::test]
async fn a_rewritten_target_keeps_its_form() {
    let inner = service(|request| async move {
        let host = request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        Ok(Response::new(full(format!("{} {host:?} {:?}", request.uri(), request.version()))))
    });
    let service = behind(&FakeHost::new(), moves, inner);
    let response = ask(service.clone(), request("GET", "/a", empty())).await;
    assert_eq!(response.body, r#"/moved Some("b.example") HTTP/1.1"#);
    let mut h2 = request("GET", "https://a.example/a", empty());
    *h2.version_mut() = http::Version::HTTP_2;
    assert_eq!(ask(service, h2).await.body, "https://b.example/moved None HTTP/2.0");
}

#[tokio::test]
async fn pieces_of_both_bodies_pass_while_others_are_still_to_come() {
    let (mut sender, body) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let service = behind(&FakeHost::new(), Script::new, echo());
    let response = service.oneshot(request("POST", "/", body.boxed())).await.unwrap();
    let mut answer = response.into_body();
    for piece in ["one", "two"] {
        sender.send_data(Bytes::from(piece)).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
    }
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "2".parse().unwrap())]);
    sender.send_trailers(trailers.clone()).await.unwrap();
    assert_eq!(answer.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(answer.frame().await.is_none());
}

/// Changes the trailers of both messages: those of requests are emptied, those of responses get one more.
fn trailers() -> Script {
    Script::new()
        .on(CallbackId::on_request_trailers, |caller, _| {
            remove_header(caller, MapType::RequestTrailers, "x-sum");
            0
        })
        .on(CallbackId::on_response_trailers, |caller, _| {
            caller.add_header(MapType::ResponseTrailers, "x-more", "1");
            0
        })
}

fn with_trailers(data: &'static str) -> AnyBody {
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "2".parse().unwrap())]);
    let frames = [Frame::data(Bytes::from(data)), Frame::trailers(trailers)];
    StreamBody::new(tokio_stream(frames)).boxed()
}

fn tokio_stream(
    frames: [Frame<Bytes>; 2],
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, std::convert::Infallible>> {
    futures_util::stream::iter(frames.into_iter().map(Ok))
}

#[tokio::test]
async fn plugins_change_trailers_of_both_messages() {
    let inner = service(|request| async move {
        let whole = request.into_body().collect().await?;
        assert_eq!(whole.trailers(), None);
        assert_eq!(whole.to_bytes(), "up");
        Ok(Response::new(with_trailers("down")))
    });
    let response = ask(behind(&FakeHost::new(), trailers, inner), request("POST", "/", with_trailers("up"))).await;
    let trailers = response.trailers.unwrap();
    assert_eq!((&trailers["x-sum"], &trailers["x-more"]), (&"2".parse().unwrap(), &"1".parse().unwrap()));
    assert_eq!((response.body.as_str(), response.cut), ("down", None));
}

/// Holds heads of both messages until `auth` has answered for each.
fn asks_auth() -> Script {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI32, Ordering};
    let stream = Arc::new(AtomicI32::new(0));
    let (request, response) = (Arc::clone(&stream), Arc::clone(&stream));
    Script::new()
        .on(CallbackId::on_request_headers, move |caller, args| {
            request.store(args[0], Ordering::Relaxed);
            call_out(caller, "/request");
            1
        })
        .on(CallbackId::on_response_headers, move |caller, args| {
            response.store(args[0], Ordering::Relaxed);
            call_out(caller, "/response");
            1
        })
        .on(CallbackId::on_http_call_response, move |caller, _| {
            let body = caller.buffer(portcullis_core::abi::BufferType::HttpCallResponseBody).unwrap();
            let status = caller.header(MapType::HttpCallResponseHeaders, ":status").unwrap();
            caller.set_effective(stream.load(Ordering::Relaxed));
            let text = format!("{status} {}", String::from_utf8(body).unwrap());
            if text.ends_with("/request") {
                caller.add_header(MapType::RequestHeaders, "x-auth", &text);
                caller.continue_stream(StreamType::Request);
            } else {
                caller.add_header(MapType::ResponseHeaders, "x-auth", &text);
                caller.continue_stream(StreamType::Response);
            }
            0
        })
}

#[tokio::test]
async fn plugins_hold_heads_until_their_callouts_are_answered() {
    let notes = Notes::default();
    let seen = notes.clone();
    let inner = service(move |request| {
        seen.add(request.headers()["x-auth"].to_str().unwrap());
        async { Ok(Response::new(full("hi"))) }
    });
    let host = FakeHost::new().with_upstream("auth");
    let plugins = plugins(&host, asks_auth);
    let running = tokio::spawn(plugins.clone().run());
    let service = tower::Layer::layer(&portcullis_tower::PluginLayer::new(plugins), inner);
    let response = ask(service, request("GET", "/", empty())).await;
    assert_eq!(notes.all(), ["201 /request"]);
    assert_eq!((response.field("x-auth"), response.body.as_str()), (Some("201 /response"), "hi"));
    running.abort();
}
