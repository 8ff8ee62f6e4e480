//! Upstreams that tests talk to.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use portcullis_driver::body::QueueBody;
use portcullis_gateway::net::exec::LocalExec;
use portcullis_gateway::net::io::Stream;
use portcullis_gateway::net::listen::{Listener, bind};
use portcullis_gateway::upstream::echo::echo;
use portcullis_gateway::upstream::pool::{Cluster, ClusterConfig, UpstreamBody, UpstreamProtocol};
use serde_json::Value;
use tokio::task::{AbortHandle, spawn_local};

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Runs a test as a worker runs: one thread, one `LocalSet`.
pub(crate) fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    tokio::task::LocalSet::new().block_on(&runtime, bounded).expect("the test hangs");
}

/// An HTTP server on this thread that speaks both versions and counts its connections.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Rc<std::cell::RefCell<Vec<AbortHandle>>>,
    accepted: Rc<Cell<usize>>,
}

impl Upstream {
    pub(crate) fn echo() -> Self {
        Self::serve(echo_queued)
    }

    pub(crate) fn serve<F>(handler: impl Fn(Request<Incoming>) -> F + Clone + 'static) -> Self
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

    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn config(&self, protocol: UpstreamProtocol) -> ClusterConfig {
        ClusterConfig { protocol, ..ClusterConfig::new("test", vec![self.name()]) }
    }

    pub(crate) fn cluster(&self, protocol: UpstreamProtocol) -> Cluster {
        Cluster::new(self.config(protocol))
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.get()
    }

    pub(crate) fn hang_up(&self) {
        for connection in self.connections.borrow_mut().drain(..) {
            connection.abort();
        }
    }
}

pub(crate) async fn echo_queued(request: Request<Incoming>) -> Response<QueueBody> {
    let (head, body) = echo(request).await.into_parts();
    let Ok(whole) = body.collect().await;
    Response::from_parts(head, QueueBody::full(whole.to_bytes()))
}

pub(crate) async fn serve_echo(io: TokioIo<Stream>) {
    serve_with(io, echo_queued).await;
}

pub(crate) async fn serve_with<F>(io: TokioIo<Stream>, handler: impl Fn(Request<Incoming>) -> F)
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
pub(crate) struct Script {
    name: String,
}

impl Script {
    pub(crate) fn run(script: impl FnOnce(&dyn Fn() -> StdStream) + Send + 'static) -> Self {
        let listener = StdListener::bind(LOOPBACK).unwrap();
        let name = listener.local_addr().unwrap().to_string();
        thread::spawn(move || script(&|| listener.accept().unwrap().0));
        Self { name }
    }

    pub(crate) fn cluster(&self) -> Cluster {
        Cluster::new(ClusterConfig::new("script", vec![self.name.clone()]))
    }
}

pub(crate) fn answer(stream: &mut StdStream, text: &str) {
    read_request(stream);
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).unwrap();
}

/// Reads a head and, by its length, a body of at most one byte.
pub(crate) fn read_request(stream: &mut StdStream) {
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
pub(crate) fn refusing() -> String {
    StdListener::bind(LOOPBACK).unwrap().local_addr().unwrap().to_string()
}

/// An address that does not answer: its queue of waiting connections is full.
pub(crate) fn silent() -> (String, Vec<socket2::Socket>) {
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

pub(crate) fn get(path: &str) -> Request<QueueBody> {
    Request::get(path).header(header::HOST, "client.test").body(QueueBody::empty()).unwrap()
}

pub(crate) fn post(path: &str, body: Bytes) -> Request<QueueBody> {
    Request::post(path).header(header::HOST, "client.test").body(QueueBody::full(body)).unwrap()
}

pub(crate) async fn text(response: Response<UpstreamBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

pub(crate) async fn json(response: Response<UpstreamBody>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    serde_json::from_str(&text(response).await).unwrap()
}
