//! The upstream behind a host under test: HTTP of both versions with gRPC on one port, TCP on another.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

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
use tokio::sync::Notify;

use crate::host_under_test::Message;

/// The path that is answered with the request's own body, frame by frame, as it comes.
pub(super) const ECHO: &str = "/echo";

/// The path that is answered when the kit says so.
pub(super) const LATER: &str = "/later";

/// The bytes that TCP clients send to be told something again.
pub(super) const MORE: &[u8] = b"more";

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

/// The upstream, as the kit that serves it sees it.
#[derive(Clone, Debug, Default)]
pub struct Upstream(Arc<State>);

#[derive(Debug, Default)]
struct State {
    seen: Mutex<Seen>,
    /// How many answers to [`LATER`] may go.
    allowed: Notify,
}

/// The bytes that have come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Heads of requests for [`ECHO`].
    pub(super) heads: usize,
    /// Bytes of their bodies.
    pub(super) bytes: usize,
    /// Requests that have ended, with trailers or without.
    pub(super) ends: usize,
    /// Requests for [`LATER`].
    pub(super) waiting: usize,
    /// TCP connections.
    pub(super) connections: usize,
    /// Bytes that came over them.
    pub(super) data: usize,
    /// Connections whose client has sent the end of its data.
    pub(super) closed: usize,
}

impl Upstream {
    /// Returns the bytes that have come so far.
    pub(super) fn seen(&self) -> Seen {
        *self.0.lock()
    }

    /// Lets one request for [`LATER`] be answered.
    pub(super) fn answer(&self) {
        self.0.allowed.notify_one();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves both until the process ends, on a thread of its own.
///
/// # Errors
/// An address cannot be listened on.
pub fn serve(http: SocketAddr, tcp: SocketAddr) -> io::Result<Upstream> {
    let upstream = Upstream::default();
    let (of_http, of_tcp) = (Arc::clone(&upstream.0), Arc::clone(&upstream.0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (http, tcp) = runtime
        .block_on(async { Ok::<_, io::Error>((TcpListener::bind(http).await?, TcpListener::bind(tcp).await?)) })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::join!(
                accept(http, |socket| tokio::spawn(speak_http(socket, Arc::clone(&of_http)))),
                accept(tcp, |socket| tokio::spawn(greet(socket, Arc::clone(&of_tcp))))
            )
        })
    });
    Ok(upstream)
}

async fn accept<T>(listener: TcpListener, serve: impl Fn(TcpStream) -> T) {
    loop {
        // A connection that is gone already is no reason to stop.
        if let Ok((socket, _)) = listener.accept().await {
            serve(socket);
        }
    }
}

async fn speak_http(socket: TcpStream, state: Arc<State>) {
    let _ = socket.set_nodelay(true);
    let server = auto::Builder::new(TokioExecutor::new());
    // The client is the host under test; what it breaks off shows in its own answers.
    let _ =
        server.serve_connection(TokioIo::new(socket), service_fn(|request| answer(request, Arc::clone(&state)))).await;
}

/// Says `hello` once, to the first bytes that come, and again to [`MORE`].
async fn greet(mut socket: TcpStream, state: Arc<State>) {
    state.lock().connections += 1;
    let mut bytes = [0; 1024];
    let mut is_first = true;
    loop {
        match socket.read(&mut bytes).await {
            Ok(read) if read > 0 => {
                state.lock().data += read;
                if std::mem::take(&mut is_first) || bytes.get(..read) == Some(MORE) {
                    let _ = socket.write_all(b"hello").await;
                }
            }
            _ => break,
        }
    }
    state.lock().closed += 1;
}

/// Answers with what comes, as it comes.
fn echo(body: Incoming, state: &Arc<State>) -> Answer {
    state.lock().heads += 1;
    let told = Told { body, state: Arc::clone(state), has_ended: false };
    let mut response = Response::new(told.boxed());
    let headers = response.headers_mut();
    headers.insert("x-upstream", HeaderValue::from_static("here"));
    headers.insert("trailer", HeaderValue::from_static("x-trailer"));
    response
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Answer, hyper::Error> {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        ECHO => return Ok(echo(body, &state)),
        LATER => {
            state.lock().waiting += 1;
            state.allowed.notified().await;
        }
        _ => {}
    }
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
    let body = Lengthless(Full::new(body)).with_trailers(async { Some(Ok(trailers)) });
    let body = body.map_err(|never: Infallible| match never {}).boxed();
    let nothing = || Full::new(Bytes::new()).map_err(|never: Infallible| match never {}).boxed();
    Ok(response.body(body).unwrap_or_else(|_| Response::new(nothing())))
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().escape_ascii().to_string()))
}

/// A body that tells what comes of it.
struct Told {
    body: Incoming,
    state: Arc<State>,
    has_ended: bool,
}

impl Body for Told {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let ends = match &frame {
            None => true,
            Some(Ok(frame)) => frame.is_trailers() || self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        let is_news = ends && !std::mem::replace(&mut self.has_ended, ends);
        let mut seen = self.state.lock();
        seen.bytes += bytes;
        seen.ends += usize::from(is_news);
        drop(seen);
        Poll::Ready(frame)
    }
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
