//! Upgrades and CONNECT: plugins see the heads, and nothing of what passes through the tunnel.

use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::testing::{FakeHost, Script};
use portcullis_tower::QueueBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use crate::common::{
    AnyBody, AnyService, Notes, ask, behind, empty, full, logs_ends, remove_header, request, service, set_header,
};

/// Logs what it sees, and denies `/denied`.
fn sees() -> Script {
    Script::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            let path = caller.header(MapType::RequestHeaders, ":path").unwrap();
            let upgrade = caller.header(MapType::RequestHeaders, "upgrade").ok();
            caller.log(&format!("request {path} {upgrade:?}"));
            if path != "/denied" {
                return 0;
            }
            caller.local_response(403, "no");
            1
        })
        .on(CallbackId::on_response_headers, |caller, args| {
            let status = caller.header(MapType::ResponseHeaders, ":status").unwrap();
            caller.log(&format!("response {status} end {}", args[2]));
            0
        })
        .on(CallbackId::on_response_body, |caller, _| {
            caller.log("response body");
            0
        })
        .on(CallbackId::on_log, |caller, _| {
            caller.log("log");
            0
        })
}

/// The other end of a tunnel, as hyper hands it out.
#[derive(Clone, Debug, PartialEq)]
struct OnUpgrade;

/// Agrees to whatever tunnel it is asked for.
fn agrees(notes: &Notes) -> AnyService {
    let notes = notes.clone();
    service(move |request: Request<QueueBody>| {
        let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let line = format!("{} {} {:?} {:?}", request.method(), request.uri(), field("connection"), field("upgrade"));
        notes.add(line);
        assert_eq!(request.extensions().get(), Some(&OnUpgrade));
        async move {
            if request.method() == "CONNECT" {
                return Ok(Response::new(full("not a body")));
            }
            let agreed = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "websocket");
            let mut answer = agreed.header("sec-websocket-accept", "x").body(full("not a body"))?;
            answer.extensions_mut().insert(OnUpgrade);
            Ok(answer)
        }
    })
}

fn upgrade(path: &str) -> Request<AnyBody> {
    let mut request = request("GET", path, empty());
    request.headers_mut().insert("connection", "keep-alive, Upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    request.extensions_mut().insert(OnUpgrade);
    request
}

#[tokio::test]
async fn an_upgrade_passes_plugins_with_its_heads_alone() {
    let (host, notes) = (FakeHost::new(), Notes::default());
    let service = behind(&host, sees, agrees(&notes));
    let response = service.clone().oneshot(upgrade("/chat")).await.unwrap();
    let field = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
    assert_eq!((field("connection"), field("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!((response.status().as_u16(), field("sec-websocket-accept")), (101, Some("x")));
    assert!(http_body::Body::is_end_stream(response.body()));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    assert_eq!(notes.all(), [r#"GET /chat Some("upgrade") Some("websocket")"#]);
    assert_eq!(host.messages(), [r#"request /chat Some("websocket")"#, "response 101 end 1", "log"]);
}

#[tokio::test]
async fn plugins_refuse_an_upgrade_as_any_request() {
    let (host, notes) = (FakeHost::new(), Notes::default());
    let response = ask(behind(&host, sees, agrees(&notes)), upgrade("/denied")).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (403, "no"));
    assert_eq!((response.field("connection"), response.field("upgrade")), (None, None));
    assert!(notes.all().is_empty());
}

/// Takes the upgrade out of the requests to `/plain`, asks for another one at `/other`, and adds one to those that ask for none.
fn decides() -> Script {
    Script::new().on(CallbackId::on_request_headers, |caller, _| {
        match caller.header(MapType::RequestHeaders, ":path").unwrap().as_str() {
            "/plain" => remove_header(caller, MapType::RequestHeaders, "upgrade"),
            path => set_header(caller, MapType::RequestHeaders, "upgrade", path.trim_start_matches('/')),
        }
        0
    })
}

#[tokio::test]
async fn plugins_decide_whether_an_upgrade_is_asked_for() {
    let asked = |request: Request<AnyBody>| async {
        let notes = Notes::default();
        let heard = notes.clone();
        let inner = service(move |request: Request<QueueBody>| {
            let field = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            heard.add(format!("{:?} {:?}", field("connection"), field("upgrade")));
            async { Ok(Response::new(empty())) }
        });
        ask(behind(&FakeHost::new(), decides, inner), request).await;
        notes.all().concat()
    };
    assert_eq!(asked(upgrade("/plain")).await, "None None");
    assert_eq!(asked(upgrade("/other")).await, "None None");
    assert_eq!(asked(upgrade("/websocket")).await, r#"Some("upgrade") Some("websocket")"#);
    assert_eq!(asked(request("GET", "/websocket", empty())).await, "None None");
}

/// Answers in the place of a 101.
fn replaces() -> Script {
    Script::new().on(CallbackId::on_response_headers, |caller, _| {
        caller.local_response(403, "no tunnel");
        1
    })
}

#[tokio::test]
async fn an_answer_that_plugins_replace_opens_no_tunnel() {
    let service = behind(&FakeHost::new(), replaces, agrees(&Notes::default()));
    let response = service.oneshot(upgrade("/chat")).await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    let field = |name| response.headers().get(name);
    assert_eq!((field("connection"), field("upgrade")), (None, None));
    assert_eq!(response.extensions().get::<OnUpgrade>(), None);
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "no tunnel");
}

#[tokio::test]
async fn connect_passes_in_its_own_form() {
    for (target, version, expected) in [
        ("b.example:443", Version::HTTP_11, "CONNECT b.example:443 None None"),
        ("https://b.example/chat", Version::HTTP_2, "CONNECT https://b.example/chat None None"),
    ] {
        let (host, notes) = (FakeHost::new(), Notes::default());
        let mut connect = request("CONNECT", target, empty());
        *connect.version_mut() = version;
        if version == Version::HTTP_2 {
            connect.headers_mut().remove("host");
        }
        connect.extensions_mut().insert(OnUpgrade);
        let response = ask(behind(&host, sees, agrees(&notes)), connect).await;
        assert_eq!((response.status.as_u16(), response.body.as_str(), response.cut), (200, "", None));
        assert_eq!(notes.all(), [expected]);
        assert_eq!(host.messages().len(), 3, "two heads and the end: {:?}", host.messages());
        assert_eq!(host.messages().last().map(String::as_str), Some("log"));
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_taken_up_is_a_request_as_any_other() {
    let inner = service(|_| async { Ok(Response::new(full("plain"))) });
    let script = || Script::new();
    let response = ask(behind(&FakeHost::new(), script, inner), upgrade("/chat")).await;
    assert_eq!((response.status.as_u16(), response.body.as_str()), (200, "plain"));
    assert_eq!((response.field("connection"), response.field("upgrade")), (None, None));
}

#[tokio::test]
async fn a_tunnel_that_nobody_asked_for_is_an_invalid_answer() {
    let mut connect = request("CONNECT", "b.example:443", empty());
    connect.extensions_mut().insert(OnUpgrade);
    let mut h2c = upgrade("/chat");
    h2c.headers_mut().insert("upgrade", "h2c".parse().unwrap());
    for (request, granted) in [
        (request("GET", "/chat", empty()), "websocket"),
        (connect, "websocket"),
        (h2c, "h2c"),
        (upgrade("/chat"), "h2c"),
    ] {
        let host = FakeHost::new();
        let inner = service(move |_| async move {
            let switches = Response::builder().status(101).header("connection", "upgrade").header("upgrade", granted);
            Ok(switches.body(empty())?)
        });
        let response = ask(behind(&host, logs_ends, inner), request).await;
        assert_eq!(response.status.as_u16(), 502);
        let flag = portcullis_core::model::response_flag::UPSTREAM_PROTOCOL_ERROR;
        let details = "upstream_reset_before_response_started{protocol_error}";
        assert_eq!(host.messages(), [format!("log {details} {flag}")]);
    }
}

/// Agrees to a tunnel, and sends back the first four bytes that come through it.
fn sends_back() -> AnyService {
    service(|mut request: Request<QueueBody>| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut bytes = [0; 4];
            io.read_exact(&mut bytes).await.unwrap();
            io.write_all(&bytes).await.unwrap();
        });
        if request.method() == "CONNECT" {
            return Ok(Response::new(empty()));
        }
        let agreed = Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        Ok(agreed.body(empty())?)
    })
}

#[tokio::test]
async fn bytes_of_a_tunnel_pass_by_in_a_server_of_hyper() {
    for (head, expected) in [
        ("GET /chat HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n", "HTTP/1.1 101"),
        ("CONNECT b.example:443 HTTP/1.1\r\nhost: b.example:443\r\n\r\n", "HTTP/1.1 200"),
    ] {
        let host = FakeHost::new();
        let (mut client, server) = tokio::io::duplex(1024);
        let service = TowerToHyperService::new(behind(&host, sees, sends_back()));
        let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::spawn(server.with_upgrades());
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(client.read_u8().await.unwrap());
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(expected), "{answer}");
        assert_eq!(answer.contains("upgrade: echo"), expected.ends_with("101"), "{answer}");
        client.write_all(b"ping").await.unwrap();
        let mut bytes = [0; 4];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"ping");
        assert_eq!(host.messages().last().map(String::as_str), Some("log"));
    }
}
