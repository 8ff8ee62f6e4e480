//! The upstream behind a host under test: HTTP of both versions with gRPC on one port, TCP on another.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::host_under_test::Message;

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
    let answer = match is_grpc {
        // The client of a stream ends it when it has the answer.
        true => Message::default().answer(),
        false => {
            let sent = body.collect().await?;
            let pseudo = [(":method", head.method.as_str()), (":path", head.uri.path())];
            let pseudo = pseudo.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let headers = pseudo.into_iter().chain(pairs(&head.headers)).collect();
            let trailers = sent.trailers().into_iter().flat_map(pairs).collect();
            Message { headers, body: sent.to_bytes(), trailers }.answer()
        }
    };
    let mut response = Response::builder();
    for (name, value) in answer.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        response = response.header(name, value);
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in answer.trailers {
        if !is_grpc {
            // Over HTTP/1.1 only those that were announced are sent.
            response = response.header("trailer", &name);
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            trailers.insert(name, value);
        }
    }
    let mut body = answer.body;
    if is_grpc {
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        response = response.header("content-type", "application/grpc");
        body = Bytes::from_static(b"\0\0\0\0\x02ok");
    }
    let body = Lengthless(Full::new(body)).with_trailers(async { Some(Ok(trailers)) }).boxed();
    let fallback = || Response::new(Full::new(Bytes::new()).boxed());
    Ok(response.body(body).unwrap_or_else(|_| fallback()))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().escape_ascii().to_string()))
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
