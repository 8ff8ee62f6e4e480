//! The gateway's side of an exchange: routes and clusters for its request, time limits, and notes for logs and metrics. The rest is
//! [`portcullis_tower::exchange`].

use std::rc::Rc;
use std::task::{Context as Task, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::HeaderMap;
use http::request::Parts;
use http::{Method, Request, StatusCode, response};
use http_body::Frame;
use portcullis::Chain;
use portcullis::chain::convert::{self, strip_hop_by_hop};
use portcullis::chain::local_response;
use portcullis::model::{Direction, LocalResponse, SharedStreamInfo, StreamInfo, response_flag};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{OneThread, before_headers};
use portcullis_tower::exchange::{self, Opening, Outgoing, Refused, Transport};
use tokio::task::AbortHandle;

use crate::config::Route;
use crate::serve::seats::Inbound;
use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::context::{Context, next_stream};
use crate::serve::worker::cut::{Cut, is_malformed};
use crate::serve::worker::deadline::timer::StreamTimer;
use crate::serve::worker::generation::Stay;
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::route::{Lot, rewrite, unforwarded};
use crate::serve::worker::{attributes, edge, upstream_stats};
use crate::upstream::clusters::Clusters;
use crate::upstream::connector::{Answer, AnswerBody, Upstream};
use crate::upstream::pool::UpstreamError;

/// One request and its response.
pub(crate) struct Exchange(exchange::Exchange<OneThread, Clusters, Routing>);

/// The gateway's side of an exchange.
pub(crate) struct Routing {
    context: Rc<Context>,
    /// The listener, of the generation that the request belongs to.
    listener: Stay,
    /// The plugins of the route that the received request matched; they stay the stream's when they change the request.
    chain: Chain,
    /// The client used TLS.
    secure: bool,
    timer: StreamTimer,
    /// The time at which the request was sent to its upstream.
    sent: Option<Instant>,
    lot: Lot,
}

impl Exchange {
    /// Begins an exchange, whose stream has a task of its own over HTTP/2; `awaits_continue` is true for a client that sends its body when it
    /// is told that it is wanted.
    pub(in crate::serve::worker) fn begin(
        context: Rc<Context>,
        arrival: Arrival,
        mut parts: Parts,
        incoming: Inbound,
        task: Option<AbortHandle>,
        awaits_continue: bool,
    ) -> Self {
        strip_hop_by_hop(&mut parts.headers);
        let Arrival { client, deadlines, connection, listener } = arrival;
        let tls = client.tls.as_ref();
        let (peer, is_tls, is_edge) = (client.peer.ip(), client.tls.is_some(), listener.use_remote_address);
        edge::stamp(&mut parts.headers, peer, is_tls, is_edge, &mut context.request_ids.borrow_mut());
        let headers = convert::request_headers(&parts, tls.is_some());
        let lot = Lot::default();
        let route = listener.route(&headers);
        let chain = route.map_or(&listener.chain, |(_, chain)| chain).clone();
        let info = StreamInfo {
            id: next_stream(),
            source: Some(client.peer),
            destination: Some(client.local),
            connection_id: connection,
            attributes: tls.map(attributes::of),
            protocol: if parts.version == http::Version::HTTP_2 {
                "HTTP/2"
            } else if parts.version == http::Version::HTTP_10 {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            start_time: context.host.clock.wall(),
            ..upstream_stats::routed(listener.clusters(), route.map(|(route, _)| route), &lot)
        };
        let limit = listener.buffer_limit;
        let (driver, secure) = (context.driver.clone(), tls.is_some());
        let open = |info, end| {
            let stream = context.driver.with(|worker| {
                let stream = worker.open(&chain, info, limit);
                worker.headers(stream, Direction::Request, headers, end);
                stream
            });
            let timer = StreamTimer::begin(deadlines, stream, listener.generation.number(), task);
            (stream, Routing { context, listener, chain, secure, timer, sent: None, lot })
        };
        Self(exchange::Exchange::begin(driver, Opening { info, parts, incoming, awaits_continue }, open))
    }

    /// Polls for the head of the response, or for why there is none.
    pub(in crate::serve::worker) fn poll_head(
        &mut self,
        cx: &mut Task<'_>,
    ) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        let head = self.0.poll_head(cx);
        if head.is_ready() {
            self.0.transport().timer.head_gone();
        }
        head.map_err(Cut::from)
    }

    pub(in crate::serve::worker) fn poll_frame(
        &mut self,
        cx: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let frame = self.0.poll_frame(cx);
        self.0.transport().timer.polled(frame.is_ready(), matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame.map_err(Cut::from)
    }

    /// Returns the part of the response that is ready for the client, and not hyper's yet.
    pub(in crate::serve::worker) fn out(&self) -> &Outgoing {
        self.0.out()
    }
}

/// A request's head as the plugins left it, and where it goes; no route, no cluster or no upstream if there is none.
struct Routed<'c> {
    route: Option<&'c Route>,
    cluster: Option<&'c str>,
    upstream: Option<&'c Upstream>,
    parts: Result<Parts, convert::Unsendable>,
}

impl Routing {
    /// Chooses the route of the request's head, among those whose plugins it has passed, and makes the head that goes out; none if
    /// plugins have left no head.
    ///
    /// # Errors
    /// Returns the answer to a request that may not go where it would.
    fn route<'l>(
        &self,
        listener: &'l ListenerState,
        info: &SharedStreamInfo,
        original: Parts,
    ) -> Option<Result<Routed<'l>, LocalResponse>> {
        info.with(|info| {
            let headers = info.request_headers.as_ref()?;
            let routed = listener.route(headers);
            if let Some(answer) = routed.and_then(|routed| unforwarded(routed, &self.chain, info)) {
                return Some(Err(answer));
            }
            let headers = info.request_headers.as_ref()?;
            let route = routed.map(|(route, _)| route);
            let cluster = route.and_then(|route| route.cluster(|| self.lot.draw()));
            let upstream = cluster.and_then(|cluster| listener.clusters().get(cluster));
            // The echo tells the whole target, and HTTP/2 sends it; where the client sent a path alone, the rest is what plugins see.
            let original = Some(original)
                .filter(|original| original.uri.authority().is_some() || upstream.is_some_and(Upstream::speaks_http1));
            let parts = match original.and_then(|original| convert::unchanged::request(headers, original, self.secure))
            {
                Some(parts) => Ok(parts),
                None => convert::to_request(headers),
            };
            Some(Ok(Routed { route, cluster, upstream, parts }))
        })
    }
}

impl Transport for Routing {
    type Incoming = Inbound;
    type Answer = Answer;
    type AnswerBody = AnswerBody;
    type Failure = UpstreamError;

    const KEEPS_LAST_BYTE: bool = true;

    fn send(&mut self, info: &SharedStreamInfo, original: Parts, body: QueueBody) -> Result<Answer, Refused> {
        let listener = self.listener.state();
        let no_head = Refused::Unsendable(convert::Unsendable::Pseudo(":method"));
        let Routed { route, cluster, upstream, parts } = self.route(&listener, info, original).ok_or(no_head)??;
        let (Some(route), Some(cluster), Some(upstream)) = (route, cluster, upstream) else {
            info.with(|info| info.response_flags |= response_flag::NO_ROUTE_FOUND);
            return Err(local_response(404, "route_not_found", "").into());
        };
        let mut parts = parts?;
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(local_response(405, "method_not_supported", "the method is not supported").into());
        }
        rewrite(route, &mut parts.uri)?;
        let sent = upstream_stats::sent(info, route, cluster, upstream);
        self.sent = Some(sent);
        let limit =
            route.timeout.map_or_else(|| upstream.timeout(), |limit| Some(limit).filter(|limit| !limit.is_zero()));
        self.timer.limit_upstream(limit);
        Ok(upstream.send(Request::from_parts(parts, body), upstream_stats::connected(info, sent)))
    }

    fn answered(&mut self, info: &SharedStreamInfo, _: &mut response::Parts) -> bool {
        upstream_stats::answered(info);
        false
    }

    fn completed(&mut self, info: &SharedStreamInfo) {
        upstream_stats::complete(info, self.sent);
        self.timer.upstream_done();
    }

    fn failed(&mut self, info: &SharedStreamInfo, error: &UpstreamError) -> LocalResponse {
        let details = upstream_stats::failed(info, error);
        local_response(error.status(), &details, &before_headers(error.words()))
    }

    fn broken(&mut self, info: &SharedStreamInfo, error: &UpstreamError) -> (LocalResponse, String) {
        let details = upstream_stats::broken(info, error);
        (local_response(error.status(), &details, &before_headers(error.words())), details)
    }

    fn request_broken(&mut self, info: &SharedStreamInfo, error: &hyper::Error) -> Option<LocalResponse> {
        tracing::debug!(stream = info.with(|info| info.id), %error, "request body ended early");
        if !is_malformed(error) {
            return None;
        }
        info.with(|info| info.response_flags |= response_flag::DOWNSTREAM_PROTOCOL_ERROR);
        Some(local_response(400, "malformed_request_body", "the request's body is malformed"))
    }

    fn request_sent(&mut self) {
        self.timer.request_sent();
    }

    fn given_up(&mut self) {
        self.timer.upstream_done();
    }

    fn moved(&mut self) {
        self.timer.moved();
    }

    #[inline]
    fn expired(&mut self, info: &SharedStreamInfo, is_whole: bool) -> Option<(LocalResponse, &'static str)> {
        let expired = self.timer.expired()?;
        Some((expired.answer(self.listener.clusters(), info, is_whole), expired.details()))
    }

    fn responded(&mut self, info: &SharedStreamInfo) {
        let code = info.with(|info| info.response_code);
        if let Some(code) = code {
            self.listener.count(code);
        }
    }

    fn ended(&mut self, info: &SharedStreamInfo, is_abandoned: bool) {
        if let Some(expired) = self.timer.ended() {
            expired.note(self.listener.clusters(), info);
        } else if is_abandoned {
            info.with(upstream_stats::abandoned);
        }
    }

    fn may_tell_length(&self) -> Option<u64> {
        self.context.lengths_told.may_tell()
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
