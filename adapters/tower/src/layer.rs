//! The layer and its service.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version, request};
use portcullis_chain::convert::{self, Refusal};
use portcullis_core::model::{Direction, StreamInfo};
use portcullis_driver::{Plugins, Threads, Upstreams};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::connection::ConnectionInfo;
use crate::exchange::{Exchange, Opening};
use crate::http_service::{HttpBody, HttpService};
use crate::inner::Inner;
use crate::quiet::Quiet;
use crate::target;

/// The bytes that plugins may hold of each direction of a stream, where nothing else is set: 1 MiB.
const BUFFER_LIMIT: usize = 1 << 20;

/// Puts plugins before services: each request passes them before the inner service sees it, and each response on its
/// way back.
///
/// Clones, and the services that they make, share the plugins.
pub struct PluginLayer<T: Threads, U: Upstreams> {
    shared: Shared<T, U>,
}

/// A service behind plugins, made by [`PluginLayer`].
///
/// The service is always ready. The inner service is asked whether it is ready when a request has passed the plugins; one
/// that is not keeps that request waiting, and one that fails is answered with 503, through the plugins.
pub struct PluginService<S, T: Threads, U: Upstreams> {
    inner: S,
    shared: Shared<T, U>,
}

struct Shared<T: Threads, U: Upstreams> {
    plugins: Plugins<T, U>,
    buffer_limit: usize,
    quiet: Arc<Quiet>,
}

impl<T: Threads, U: Upstreams> PluginLayer<T, U> {
    /// Creates a layer of these plugins. [`Plugins::run`] has to be polled for as long as the layer is used.
    #[must_use]
    pub fn new(plugins: Plugins<T, U>) -> Self {
        Self { shared: Shared { plugins, buffer_limit: BUFFER_LIMIT, quiet: Arc::new(Quiet::new()) } }
    }

    /// Sets how many bytes of each direction of a stream plugins may hold, 1 MiB by default. A request that plugins want to hold
    /// more of is answered with 413, a response with 500, or cut if its head has gone; a body of any length passes plugins that do
    /// not hold it.
    #[must_use]
    pub fn with_buffer_limit(mut self, bytes: usize) -> Self {
        self.shared.buffer_limit = bytes;
        self
    }
}

impl<T: Threads, U: Upstreams, S> Layer<S> for PluginLayer<T, U> {
    type Service = PluginService<S, T, U>;

    fn layer(&self, inner: S) -> Self::Service {
        PluginService { inner, shared: self.shared.clone() }
    }
}

impl<T, U, S, B> Service<Request<B>> for PluginService<S, T, U>
where
    T: Threads,
    U: Upstreams,
    S: HttpService + Clone,
    B: HttpBody,
{
    type Response = Response<ResponseBody<T, U, S, B>>;
    type Error = Infallible;
    type Future = ResponseFuture<T, U, S, B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture(Some(match self.begin(request) {
            Ok(exchange) => State::Running(Box::new(exchange)),
            Err(response) => State::Refused(response),
        }))
    }
}

impl<S, T: Threads, U: Upstreams> PluginService<S, T, U> {
    /// Begins an exchange.
    ///
    /// # Errors
    /// Returns the response to a request that no plugin can be shown.
    #[expect(clippy::result_large_err, reason = "it is passed on at once")]
    #[expect(clippy::type_complexity, reason = "nothing else has this type")]
    fn begin<B>(&self, request: Request<B>) -> Result<Exchange<T, U, Inner<S, B>>, Response<ResponseBody<T, U, S, B>>>
    where
        S: HttpService + Clone,
        B: HttpBody,
    {
        let (mut parts, incoming) = request.into_parts();
        let connection = parts.extensions.get::<ConnectionInfo>().cloned();
        let local = connection.as_ref().and_then(ConnectionInfo::destination);
        let form = match target::admit(&mut parts, local) {
            Ok(form) => form,
            Err(refusal) => return Err(refuse(&parts, refusal)),
        };
        let secure = connection.as_ref().is_some_and(ConnectionInfo::uses_tls);
        let inner = Inner::new(self.inner.clone(), &mut parts, form, secure, Arc::clone(&self.shared.quiet));
        convert::strip_hop_by_hop(&mut parts.headers);
        let mut info = StreamInfo {
            id: next_stream(),
            protocol: protocol(parts.version),
            start_time: now(),
            ..StreamInfo::default()
        };
        if let Some(connection) = &connection {
            connection.describe(&mut info);
        }
        let headers = convert::request_headers(&parts, secure);
        let awaits_continue = parts.version == Version::HTTP_11 && parts.headers.contains_key(EXPECT);
        let opening = Opening { info, parts, incoming: Box::pin(incoming), awaits_continue };
        let shard = self.shared.plugins.shard();
        let open = |info, end| {
            let stream = shard.with(|worker, chain| {
                let stream = worker.open(chain, info, self.shared.buffer_limit);
                worker.headers(stream, Direction::Request, headers, end);
                stream
            });
            (stream, inner)
        };
        Ok(Exchange::begin(shard.driver().clone(), opening, open))
    }
}

/// The future of a response's head.
#[must_use = "futures do nothing unless they are polled"]
pub struct ResponseFuture<T, U, S, B>(Option<State<T, U, S, B>>)
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody;

enum State<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    Running(Box<Exchange<T, U, Inner<S, B>>>),
    Refused(Response<ResponseBody<T, U, S, B>>),
}

/// Nothing in it is pinned that could not move.
impl<T, U, S, B> Unpin for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
}

impl<T, U, S, B> Future for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    type Output = Result<Response<ResponseBody<T, U, S, B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut exchange = match self.0.take() {
            Some(State::Running(exchange)) => exchange,
            Some(State::Refused(response)) => return Poll::Ready(Ok(response)),
            None => return Poll::Pending,
        };
        let head = match exchange.poll_head(cx) {
            Poll::Ready(head) => head,
            Poll::Pending => {
                self.0 = Some(State::Running(exchange));
                return Poll::Pending;
            }
        };
        Poll::Ready(Ok(match head {
            Ok((status, headers)) => {
                let answer = exchange.transport().take_answer();
                let mut response = Response::new(ResponseBody::of_exchange(exchange));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                answer.restore(&mut response);
                response
            }
            Err(cut) => {
                tracing::debug!(%cut, "a response is answered 503");
                let mut response = Response::new(ResponseBody::text(""));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(CONTENT_LENGTH, 0.into());
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }))
    }
}

/// Answers a request that has no canonical form.
fn refuse<T, U, S, B>(request: &request::Parts, refusal: Refusal) -> Response<ResponseBody<T, U, S, B>>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    tracing::debug!(reason = %refusal, "request refused");
    let (status, why) = match refusal {
        Refusal::Answer(status, why) => (status, why),
        // A service cannot reset the stream.
        Refusal::Malformed(why) => (StatusCode::BAD_REQUEST, why),
    };
    let text = if request.method == Method::HEAD { "" } else { why };
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, why.len().into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT"));
    } else if request.version != Version::HTTP_2 {
        // What follows may not begin where it seems to.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Gives the next stream a number that no other one of the process's layers has.
fn next_stream() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Returns the nanoseconds since the Unix epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

impl<T: Threads, U: Upstreams> Clone for Shared<T, U> {
    fn clone(&self) -> Self {
        Self { plugins: self.plugins.clone(), buffer_limit: self.buffer_limit, quiet: Arc::clone(&self.quiet) }
    }
}

impl<T: Threads, U: Upstreams> Clone for PluginLayer<T, U> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S: Clone, T: Threads, U: Upstreams> Clone for PluginService<S, T, U> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: self.shared.clone() }
    }
}

impl<T: Threads, U: Upstreams> fmt::Debug for PluginLayer<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginLayer").field("buffer_limit", &self.shared.buffer_limit).finish_non_exhaustive()
    }
}

impl<S, T: Threads, U: Upstreams> fmt::Debug for PluginService<S, T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginService").field("buffer_limit", &self.shared.buffer_limit).finish_non_exhaustive()
    }
}

impl<T, U, S, B> fmt::Debug for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
