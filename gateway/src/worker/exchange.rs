//! One request and its response: feeds the filter chain what arrives from both sides and carries
//! out its effects.
//!
//! An exchange is no task. hyper polls it for the response's head, then as the response's body;
//! each poll moves everything that can move, in both directions.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, Response, StatusCode, request, response};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use portcullis::core::{Body, Direction, LocalResponse, SharedStreamInfo, StreamInfo, lock, response_flag};
use portcullis::{Chain, StreamEffect, StreamId, local_response};
use tokio::time::Sleep;

use crate::convert;
use crate::convert::canonical::canonical;
use crate::net::headers::strip_hop_by_hop;
use crate::net::io::Facts;
use crate::net::pool::UpstreamError;
use crate::net::queue::{BodySender, QueueBody, body_queue};
use crate::worker::body::{Cut, ResponseBody, is_malformed};
use crate::worker::outgoing::Outgoing;
use crate::worker::route::{Lot, rewrite, unforwarded};
use crate::worker::upstream::{Answer, AnswerBody, Upstream};
use crate::worker::{Context, callout, edge, refused, told};

/// Where a request arrived.
pub(super) struct Arrival {
    pub(super) facts: Rc<Facts>,
    pub(super) connection: u64,
    pub(super) listener: usize,
}

/// One request and its response.
pub(crate) struct Exchange {
    context: Rc<Context>,
    listener: usize,
    stream: StreamId,
    info: SharedStreamInfo,
    /// The plugins of the route that the request came to; they are the stream's, whatever they make of the request.
    chain: Chain,
    /// The client used TLS.
    secure: bool,
    /// The heads as they came, until they are passed on.
    came: (Option<request::Parts>, Option<response::Parts>),
    /// The rest of the client's request, while it is wanted.
    incoming: Option<Incoming>,
    /// Where request body goes once the request has been sent.
    upload: Option<BodySender>,
    upstream: UpstreamState,
    /// How long the upstream may take still, and at all.
    timeout: Option<(Pin<Box<Sleep>>, Duration)>,
    started: std::time::Instant,
    /// When the request was sent to its upstream.
    sent: Option<std::time::Instant>,
    head_request: bool,
    out: Outgoing,
    lot: Lot,
}

#[derive(Default)]
enum UpstreamState {
    #[default]
    Idle,
    Waiting(Answer),
    Answering(AnswerBody),
}

impl Exchange {
    /// Begins an exchange and waits for the response's head.
    ///
    /// # Errors
    /// A response that was cut before its head: the connection ends without one.
    pub(super) async fn start(
        context: Rc<Context>,
        arrival: Arrival,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, Cut> {
        let (mut parts, incoming) = request.into_parts();
        if let Err(refusal) = canonical(&mut parts, arrival.facts.local) {
            return refused::answer(&context, &arrival, parts.version, refusal);
        }
        let mut exchange = Box::new(Self::begin(context, &arrival, parts, incoming));
        let (status, mut headers) = poll_fn(|cx| exchange.poll_head(cx)).await?;
        exchange.out.fit_length(exchange.head_request, status, &mut headers);
        let mut response = Response::new(ResponseBody::Exchange(exchange));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    fn begin(context: Rc<Context>, arrival: &Arrival, mut parts: request::Parts, incoming: Incoming) -> Self {
        strip_hop_by_hop(&mut parts.headers);
        let tls = arrival.facts.tls.as_ref();
        let listener = context.listeners.get(arrival.listener);
        let is_edge = listener.is_none_or(|listener| listener.use_remote_address);
        edge::stamp(&mut parts.headers, &arrival.facts, is_edge, &mut context.request_ids.borrow_mut());
        let headers = convert::request_headers(&parts, tls.is_some());
        let lot = Lot::default();
        let route = listener.and_then(|listener| listener.route(&headers));
        let chain = route.map(|(_, chain)| chain).or_else(|| listener.map(|listener| &listener.chain));
        let chain = chain.cloned().unwrap_or_default();
        let info = StreamInfo {
            source: Some(arrival.facts.peer),
            destination: Some(arrival.facts.local),
            connection_id: arrival.connection,
            tls_version: tls.map(|tls| tls.version.to_owned()),
            server_name: tls.and_then(|tls| tls.sni.clone()),
            protocol: if parts.version == http::Version::HTTP_2 {
                "HTTP/2"
            } else if parts.version == http::Version::HTTP_10 {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            start_time: context.host.clock.wall(),
            cluster_name: route.and_then(|(route, _)| route.cluster(|| lot.draw())).map(str::to_owned),
            route_name: route.map(|(route, _)| route.name.clone()),
            ..StreamInfo::default()
        }
        .into_shared();
        let limit = listener.map_or(0, |listener| listener.buffer_limit);
        let end = incoming.is_end_stream();
        let mut worker = context.worker.borrow_mut();
        let stream = worker.open(&chain, info.clone(), limit);
        worker.headers(stream, Direction::Request, headers, end);
        drop(worker);
        Self {
            listener: arrival.listener,
            stream,
            info,
            chain,
            incoming: Some(incoming).filter(|_| !end),
            upload: None,
            upstream: UpstreamState::Idle,
            timeout: None,
            started: std::time::Instant::now(),
            sent: None,
            head_request: parts.method == Method::HEAD,
            secure: tls.is_some(),
            came: (Some(parts), None),
            out: Outgoing::default(),
            lot,
            context,
        }
    }

    fn poll_head(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        self.advance(cx);
        self.out.take_head()
    }

    pub(super) fn poll_frame(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.out.is_waiting() {
            self.advance(cx);
        }
        self.out.take_frame()
    }

    /// What is ready for the client, and not handed to hyper yet.
    pub(super) fn out(&self) -> &Outgoing {
        &self.out
    }

    /// Moves everything that can move.
    fn advance(&mut self, cx: &mut std::task::Context<'_>) {
        self.register(cx);
        loop {
            let mut moved = false;
            loop {
                let effect = self.context.worker.borrow_mut().stream_effect(self.stream);
                let Some(effect) = effect else { break };
                self.apply(effect);
                moved = true;
            }
            self.context.pump();
            moved |= self.poll_timeout(cx).is_ready();
            moved |= self.poll_answer(cx).is_ready();
            moved |= self.poll_request_body(cx).is_ready();
            moved |= self.poll_response_body(cx).is_ready();
            if !moved {
                break;
            }
        }
    }

    fn register(&self, cx: &std::task::Context<'_>) {
        let mut wakers = self.context.wakers.borrow_mut();
        match wakers.get_mut(&self.stream) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => drop(wakers.insert(self.stream, cx.waker().clone())),
        }
    }

    fn apply(&mut self, effect: StreamEffect) {
        match effect {
            StreamEffect::RequestHeaders { end } => self.send_request(end),
            StreamEffect::RequestBody { mut body, end } => {
                if let Some(upload) = &self.upload {
                    while let Some(chunk) = body.pop() {
                        upload.push(chunk);
                    }
                    if end {
                        upload.finish(None);
                        self.upload = None;
                    }
                }
            }
            StreamEffect::RequestTrailers => {
                let trailers = lock(&self.info).request_trailers.as_ref().map(convert::to_trailers).transpose();
                match (trailers, self.upload.take()) {
                    (Ok(trailers), Some(upload)) => upload.finish(trailers),
                    (Err(unsendable), _) => self.fail_unsendable(&unsendable),
                    (Ok(_), None) => {}
                }
            }
            StreamEffect::RequestDone => {
                self.came.0 = None;
                self.incoming = None;
                self.upload = None;
                self.upstream = UpstreamState::Idle;
                self.timeout = None;
            }
            StreamEffect::ResponseHeaders { end } => self.send_head(end),
            // The head was replaced by one without a body.
            StreamEffect::ResponseBody { .. } | StreamEffect::ResponseTrailers if self.out.has_ended() => {}
            StreamEffect::ResponseBody { body, end } => {
                self.out.data(body);
                if end {
                    self.out.end();
                }
            }
            StreamEffect::ResponseTrailers => {
                let trailers = lock(&self.info).response_trailers.as_ref().map(convert::to_trailers).transpose();
                match trailers {
                    Ok(trailers) => self.out.trailers(trailers),
                    Err(_) => {
                        self.out.cut("unsendable_trailers");
                        self.out.end();
                    }
                }
            }
            StreamEffect::Reset { reason } => self.out.cut(reason),
            // The route is chosen when the request is sent, whatever it was before.
            _ => {}
        }
    }

    /// Sends the request's head. The route is chosen by what the plugins made of it, among those whose plugins it has passed.
    fn send_request(&mut self, end: bool) {
        let context = Rc::clone(&self.context);
        let mut info = lock(&self.info);
        let Some(headers) = &info.request_headers else { return };
        let routed = context.listeners.get(self.listener).and_then(|listener| listener.route(headers));
        if let Some(answer) = routed.and_then(|routed| unforwarded(routed, &self.chain, &mut info)) {
            drop(info);
            return self.reply(answer);
        }
        let Some(headers) = &info.request_headers else { return };
        let route = routed.map(|(route, _)| route);
        let cluster = route.and_then(|route| route.cluster(|| self.lot.draw()));
        let upstream = cluster.and_then(|cluster| context.clusters.get(cluster));
        // The echo tells the whole target, and HTTP/2 sends it; where only a path came, the rest is what plugins see.
        let came = self
            .came
            .0
            .take()
            .filter(|came| came.uri.authority().is_some() || upstream.is_some_and(Upstream::speaks_http1));
        let parts = match came.and_then(|came| convert::unchanged::request(headers, came, self.secure)) {
            Some(parts) => Ok(parts),
            None => convert::to_request(headers),
        };
        drop(info);
        let (Some(route), Some(cluster), Some(upstream)) = (route, cluster, upstream) else {
            lock(&self.info).response_flags |= response_flag::NO_ROUTE_FOUND;
            return self.reply(local_response(404, "route_not_found", ""));
        };
        let mut parts = match parts {
            Ok(parts) if matches!(parts.method, Method::CONNECT | Method::TRACE) => {
                return self.reply(local_response(405, "method_not_supported", "the method is not supported"));
            }
            Ok(parts) => parts,
            Err(unsendable) => return self.fail_unsendable(&unsendable),
        };
        if let Err(answer) = rewrite(route, &mut parts.uri) {
            return self.reply(answer);
        }
        self.sent = Some(told::sent(&self.info, route, cluster, upstream));
        let body = if end {
            QueueBody::empty()
        } else {
            let (upload, body) = body_queue();
            self.upload = Some(upload);
            body
        };
        self.upstream = UpstreamState::Waiting(upstream.send(Request::from_parts(parts, body)));
        let limit =
            route.timeout.map_or_else(|| upstream.timeout(), |limit| Some(limit).filter(|limit| !limit.is_zero()));
        self.timeout = limit.map(|limit| (Box::pin(tokio::time::sleep(limit)), limit));
    }

    fn send_head(&mut self, end: bool) {
        let came = self.came.1.take();
        let head = lock(&self.info).response_headers.as_ref().map(|headers| {
            let unchanged = came.and_then(|came| convert::unchanged::response(headers, came));
            unchanged.map_or_else(|| convert::to_response(headers), Ok)
        });
        match head {
            Some(Ok(head)) => self.out.head(head),
            Some(Err(unsendable)) => {
                tracing::warn!(%unsendable, "response replaced by 500");
                (self.incoming, self.upload, self.timeout) = (None, None, None);
                self.upstream = UpstreamState::Idle;
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                lock(&self.info).response_code = Some(status.as_u16());
                // Nothing of the plugins' response follows a head that is not theirs.
                self.out.replace(status);
            }
            None => {}
        }
        if end {
            self.out.end();
        }
        let code = lock(&self.info).response_code;
        if let Some((code, listener)) = code.zip(self.context.listeners.get(self.listener)) {
            listener.count(code);
        }
    }

    fn fail_unsendable(&mut self, unsendable: &convert::Unsendable) {
        tracing::warn!(%unsendable, "request refused");
        self.reply(local_response(500, "unsendable_request", &unsendable.to_string()));
    }

    fn reply(&self, response: LocalResponse) {
        self.context.worker.borrow_mut().reply(self.stream, response);
    }

    fn poll_timeout(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some((timeout, limit)) = &mut self.timeout else { return Poll::Pending };
        ready!(timeout.as_mut().poll(cx));
        let limit = *limit;
        self.timeout = None;
        told::timed_out(&self.info, &self.context.clusters, limit);
        self.reply(local_response(504, "response_timeout", "upstream request timeout"));
        Poll::Ready(())
    }

    fn poll_answer(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let UpstreamState::Waiting(answer) = &mut self.upstream else { return Poll::Pending };
        let answer = ready!(answer.as_mut().poll(cx));
        self.upstream = UpstreamState::Idle;
        match answer {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                told::answered(&self.info, &body);
                let end = body.is_end_stream();
                if end {
                    self.timeout = None;
                    told::complete(&self.info, self.sent);
                } else {
                    self.upstream = UpstreamState::Answering(body);
                }
                let headers = convert::response_headers(&parts);
                self.came.1 = Some(parts);
                self.context.worker.borrow_mut().headers(self.stream, Direction::Response, headers, end);
            }
            Err(error) => self.upstream_failed(&error),
        }
        Poll::Ready(())
    }

    fn poll_request_body(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(incoming) = &mut self.incoming else { return Poll::Pending };
        let mut worker = self.context.worker.borrow_mut();
        if !worker.wants_body(self.stream, Direction::Request) {
            return Poll::Pending;
        }
        if let Some(upload) = &self.upload
            && ready!(upload.poll_capacity(cx)).is_err()
        {
            // The upstream has stopped reading; what it answers decides.
            self.incoming = None;
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = incoming.is_end_stream();
                match frame.into_data() {
                    Ok(data) => worker.body(self.stream, Direction::Request, Body::from(data), end),
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            self.incoming = None;
                            worker.trailers(self.stream, Direction::Request, convert::trailers(&fields));
                        }
                        return Poll::Ready(());
                    }
                }
                if end {
                    self.incoming = None;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "request body ended early");
                drop(worker);
                (self.incoming, self.upload, self.timeout) = (None, None, None);
                self.upstream = UpstreamState::Idle;
                if is_malformed(&error) {
                    lock(&self.info).response_flags |= response_flag::DOWNSTREAM_PROTOCOL_ERROR;
                    self.reply(local_response(400, "malformed_request_body", "the request's body is malformed"));
                } else {
                    self.out.cut("request_body_broken");
                }
            }
            None => {
                self.incoming = None;
                worker.body(self.stream, Direction::Request, Body::new(), true);
            }
        }
        Poll::Ready(())
    }

    fn poll_response_body(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        /// Enough to keep a client busy while more is read.
        const AHEAD: usize = 64 << 10;
        let UpstreamState::Answering(body) = &mut self.upstream else { return Poll::Pending };
        let mut worker = self.context.worker.borrow_mut();
        if self.out.bytes() >= AHEAD || !worker.wants_body(self.stream, Direction::Response) {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = body.is_end_stream() || frame.is_trailers();
                if end {
                    told::complete(&self.info, self.sent);
                }
                match frame.into_data() {
                    Ok(data) => worker.body(self.stream, Direction::Response, Body::from(data), end),
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            (self.upstream, self.timeout) = (UpstreamState::Idle, None);
                            worker.trailers(self.stream, Direction::Response, convert::trailers(&fields));
                        }
                        return Poll::Ready(());
                    }
                }
                if end {
                    (self.upstream, self.timeout) = (UpstreamState::Idle, None);
                }
            }
            Some(Err(error)) => {
                drop(worker);
                self.upstream = UpstreamState::Idle;
                self.upstream_failed(&error);
            }
            None => {
                told::complete(&self.info, self.sent);
                (self.upstream, self.timeout) = (UpstreamState::Idle, None);
                worker.body(self.stream, Direction::Response, Body::new(), true);
            }
        }
        Poll::Ready(())
    }

    fn upstream_failed(&self, error: &UpstreamError) {
        told::failed(&self.info, error);
        let response = local_response(error.status(), error.reason(), &callout::before_headers(error));
        self.reply(response);
    }
}

impl Drop for Exchange {
    /// The exchange is over, in whatever way: plugins log it.
    fn drop(&mut self) {
        {
            let mut info = lock(&self.info);
            info.duration = u64::try_from(self.started.elapsed().as_nanos()).ok();
            if !self.out.is_sent() && !self.out.is_cut() {
                told::abandoned(&mut info);
            }
        }
        self.context.wakers.borrow_mut().remove(&self.stream);
        self.context.worker.borrow_mut().finish(self.stream);
        self.context.pump();
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("stream", &self.stream).finish_non_exhaustive()
    }
}
