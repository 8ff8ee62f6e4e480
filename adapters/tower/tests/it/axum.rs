//! axum on real sockets, with a plugin of WebAssembly.

use std::net::SocketAddr;
use std::sync::Arc;

use ::axum::extract::{ConnectInfo, Request};
use ::axum::routing::{get, post};
use ::axum::{Router, middleware};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::engine::EngineSettings;
use portcullis::model::Plugin;
use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost};
use portcullis_tower::{ConnectionInfo, PluginLayer, ServiceUpstreams, Workers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tower::Layer;

use crate::common::Counts;

const GUESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/wasm");

/// The lines that a plugin logs.
type Log = mpsc::UnboundedReceiver<String>;

/// Waits for the end of the stream of a plugin that logs it.
async fn completed(log: &mut Log) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = log.recv().await {
        let is_last = line.ends_with("completed");
        lines.push(line);
        if is_last {
            break;
        }
    }
    lines
}

/// Serves a router behind a plugin, on a port of its own.
async fn serve(router: Router, guest: &str) -> (SocketAddr, Log) {
    let (sender, log) = mpsc::unbounded_channel();
    let engine = DefaultEngine::new(&EngineSettings::default()).unwrap();
    let code = std::fs::read(format!("{GUESTS}/{guest}.wasm")).unwrap();
    let module = Arc::new(Module::load(&engine, code.into()).unwrap());
    let host = SystemHost::new(move |line| {
        let _ = sender.send(String::from_utf8_lossy(line.message).into_owned());
    });
    let upstreams = ServiceUpstreams::new(crate::common::echo());
    let plugins = Workers::new(host, upstreams).start(&[PluginSpec::new(Plugin::new(guest), module)]).unwrap();
    tokio::spawn(plugins.clone().run());
    // Around the router, so that it sees the target as plugins leave it.
    let app = Router::new().fallback_service(PluginLayer::new(plugins).layer(router)).layer(middleware::map_request(
        |ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request| async move {
            request.extensions_mut().insert(ConnectionInfo::new(client));
            request
        },
    ));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { ::axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await });
    (address, log)
}

/// Sends a request on a socket; returns status, the field `x-plugin` and the body.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: &'static str,
) -> (u16, Option<String>, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let mut request = http::Request::builder().method(method).uri(format!("http://{address}{path}"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let response = client.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let plugin = parts.headers.get("x-plugin").map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), plugin, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_router_behind_a_plugin_of_rust() {
    let router = Router::new()
        .route("/", get(|headers: http::HeaderMap| async move { headers["x-plugin"].to_str().unwrap().to_owned() }))
        .route("/echo", post(|body: Bytes| async move { body }));
    let (address, mut log) = serve(router, "header_tour").await;
    let tour = Some("header_tour".to_owned());
    let own = ask(address, "GET", "/", &[], "").await;
    assert_eq!(own, (200, tour.clone(), "header_tour".to_owned()));
    // The plugin answers this one itself.
    let hello = ask(address, "GET", "/hello", &[], "").await;
    assert_eq!(hello, (200, tour.clone(), "Hello, World!\n".to_owned()));
    assert_eq!(ask(address, "GET", "/nowhere", &[], "").await.0, 404);
    let body: &'static str = "x".repeat(300_000).leak();
    assert_eq!(ask(address, "POST", "/echo", &[], body).await, (200, tour, body.to_owned()));
    let lines = completed(&mut log).await;
    assert!(lines.iter().any(|line| line.ends_with("-> :path: /")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_a_plugin_rewrites() {
    let router = Router::new().route("/echo", post(|body: Bytes| async move { body }));
    let (address, _log) = serve(router, "body_rewrite").await;
    let fields = [("x-body-rewrite", "append"), ("x-response-rewrite", "prepend")];
    let (status, _, body) = ask(address, "POST", "/echo", &fields, "body").await;
    assert_eq!((status, body.as_str()), (200, "[rewritten]body[rewritten]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_http2_with_trailers() {
    let router = Router::new().route("/echo", post(|request: Request| async { request.into_body() }));
    let (address, mut log) = serve(router, "header_tour").await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let trailers = http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "4".parse().unwrap())]);
    let sent = Full::new(Bytes::from("body")).with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
    let request = http::Request::post(format!("http://{address}/echo")).header("te", "trailers").body(sent).unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["x-plugin"]), (200, &"header_tour".parse().unwrap()));
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers(), Some(&trailers));
    assert_eq!(body.to_bytes(), "body");
    let lines = completed(&mut log).await;
    assert!(lines.iter().any(|line| line.ends_with(&format!("-> :authority: {address}"))), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_ends_its_stream() {
    let endless = || async { ::axum::body::Body::new(Counts::default().body(usize::MAX)) };
    let (address, mut log) = serve(Router::new().route("/endless", get(endless)), "header_tour").await;
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    client.read_exact(&mut [0; 1000]).await.unwrap();
    drop(client);
    assert!(completed(&mut log).await.iter().any(|line| line.ends_with("<- :status: 200")));
}
