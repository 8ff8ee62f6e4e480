//! The transport over real sockets: pooling, retrying, trailers and TLS.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use portcullis_gateway::net::echo::echo;
use portcullis_gateway::net::exec::LocalExec;
use portcullis_gateway::net::io::{Facts, Stream};
use portcullis_gateway::net::listen::{Listener, bind};
use portcullis_gateway::net::pool::{Cluster, ClusterConfig, UpstreamBody, UpstreamError, UpstreamProtocol};
use portcullis_gateway::net::queue::{HIGH_WATER, QueueBody, body_queue};
use portcullis_gateway::net::tls;
use serde_json::Value;
use tokio::sync::Barrier;
use tokio::task::{AbortHandle, spawn_local};

use UpstreamProtocol::{Http1, Http2};

// --- pooling ---------------------------------------------------------------------------------------------------------

#[test]
fn http1_connections_are_used_again() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http1);
        for _ in 0..5 {
            json(cluster.send(get("/")).await.unwrap()).await;
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http1_connections_are_used_again_without_asking_for_the_end() {
    local(async {
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            let (sender, body) = body_queue();
            sender.push("data".into());
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("1"));
            sender.finish((request.uri().path() == "/trailers").then_some(trailers));
            let mut response = Response::new(body);
            let names = HeaderValue::from_static("x-sum");
            response.headers_mut().insert(header::TRAILER, names);
            response
        });
        let cluster = upstream.cluster(Http1);
        for (path, frames) in [("/", 1), ("/trailers", 2), ("/", 1)] {
            let mut request = get(path);
            let te = HeaderValue::from_static("trailers");
            request.headers_mut().insert(header::TE, te);
            let mut body = cluster.send(request).await.unwrap().into_body();
            for _ in 0..frames {
                body.frame().await.unwrap().unwrap();
            }
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http1_leaves_a_connection_alone_while_its_request_is_still_on_the_way() {
    local(async {
        // Answers before it has read the request's body.
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            spawn_local(request.into_body().collect());
            Response::new(QueueBody::full("early".into()))
        });
        let cluster = upstream.cluster(Http1);
        let (sender, body) = body_queue();
        let uploading = cluster.send(get("/").map(|_| body)).await.unwrap();
        assert_eq!(text(uploading).await, "early");
        text(cluster.send(get("/")).await.unwrap()).await;
        assert_eq!(upstream.accepted(), 2);
        sender.push("rest".into());
        sender.finish(None);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (a, b) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")));
        text(a.unwrap()).await;
        text(b.unwrap()).await;
        assert_eq!(upstream.accepted(), 2);
    });
}

#[test]
fn http1_opens_a_connection_for_each_request_in_flight() {
    local(async {
        let together = Rc::new(Barrier::new(3));
        let upstream = Upstream::serve(move |_| {
            let together = Rc::clone(&together);
            async move {
                together.wait().await;
                Response::new(QueueBody::full("ok".into()))
            }
        });
        let cluster = upstream.cluster(Http1);
        for _ in 0..2 {
            let (a, b, c) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")), cluster.send(get("/")));
            for response in [a, b, c] {
                text(response.unwrap()).await;
            }
        }
        assert_eq!(upstream.accepted(), 3);
    });
}

#[test]
fn http1_keeps_no_more_and_no_longer_than_told() {
    local(async {
        let upstream = Upstream::echo();
        for (max_idle, idle_timeout) in [(0, Duration::from_secs(60)), (8, Duration::ZERO)] {
            let cluster = Cluster::new(ClusterConfig { max_idle, idle_timeout, ..upstream.config(Http1) });
            let before = upstream.accepted();
            json(cluster.send(get("/")).await.unwrap()).await;
            json(cluster.send(get("/")).await.unwrap()).await;
            assert_eq!(upstream.accepted() - before, 2);
        }
    });
}

#[test]
fn http2_carries_all_requests_on_one_connection() {
    local(async {
        let together = Rc::new(Barrier::new(20));
        let upstream = Upstream::serve(move |_| {
            let together = Rc::clone(&together);
            async move {
                together.wait().await;
                Response::new(QueueBody::full("ok".into()))
            }
        });
        let cluster = upstream.cluster(Http2);
        let sent: Vec<_> = (0..20).map(|_| spawn_local(cluster.send(get("/")))).collect();
        for response in sent {
            assert_eq!(text(response.await.unwrap().unwrap()).await, "ok");
        }
        assert_eq!(upstream.accepted(), 1);
    });
}

#[test]
fn http2_connects_again_when_the_connection_has_closed() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http2);
        for expected in 1..=3 {
            json(cluster.send(post("/", "x".into())).await.unwrap()).await;
            assert_eq!(upstream.accepted(), expected);
            upstream.hang_up();
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_body_dropped_early_does_not_poison_the_pool() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|request: Request<Incoming>| async move {
                if request.uri().path() == "/small" {
                    return Response::new(QueueBody::full("small".into()));
                }
                let (sender, body) = body_queue();
                spawn_local(async move {
                    while sender.capacity().await.is_ok() {
                        sender.push(vec![b'x'; HIGH_WATER].into());
                    }
                });
                Response::new(body)
            });
            let cluster = upstream.cluster(protocol);
            for _ in 0..3 {
                let mut endless = cluster.send(get("/endless")).await.unwrap();
                assert!(endless.frame().await.unwrap().unwrap().is_data());
                drop(endless);
                assert_eq!(text(cluster.send(get("/small")).await.unwrap()).await, "small");
            }
            assert_eq!(upstream.accepted(), if protocol == Http1 { 4 } else { 1 });
        }
    });
}

#[test]
fn a_request_given_up_does_not_poison_the_pool() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|request: Request<Incoming>| async move {
                if request.uri().path() == "/never" {
                    std::future::pending::<()>().await;
                }
                Response::new(QueueBody::full("ok".into()))
            });
            let cluster = upstream.cluster(protocol);
            let never = tokio::time::timeout(Duration::from_millis(30), cluster.send(get("/never")));
            assert!(never.await.is_err());
            assert_eq!(text(cluster.send(get("/")).await.unwrap()).await, "ok");
        }
    });
}

// --- failing and retrying --------------------------------------------------------------------------------------------

#[test]
fn endpoints_take_turns_and_a_dead_one_is_passed_over() {
    local(async {
        for protocol in [Http1, Http2] {
            let (one, two) = (Upstream::echo(), Upstream::echo());
            let cluster = Cluster::new(ClusterConfig {
                endpoints: vec![refusing(), one.name(), two.name()],
                ..one.config(protocol)
            });
            let mut served = Vec::new();
            for _ in 0..6 {
                let response = cluster.send(post("/", "x".into())).await.unwrap();
                served.push(response.body().endpoint().to_owned());
                json(response).await;
            }
            // The dead endpoint's turns go to its successor.
            let (one, two) = (one.name(), two.name());
            let (one, two) = (one.as_str(), two.as_str());
            assert_eq!(served, [one, one, two, one, one, two]);
        }
    });
}

#[test]
fn a_refused_connection_names_the_endpoint() {
    local(async {
        let name = refusing();
        let error = Cluster::new(ClusterConfig::new("c", vec![name.clone()])).send(get("/")).await.unwrap_err();
        assert!(matches!(&error, UpstreamError::Connect { .. }), "{error:?}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(error.reason(), "connect_failure");

        let error = Cluster::new(ClusterConfig::new("empty", vec![])).send(get("/")).await.unwrap_err();
        assert!(matches!(error, UpstreamError::NoEndpoints { .. }));
    });
}

#[test]
fn a_silent_endpoint_times_out_and_is_passed_over() {
    local(async {
        let (silent, _held) = silent();
        let upstream = Upstream::echo();
        for protocol in [Http1, Http2] {
            let config = ClusterConfig {
                endpoints: vec![silent.clone()],
                connect_timeout: Duration::from_millis(50),
                ..upstream.config(protocol)
            };
            // Requests that wait for the same HTTP/2 connection fail together and not one after the other.
            let cluster = Cluster::new(config.clone());
            let start = std::time::Instant::now();
            let (a, b, c) = tokio::join!(cluster.send(get("/")), cluster.send(get("/")), cluster.send(get("/")));
            assert!(start.elapsed() < Duration::from_millis(140));
            for error in [a.unwrap_err(), b.unwrap_err(), c.unwrap_err()] {
                assert_eq!(error.reason(), "connect_timeout");
            }
            let endpoints = vec![silent.clone(), upstream.name()];
            let cluster = Cluster::new(ClusterConfig { endpoints, ..config });
            json(cluster.send(get("/")).await.unwrap()).await;
        }
    });
}

#[test]
fn a_connection_closed_while_idle_is_replaced() {
    local(async {
        let (close, closing) = mpsc::channel();
        let upstream = Script::run(move |accept| {
            let mut first = accept();
            answer(&mut first, "one");
            closing.recv().unwrap();
            drop(first);
            answer(&mut accept(), "two");
        });
        let cluster = upstream.cluster();
        // POST, which is never repeated once any of it may have been sent.
        assert_eq!(text(cluster.send(post("/", "x".into())).await.unwrap()).await, "one");
        // Long enough for the connection to be idle in every sense.
        tokio::time::sleep(Duration::from_millis(20)).await;
        close.send(()).unwrap();
        // Blocks the runtime, so that nobody has noticed the closing when the next request comes.
        thread::sleep(Duration::from_millis(50));
        assert_eq!(text(cluster.send(post("/", "x".into())).await.unwrap()).await, "two");
    });
}

#[test]
fn a_connection_closed_under_the_request_is_survived_when_repeating_is_safe() {
    local(async {
        for (method, expected) in [(Method::GET, None), (Method::POST, Some("upstream_reset"))] {
            let upstream = Script::run(|accept| {
                let mut first = accept();
                answer(&mut first, "one");
                read_request(&mut first);
                drop(first);
                answer(&mut accept(), "two");
            });
            let cluster = upstream.cluster();
            assert_eq!(text(cluster.send(get("/")).await.unwrap()).await, "one");
            let mut request = get("/");
            *request.method_mut() = method;
            match cluster.send(request).await {
                Ok(response) => {
                    assert_eq!(text(response).await, "two");
                    assert_eq!(expected, None);
                }
                Err(error) => assert_eq!(Some(error.reason()), expected),
            }
        }
    });
}

#[test]
fn what_is_not_http_is_a_protocol_error() {
    local(async {
        let upstream = Script::run(|accept| {
            let mut stream = accept();
            read_request(&mut stream);
            stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n").unwrap();
        });
        let error = upstream.cluster().send(get("/")).await.unwrap_err();
        assert_eq!(error.reason(), "upstream_protocol_error");
    });
}

#[test]
fn a_response_cut_off_is_an_error_of_its_body() {
    local(async {
        let upstream = Script::run(|accept| {
            let mut stream = accept();
            read_request(&mut stream);
            stream
                .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .unwrap();
        });
        let response = upstream.cluster().send(get("/")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.reason(), "upstream_reset");
    });
}

#[test]
fn an_aborted_request_is_our_own_doing() {
    local(async {
        let upstream = Upstream::echo();
        let cluster = upstream.cluster(Http1);
        let (sender, body) = body_queue();
        sender.push("half".into());
        let sent = spawn_local(cluster.send(get("/").map(|_| body)));
        tokio::time::sleep(Duration::from_millis(10)).await;
        sender.abort("the client went away");
        let error = sent.await.unwrap().unwrap_err();
        assert_eq!(error.reason(), "request_aborted");
        json(cluster.send(get("/")).await.unwrap()).await;
    });
}

#[test]
fn the_sender_learns_that_the_upstream_is_gone() {
    local(async {
        for protocol in [Http1, Http2] {
            let upstream = Upstream::serve(|_| std::future::pending());
            let cluster = upstream.cluster(protocol);
            let (sender, body) = body_queue();
            let sent = spawn_local(cluster.send(get("/").map(|_| body)));
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!sender.is_closed());
            upstream.hang_up();
            std::future::poll_fn(|cx| sender.poll_closed(cx)).await;
            assert_eq!(sent.await.unwrap().unwrap_err().reason(), "upstream_reset");
        }
    });
}

// --- what arrives ----------------------------------------------------------------------------------------------------

#[test]
fn the_upstream_sees_the_clients_authority() {
    local(async {
        let upstream = Upstream::echo();
        for (protocol, version) in [(Http1, "HTTP/1.1"), (Http2, "HTTP/2.0")] {
            let cluster = upstream.cluster(protocol);
            let response = cluster.send(get("/a?b")).await.unwrap();
            assert_eq!(response.body().remote_addr(), upstream.address);
            let seen = json(response).await;
            assert_eq!(seen["authority"], "client.test");
            assert_eq!(seen["path"], "/a?b");
            assert_eq!(seen["version"], version);

            let mut absolute = Request::new(QueueBody::empty());
            *absolute.uri_mut() = "https://other.test/c".parse().unwrap();
            *absolute.version_mut() = Version::HTTP_10;
            let seen = json(cluster.send(absolute).await.unwrap()).await;
            assert_eq!(seen["authority"], "other.test");
            assert_eq!(seen["path"], "/c");
        }
    });
}

#[test]
fn complete_bodies_have_a_length_and_open_ones_do_not() {
    local(async {
        let upstream = Upstream::echo();
        for protocol in [Http1, Http2] {
            let cluster = upstream.cluster(protocol);
            let seen = json(cluster.send(post("/", "hello".into())).await.unwrap()).await;
            assert_eq!(seen["headers"]["content-length"], "5");
            assert_eq!(seen["headers"]["transfer-encoding"], Value::Null);

            let seen = json(cluster.send(get("/")).await.unwrap()).await;
            assert_eq!(seen["headers"]["content-length"], Value::Null);
            assert_eq!(seen["headers"]["transfer-encoding"], Value::Null);

            // hyper alone would drop the body of a GET.
            for method in [Method::POST, Method::GET] {
                let (sender, body) = body_queue();
                let mut request = get("/").map(|_| body);
                *request.method_mut() = method;
                let sent = spawn_local(cluster.send(request));
                for _ in 0..100 {
                    sender.capacity().await.unwrap();
                    sender.push(vec![b'a'; 10_000].into());
                }
                sender.finish(None);
                let seen = json(sent.await.unwrap().unwrap()).await;
                assert_eq!(seen["body"].as_str().unwrap().len(), 1_000_000);
                assert_eq!(seen["headers"]["content-length"], Value::Null);
            }
        }
    });
}

#[test]
fn trailers_go_both_ways() {
    local(async {
        // Sends the request's trailers back.
        let upstream = Upstream::serve(|request: Request<Incoming>| async move {
            let whole = request.into_body().collect().await.unwrap();
            let trailers = whole.trailers().cloned();
            let (sender, body) = body_queue();
            sender.push(whole.to_bytes());
            sender.finish(trailers);
            let mut response = Response::new(body);
            let names = HeaderValue::from_static("x-sum");
            response.headers_mut().insert(header::TRAILER, names);
            response
        });
        for protocol in [Http1, Http2] {
            let cluster = upstream.cluster(protocol);
            for _ in 0..2 {
                let (sender, body) = body_queue();
                let mut request = post("/", Bytes::new()).map(|_| body);
                let headers = request.headers_mut();
                headers.insert(header::TRAILER, HeaderValue::from_static("x-sum"));
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                sender.push("data".into());
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", HeaderValue::from_static("42"));
                sender.finish(Some(trailers));
                let whole = cluster.send(request).await.unwrap().into_body().collect().await.unwrap();
                assert_eq!(whole.trailers().unwrap()["x-sum"], "42", "{protocol:?}");
                assert_eq!(whole.to_bytes(), "data");
            }
        }
        // The connection of a response with trailers is used again.
        assert_eq!(upstream.accepted(), 2);
    });
}

// --- TLS -------------------------------------------------------------------------------------------------------------

#[test]
fn tls_settles_the_protocol_and_serves() {
    local(async {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = std::env::temp_dir().join(format!("portcullis-net-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let config = tls::server_config(&cert, &key).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();

        for (offered, settled) in
            [(vec!["h2", "http/1.1"], Some("h2")), (vec!["http/1.1"], Some("http/1.1")), (vec![], None)]
        {
            let listener = Listener::from_std(bind(LOOPBACK).unwrap()).unwrap();
            let address = listener.local_addr();
            let config = Arc::clone(&config);
            let server = spawn_local(async move {
                let (tcp, _) = listener.accept().await;
                let stream = Stream::accept_tls(tcp, config).await.unwrap();
                let facts = stream.facts().unwrap();
                spawn_local(serve_echo(stream.into_hyper()));
                facts
            });
            let tls = tls_client(address, made.cert.der().clone(), &offered).await;
            let (version, response) = ask(tls, settled == Some("h2")).await;
            assert_eq!(response["version"], version);

            let Facts { peer, local, tls } = server.await.unwrap();
            let tls = tls.unwrap();
            assert_eq!(local, address);
            assert!(peer.ip().is_loopback());
            assert_eq!(tls.alpn.as_deref(), settled);
            assert_eq!(tls.sni.as_deref(), Some("localhost"));
            assert_eq!(tls.version, "TLSv1.3");
        }
    });
}

type TlsClient = TokioIo<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

async fn tls_client(
    address: SocketAddr,
    trusted: rustls::pki_types::CertificateDer<'static>,
    offered: &[&str],
) -> TlsClient {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    TokioIo::new(connector.connect(name, tcp).await.unwrap())
}

async fn ask(io: TlsClient, h2: bool) -> (&'static str, Value) {
    let mut request = get("/");
    let (version, response) = if h2 {
        *request.uri_mut() = "https://localhost/".parse().unwrap();
        let (mut sender, driver) = hyper::client::conn::http2::handshake(LocalExec, io).await.unwrap();
        spawn_local(driver);
        ("HTTP/2.0", sender.send_request(request).await)
    } else {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(io).await.unwrap();
        spawn_local(driver);
        ("HTTP/1.1", sender.send_request(request).await)
    };
    let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
    (version, serde_json::from_slice(&body).unwrap())
}

// --- upstreams -------------------------------------------------------------------------------------------------------

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Runs a test as a worker runs: one thread, one `LocalSet`.
fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    tokio::task::LocalSet::new().block_on(&runtime, bounded).expect("the test hangs");
}

/// An HTTP server on this thread that speaks both versions and counts its connections.
struct Upstream {
    address: SocketAddr,
    connections: Rc<std::cell::RefCell<Vec<AbortHandle>>>,
    accepted: Rc<Cell<usize>>,
}

impl Upstream {
    fn echo() -> Self {
        Self::serve(echo_queued)
    }

    fn serve<F>(handler: impl Fn(Request<Incoming>) -> F + Clone + 'static) -> Self
    where
        F: Future<Output = Response<QueueBody>> + 'static,
    {
        let listener = Listener::from_std(bind(LOOPBACK).unwrap()).unwrap();
        let upstream = Self { address: listener.local_addr(), connections: Rc::default(), accepted: Rc::default() };
        let (connections, accepted) = (Rc::clone(&upstream.connections), Rc::clone(&upstream.accepted));
        spawn_local(async move {
            loop {
                let (tcp, _) = listener.accept().await;
                accepted.set(accepted.get() + 1);
                let io = Stream::Plain(tcp).into_hyper();
                let connection = spawn_local(serve_with(io, handler.clone()));
                connections.borrow_mut().push(connection.abort_handle());
            }
        });
        upstream
    }

    fn name(&self) -> String {
        self.address.to_string()
    }

    fn config(&self, protocol: UpstreamProtocol) -> ClusterConfig {
        ClusterConfig { protocol, ..ClusterConfig::new("test", vec![self.name()]) }
    }

    fn cluster(&self, protocol: UpstreamProtocol) -> Cluster {
        Cluster::new(self.config(protocol))
    }

    fn accepted(&self) -> usize {
        self.accepted.get()
    }

    fn hang_up(&self) {
        for connection in self.connections.borrow_mut().drain(..) {
            connection.abort();
        }
    }
}

async fn echo_queued(request: Request<Incoming>) -> Response<QueueBody> {
    let (head, body) = echo(request).await.into_parts();
    let Ok(whole) = body.collect().await;
    Response::from_parts(head, QueueBody::full(whole.to_bytes()))
}

async fn serve_echo(io: TokioIo<Stream>) {
    serve_with(io, echo_queued).await;
}

async fn serve_with<F>(io: TokioIo<Stream>, handler: impl Fn(Request<Incoming>) -> F)
where
    F: Future<Output = Response<QueueBody>> + 'static,
{
    let service = service_fn(|request| {
        let response = handler(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    let _ = auto::Builder::new(LocalExec).serve_connection(io, service).await;
}

/// A server that does byte for byte what a test tells it, on a thread of its own so that it works while the test's
/// runtime is blocked.
struct Script {
    name: String,
}

impl Script {
    fn run(script: impl FnOnce(&dyn Fn() -> StdStream) + Send + 'static) -> Self {
        let listener = StdListener::bind(LOOPBACK).unwrap();
        let name = listener.local_addr().unwrap().to_string();
        thread::spawn(move || script(&|| listener.accept().unwrap().0));
        Self { name }
    }

    fn cluster(&self) -> Cluster {
        Cluster::new(ClusterConfig::new("script", vec![self.name.clone()]))
    }
}

fn answer(stream: &mut StdStream, text: &str) {
    read_request(stream);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
}

/// Reads a head and, by its length, a body of at most one byte.
fn read_request(stream: &mut StdStream) {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    if String::from_utf8(seen).unwrap().contains("content-length: 1\r\n") {
        stream.read_exact(&mut byte).unwrap();
    }
}

/// An address where nobody listens.
fn refusing() -> String {
    StdListener::bind(LOOPBACK).unwrap().local_addr().unwrap().to_string()
}

/// An address that does not answer: its queue of waiting connections is full.
fn silent() -> (String, Vec<socket2::Socket>) {
    use socket2::{Domain, Socket, Type};
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&LOOPBACK.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    loop {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let full = filler.connect_timeout(&address, Duration::from_millis(100)).is_err();
        held.push(filler);
        if full {
            return (address.as_socket().unwrap().to_string(), held);
        }
    }
}

fn get(path: &str) -> Request<QueueBody> {
    Request::get(path).header(header::HOST, "client.test").body(QueueBody::empty()).unwrap()
}

fn post(path: &str, body: Bytes) -> Request<QueueBody> {
    Request::post(path).header(header::HOST, "client.test").body(QueueBody::full(body)).unwrap()
}

async fn text(response: Response<UpstreamBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

async fn json(response: Response<UpstreamBody>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&text(response).await).unwrap()
}
