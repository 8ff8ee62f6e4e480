//! The layer and its service.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Request, Response, Version};
use portcullis_chain::convert;
use portcullis_core::model::{Direction, StreamInfo};
use portcullis_driver::{Plugins, Threads, Upstreams};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::connection::ConnectionInfo;
use crate::exchange::{Exchange, Opening};
use crate::future::ResponseFuture;
use crate::http_service::{HttpBody, HttpService};
use crate::inner::Inner;
use crate::quiet::Quiet;
use crate::target;
use crate::upstream_info::UpstreamInfo;

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
        let (mut parts, incoming) = request.into_parts();
        let connection = parts.extensions.get::<ConnectionInfo>().cloned();
        let local = connection.as_ref().and_then(ConnectionInfo::destination);
        let admitted =
            target::admit(&mut parts, local).and_then(|form| Ok((form, convert::take_expectation(&mut parts)?)));
        let (form, awaits_continue) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return ResponseFuture::refused(&parts, refusal),
        };
        let secure = connection.as_ref().is_some_and(ConnectionInfo::uses_tls);
        let upstream = parts.extensions.get::<UpstreamInfo>().cloned();
        let inner = Inner::new(self.inner.clone(), &mut parts, form, secure, Arc::clone(&self.shared.quiet));
        convert::strip_hop_by_hop(&mut parts.headers);
        inner.show_upgrade(&mut parts.headers);
        let mut info = StreamInfo {
            id: next_stream(),
            protocol: protocol(parts.version),
            start_time: now(),
            ..StreamInfo::default()
        };
        if let Some(connection) = &connection {
            connection.describe(&mut info);
        }
        if let Some(upstream) = &upstream {
            upstream.describe(&mut info);
        }
        let headers = convert::request_headers(&parts, secure);
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
        ResponseFuture::of_exchange(Box::new(Exchange::begin(shard.driver().clone(), opening, open)))
    }
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
