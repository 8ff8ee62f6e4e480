//! Upstreams of plugins' callouts, over Pingora's own connector.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Request, Response, Version, request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v1::client::HttpSession as Http1;
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::protocols::http::v2::write_body;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{BError, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use portcullis_driver::body::{QueueBody, body_queue};
use portcullis_driver::{SendError, Upstreams};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most requests that a cluster has in flight, if nobody sets another number.
const MAX_REQUESTS: usize = 1024;

/// How long a connection may take, if the peer does not say.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The upstreams that plugins may call, by the names that they call them by. Clones share connections.
///
/// ```
/// use pingora_core::upstreams::peer::HttpPeer;
/// use portcullis_pingora::{Cluster, Clusters};
///
/// let auth = HttpPeer::new("127.0.0.1:9000", false, String::new());
/// let clusters = Clusters::new([("auth", Cluster::new(auth).with_max_requests(100))]);
/// assert!(clusters.contains("auth") && !clusters.contains("other"));
/// ```
#[derive(Clone)]
pub struct Clusters {
    inner: Arc<Inner>,
}

struct Inner {
    clusters: HashMap<String, Cluster>,
    connector: Connector,
}

/// An upstream: where it is, and how much it is asked at once.
#[derive(Clone, Debug)]
pub struct Cluster {
    peer: HttpPeer,
    places: Arc<Semaphore>,
}

impl Cluster {
    /// Makes an upstream of a peer: with TLS, timeouts and the version of HTTP as its options say. HTTP/2 without TLS is one with
    /// `peer.options.set_http_version(2, 2)`; gRPC needs it. Connecting takes 5 seconds at most if the options have no timeout.
    #[must_use]
    pub fn new(mut peer: HttpPeer) -> Self {
        peer.options.connection_timeout.get_or_insert(CONNECT_TIMEOUT);
        Self { peer, places: Arc::new(Semaphore::new(MAX_REQUESTS)) }
    }

    /// Sets how many requests may be in flight, 1,024 by default. Others fail at once, with 503 and `overflow`.
    #[must_use]
    pub fn with_max_requests(mut self, most: usize) -> Self {
        self.places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        self
    }

    fn takes_http2(&self) -> bool {
        self.peer.options.alpn.get_max_http_version() == 2
    }
}

impl Clusters {
    /// Makes upstreams of names and clusters; of two with one name the later one counts.
    #[must_use]
    pub fn new<N: Into<String>>(clusters: impl IntoIterator<Item = (N, Cluster)>) -> Self {
        let clusters = clusters.into_iter().map(|(name, cluster)| (name.into(), cluster)).collect();
        Self { inner: Arc::new(Inner { clusters, connector: Connector::new(None) }) }
    }

    /// Makes upstreams for plugins that call none.
    #[must_use]
    pub fn none() -> Self {
        Self::new::<String>([])
    }

    /// Returns whether there is an upstream of this name, for [`Host::has_upstream`](portcullis_core::resources::Host::has_upstream): with
    /// it a plugin's callout to another one fails at once.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.inner.clusters.contains_key(name)
    }
}

impl Upstreams for Clusters {
    type Body = CalloutBody;

    async fn send(&self, upstream: &str, request: Request<QueueBody>) -> Result<Response<CalloutBody>, SendError> {
        let cluster = self.inner.clusters.get(upstream).ok_or_else(SendError::unknown)?;
        let place = Arc::clone(&cluster.places).try_acquire_owned();
        let place = place.map_err(|_| SendError::new("overflow", "as many requests are in flight as may be"))?;
        let (parts, body) = request.into_parts();
        let exchange = Exchange { inner: Arc::clone(&self.inner), peer: cluster.peer.clone(), place };
        let connect = || exchange.inner.connector.get_http_session(&exchange.peer);
        let (mut session, is_reused) = connect().await.map_err(|error| failed(&error))?;
        session.set_read_timeout(cluster.peer.options.read_timeout);
        session.set_write_timeout(cluster.peer.options.write_timeout);
        match (session, is_reused) {
            (HttpSession::H2(session), _) => exchange.over_http2(session, parts, body).await,
            (HttpSession::H1(session), is_reused) => exchange.over_http1(session, is_reused, parts, body).await,
            (HttpSession::Custom(()), _) => Err(SendError::new("connection failure", "the peer speaks no HTTP")),
        }
    }

    fn speaks_http2(&self, upstream: &str) -> Option<bool> {
        self.inner.clusters.get(upstream).map(Cluster::takes_http2)
    }
}

/// A request to an upstream.
struct Exchange {
    inner: Arc<Inner>,
    peer: HttpPeer,
    place: OwnedSemaphorePermit,
}

type Pump = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Exchange {
    /// Sends a request whose body is whole, which those of callouts are, and reads the response. A connection that was kept and has been closed
    /// meanwhile is replaced once, by a new one.
    async fn over_http1(
        self,
        mut session: Http1,
        is_reused: bool,
        parts: request::Parts,
        body: QueueBody,
    ) -> Result<Response<CalloutBody>, SendError> {
        let collected = body.collect().await.map_err(|error| SendError::new("local reset", error.to_string()))?;
        let body = collected.to_bytes();
        let head = request_head(&parts, Some(body.len()))?;
        if let Err(error) = begin_http1(&mut session, head.clone(), &body).await {
            if !is_reused || !is_stale(&session, &error) {
                return Err(failed(&error));
            }
            session = self.connect_anew().await?;
            begin_http1(&mut session, head, &body).await.map_err(|error| failed(&error))?;
        }
        let response = response(session.resp_header())?;
        let (sender, queue) = body_queue();
        let Self { inner, peer, place } = self;
        let pump = async move {
            let _place = place;
            loop {
                match session.read_body_bytes().await {
                    Ok(Some(data)) => {
                        sender.push(data);
                        if sender.capacity().await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return sender.abort(failed(&error)),
                }
            }
            sender.finish(None);
            session.respect_keepalive();
            let session = HttpSession::H1(session);
            inner.connector.release_http_session(session, &peer, peer.options.idle_timeout).await;
        };
        Ok(response.map(|()| CalloutBody { queue, pump: Some(Box::pin(pump)) }))
    }

    /// Makes a connection that nobody has used.
    async fn connect_anew(&self) -> Result<Http1, SendError> {
        // None is kept under this key.
        let mut peer = self.peer.clone();
        peer.group_key = !peer.group_key;
        let (session, _) = self.inner.connector.get_http_session(&peer).await.map_err(|error| failed(&error))?;
        let HttpSession::H1(mut session) = session else {
            return Err(SendError::new("connection failure", "the peer has changed its version of HTTP"));
        };
        (session.read_timeout, session.write_timeout) = (peer.options.read_timeout, peer.options.write_timeout);
        Ok(session)
    }

    /// Sends a request whose body may go on after the response has begun.
    async fn over_http2(
        self,
        mut session: Http2Session,
        parts: request::Parts,
        body: QueueBody,
    ) -> Result<Response<CalloutBody>, SendError> {
        let mut head = request_head(&parts, None)?;
        head.set_version(Version::HTTP_2);
        let uri = http::Uri::try_from(parts.uri.to_string());
        head.set_uri(uri.map_err(|_| SendError::new("local reset", "the target is no URI"))?);
        session.write_request_header(head, body.is_end_stream()).map_err(|error| failed(&error))?;
        let mut upload = match session.take_request_body_writer() {
            Some(writer) if !body.is_end_stream() => Some(Box::pin(upload(writer, body)) as Pump),
            _ => None,
        };
        {
            let mut read = pin!(session.read_response_header());
            poll_fn(|cx| {
                run(&mut upload, cx);
                read.as_mut().poll(cx)
            })
            .await
            .map_err(|error| failed(&error))?;
        }
        let response = response(session.response_header())?;
        let (sender, queue) = body_queue();
        let Self { inner, peer, place } = self;
        let download = async move {
            let _place = place;
            loop {
                match session.read_response_body().await {
                    Ok(Some(data)) => {
                        sender.push(data);
                        if sender.capacity().await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return sender.abort(failed(&error)),
                }
            }
            match session.read_trailers().await {
                Ok(trailers) => sender.finish(trailers),
                Err(error) => return sender.abort(failed(&error)),
            }
            let session = HttpSession::H2(session);
            inner.connector.release_http_session(session, &peer, peer.options.idle_timeout).await;
        };
        let mut download = Box::pin(download);
        let both = poll_fn(move |cx| {
            run(&mut upload, cx);
            download.as_mut().poll(cx)
        });
        Ok(response.map(|()| CalloutBody { queue, pump: Some(Box::pin(both)) }))
    }
}

/// Polls what has not ended.
fn run(pump: &mut Option<Pump>, cx: &mut Context<'_>) {
    if let Some(running) = pump
        && running.as_mut().poll(cx).is_ready()
    {
        *pump = None;
    }
}

/// Sends a request, and reads the head of its response.
async fn begin_http1(session: &mut Http1, head: Box<RequestHeader>, body: &[u8]) -> Result<(), BError> {
    session.write_request_header(head).await?;
    if !body.is_empty() {
        session.write_body(body).await?;
    }
    session.finish_body().await?;
    loop {
        session.read_response().await?;
        if session.get_status().is_none_or(|status| !status.is_informational()) {
            return Ok(());
        }
    }
}

/// Returns whether a connection was closed before the request had been sent, or before a byte of the response: the upstream may have closed it
/// when it was not used. After anything else, a timeout for one, the request may have been executed.
fn is_stale(session: &Http1, error: &BError) -> bool {
    // Pingora tells in no other place how much it has read.
    let has_read = || error.context.as_ref().is_none_or(|context| !context.as_str().ends_with("already read: 0"));
    match error.etype() {
        ErrorType::WriteError => true,
        ErrorType::ConnectionClosed | ErrorType::ReadError => session.resp_header().is_none() && !has_read(),
        _ => false,
    }
}

/// Sends the body of a request over HTTP/2.
async fn upload(mut writer: h2::SendStream<Bytes>, mut body: QueueBody) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return writer.send_reset(h2::Reason::CANCEL) };
        let end = body.is_end_stream();
        let sent = match frame.into_data() {
            Ok(data) => write_body(&mut writer, data, end, None).await.is_ok(),
            Err(frame) => frame.into_trailers().is_ok_and(|trailers| writer.send_trailers(trailers).is_ok()),
        };
        if !sent || end {
            return;
        }
    }
    // The upstream may have reset the stream, which its response tells.
    let _ = writer.send_data(Bytes::new(), true);
}

/// Makes the head of a request in Pingora's form. `length` is that of a body that is whole.
fn request_head(parts: &request::Parts, length: Option<usize>) -> Result<Box<RequestHeader>, SendError> {
    let invalid = |error: BError| SendError::new("local reset", error.to_string());
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let head = RequestHeader::build(parts.method.clone(), path.as_bytes(), Some(parts.headers.len() + 2));
    let mut head = head.map_err(invalid)?;
    for (name, value) in &parts.headers {
        head.append_header(name, value.clone()).map_err(invalid)?;
    }
    if let Some(length) = length {
        let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
        head.insert_header(HOST, authority).map_err(invalid)?;
        if length > 0 || head.headers.contains_key(CONTENT_LENGTH) {
            head.insert_header(CONTENT_LENGTH, length).map_err(invalid)?;
        }
    }
    Ok(Box::new(head))
}

/// Returns the head of a response.
fn response(head: Option<&ResponseHeader>) -> Result<Response<()>, SendError> {
    let head = head.ok_or_else(|| SendError::new("connection termination", "no response"))?;
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = HeaderMap::clone(&head.headers);
    Ok(response)
}

/// Tells a failure in Envoy's words.
fn failed(error: &BError) -> SendError {
    let reset = std::iter::successors(Some(&**error as &(dyn std::error::Error + 'static)), |error| error.source())
        .find_map(|cause| cause.downcast_ref::<h2::Error>()?.reason());
    let reason = match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => "connection timeout",
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::SocketError
        | ErrorType::TLSHandshakeFailure
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError => "remote connection failure",
        ErrorType::InvalidHTTPHeader | ErrorType::InvalidH2 => {
            return SendError::new("protocol error", error.to_string()).invalid(true);
        }
        _ if reset == Some(h2::Reason::REFUSED_STREAM) => "remote refused stream reset",
        _ if reset.is_some() => "remote reset",
        _ => "connection termination",
    };
    let sent = SendError::new(reason, error.to_string());
    match reset {
        Some(reset) => sent.with_reset(reset),
        None => sent,
    }
}

/// The body of an upstream's response. Reading it sends the rest of the request, too; dropping it gives both up.
pub struct CalloutBody {
    queue: QueueBody,
    pump: Option<Pump>,
}

impl Body for CalloutBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let this = &mut *self;
        run(&mut this.pump, cx);
        let frame = Pin::new(&mut this.queue).poll_frame(cx);
        if frame.is_ready() {
            // What made room for more is to be polled again, or told when it may go on.
            run(&mut this.pump, cx);
        }
        frame.map_err(|error| {
            let cause = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<SendError>());
            cause.cloned().unwrap_or_else(|| SendError::new("connection termination", error.to_string()))
        })
    }
}

impl std::fmt::Debug for Clusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(&self.inner.clusters).finish()
    }
}

impl std::fmt::Debug for CalloutBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CalloutBody").finish_non_exhaustive()
    }
}
