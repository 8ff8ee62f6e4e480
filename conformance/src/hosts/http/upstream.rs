//! The upstream behind a host under test: HTTP of both versions with gRPC on one port, TCP on another.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Serves both until the process ends, on a thread of its own.
///
/// # Errors
/// An address cannot be listened on.
pub fn serve(http: SocketAddr, tcp: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (http, tcp) = runtime
        .block_on(async { Ok::<_, io::Error>((TcpListener::bind(http).await?, TcpListener::bind(tcp).await?)) })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::join!(
                accept(http, |socket| tokio::spawn(speak_http(socket))),
                accept(tcp, |socket| tokio::spawn(greet(socket)))
            )
        })
    });
    Ok(())
}

async fn accept<T>(listener: TcpListener, serve: impl Fn(TcpStream) -> T) {
    loop {
        // A connection that is gone already is no reason to stop.
        if let Ok((socket, _)) = listener.accept().await {
            serve(socket);
        }
    }
}

async fn speak_http(socket: TcpStream) {
    let _ = socket.set_nodelay(true);
    let server = auto::Builder::new(TokioExecutor::new());
    // The client is the host under test; what it breaks off shows in its own answers.
    let _ = server.serve_connection(TokioIo::new(socket), service_fn(answer)).await;
}

/// Says `hello` once, to the first bytes that come.
async fn greet(mut socket: TcpStream) {
    let mut bytes = [0; 1024];
    if matches!(socket.read(&mut bytes).await, Ok(read) if read > 0) {
        let _ = socket.write_all(b"hello").await;
        while matches!(socket.read(&mut bytes).await, Ok(read) if read > 0) {}
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let is_grpc =
        head.headers.get("content-type").is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let response = Response::builder().header("x-upstream", "here");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-trailer", HeaderValue::from_static("sent"));
    let (response, body) = if is_grpc {
        // The client of a stream ends it when it has the answer.
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        (response.header("content-type", "application/grpc"), Bytes::from_static(b"\0\0\0\0\x02ok"))
    } else {
        let sent = body.collect().await?;
        let mut text = format!("ok\n:method: {}\n:path: {}\n", head.method, head.uri.path());
        for (name, value) in &head.headers {
            text.push_str(&format!("{name}: {}\n", value.as_bytes().escape_ascii()));
        }
        for (name, value) in sent.trailers().into_iter().flatten() {
            text.push_str(&format!("trailer {name}: {}\n", value.as_bytes().escape_ascii()));
        }
        text.push('\n');
        let body = [text.as_bytes(), &sent.to_bytes()].concat();
        (response.header("trailer", "x-trailer"), Bytes::from(body))
    };
    let body = Lengthless(Full::new(body)).with_trailers(async { Some(Ok(trailers)) }).boxed();
    let fallback = || Response::new(Full::new(Bytes::new()).boxed());
    Ok(response.body(body).unwrap_or_else(|_| fallback()))
}

/// A body whose length nobody knows before its end, so that no header tells it: plugins change bodies.
struct Lengthless(Full<Bytes>);

impl Body for Lengthless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(context)
    }
}
