//! One request and its response: feeds the filter chain what arrives from both sides and carries
//! out its effects.
//!
//! An exchange is not a task. hyper polls it for the response's head, then as the response's body;
//! each poll moves everything that can move, in both directions.

mod length;
mod request;
mod response;

use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use http_body::{Body as _, Frame};
use portcullis::chain::StreamId;
use portcullis::model::{Direction, LocalResponse, SharedStreamInfo, StreamInfo};
use portcullis::{Chain, StreamEffect};
use tokio::task::AbortHandle;

use crate::serve::seats::Inbound;
use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::context::{Context, next_stream};
use crate::serve::worker::cut::Cut;
use crate::serve::worker::deadline::timer::StreamTimer;
use crate::serve::worker::outgoing::Outgoing;
use crate::serve::worker::route::Lot;
use crate::serve::worker::{attributes, edge, upstream_stats};
use crate::upstream::connector::{Answer, AnswerBody};
use portcullis::chain::convert;
use portcullis::chain::convert::strip_hop_by_hop;
use portcullis_driver::body::BodySender;

/// One request and its response.
pub(crate) struct Exchange {
    context: Rc<Context>,
    listener: usize,
    stream: StreamId,
    info: SharedStreamInfo,
    /// The plugins of the route that the received request matched; they stay the stream's when they change the request.
    chain: Chain,
    /// The client used TLS.
    secure: bool,
    /// The heads as they were received, until they are sent.
    original: (Option<http::request::Parts>, Option<http::response::Parts>),
    /// The rest of the client's request, while it is wanted.
    incoming: Option<Inbound>,
    /// The client sends its body when it is told that it is wanted.
    awaits_continue: bool,
    /// The sender of the request's body, once the request has been sent.
    upload: Option<BodySender>,
    upstream: UpstreamState,
    timer: StreamTimer,
    started: std::time::Instant,
    /// The time at which the request was sent to its upstream.
    sent: Option<std::time::Instant>,
    /// The client's method, not that of plugins.
    method: Method,
    version: http::Version,
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
    /// Begins an exchange, whose stream has a task of its own over HTTP/2; `awaits_continue` is true for a client that sends its body when it
    /// is told that it is wanted.
    pub(in crate::serve::worker) fn begin(
        context: Rc<Context>,
        arrival: &Arrival,
        mut parts: http::request::Parts,
        incoming: Inbound,
        task: Option<AbortHandle>,
        awaits_continue: bool,
    ) -> Self {
        strip_hop_by_hop(&mut parts.headers);
        let tls = arrival.client.tls.as_ref();
        let listener = context.listeners.get(arrival.listener);
        let is_edge = listener.is_none_or(|listener| listener.use_remote_address);
        edge::stamp(&mut parts.headers, &arrival.client, is_edge, &mut context.request_ids.borrow_mut());
        let headers = convert::request_headers(&parts, tls.is_some());
        let lot = Lot::default();
        let route = listener.and_then(|listener| listener.route(&headers));
        let chain = route.map(|(_, chain)| chain).or_else(|| listener.map(|listener| &listener.chain));
        let chain = chain.cloned().unwrap_or_default();
        let info = StreamInfo {
            id: next_stream(),
            source: Some(arrival.client.peer),
            destination: Some(arrival.client.local),
            connection_id: arrival.connection,
            attributes: tls.map(attributes::of),
            protocol: if parts.version == http::Version::HTTP_2 {
                "HTTP/2"
            } else if parts.version == http::Version::HTTP_10 {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            start_time: context.host.clock.wall(),
            ..upstream_stats::routed(context.clusters(), route.map(|(route, _)| route), &lot)
        }
        .into_shared();
        let limit = listener.map_or(0, |listener| listener.buffer_limit);
        let end = incoming.is_end_stream();
        let stream = context.driver.with(|worker| {
            let stream = worker.open(&chain, info.clone(), limit);
            worker.headers(stream, Direction::Request, headers, end);
            stream
        });
        Self {
            listener: arrival.listener,
            stream,
            info,
            chain,
            incoming: Some(incoming).filter(|_| !end),
            awaits_continue,
            upload: None,
            upstream: UpstreamState::Idle,
            timer: StreamTimer::begin(Rc::clone(&arrival.deadlines), stream, task),
            started: std::time::Instant::now(),
            sent: None,
            method: parts.method.clone(),
            version: parts.version,
            secure: tls.is_some(),
            original: (Some(parts), None),
            out: Outgoing::default(),
            lot,
            context,
        }
    }

    /// Polls for the head of the response, or for why there is none.
    pub(in crate::serve::worker) fn poll_head(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        self.advance(cx);
        let head = self.out.take_head(&self.method, self.version);
        if head.is_ready() {
            self.timer.head_gone();
        }
        head
    }

    pub(in crate::serve::worker) fn poll_frame(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.out.is_waiting() {
            self.advance(cx);
        }
        let frame = self.out.take_frame();
        self.timer.polled(frame.is_ready(), matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame
    }

    /// Returns the part of the response that is ready for the client, and not hyper's yet.
    pub(in crate::serve::worker) fn out(&self) -> &Outgoing {
        &self.out
    }

    /// Moves everything that can move.
    fn advance(&mut self, cx: &mut std::task::Context<'_>) {
        self.context.driver.register(self.stream, cx.waker());
        let mut any = false;
        loop {
            let mut moved = false;
            loop {
                let effect = self.context.driver.with(|worker| worker.stream_effect(self.stream));
                let Some(effect) = effect else { break };
                self.apply(effect);
                moved = true;
            }
            self.context.driver.pump();
            moved |= self.answer_expired();
            moved |= self.poll_answer(cx).is_ready();
            moved |= self.poll_request_body(cx).is_ready();
            moved |= self.poll_response_body(cx).is_ready();
            if !moved {
                break;
            }
            any = true;
        }
        if any {
            self.timer.moved();
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
                    }
                    let has_wrong_length = upload.has_wrong_length();
                    if end || has_wrong_length {
                        self.upload = None;
                        self.timer.request_sent();
                    }
                    if has_wrong_length {
                        self.wrong_request_length();
                    }
                }
            }
            StreamEffect::RequestTrailers => {
                let trailers =
                    self.info.with(|info| info.request_trailers.as_ref().map(convert::to_trailers).transpose());
                match (trailers, self.upload.take()) {
                    (Ok(trailers), Some(upload)) => {
                        upload.finish(trailers);
                        self.timer.request_sent();
                        if upload.has_wrong_length() {
                            self.wrong_request_length();
                        }
                    }
                    (Err(unsendable), _) => self.fail_unsendable(&unsendable),
                    (Ok(_), None) => {}
                }
            }
            StreamEffect::RequestDone => {
                self.original.0 = None;
                self.incoming = None;
                self.upload = None;
                self.upstream = UpstreamState::Idle;
                self.timer.upstream_done();
            }
            StreamEffect::ResponseHeaders { end, .. } => self.send_head(end),
            // No body belongs to the head, or the response has been cut.
            StreamEffect::ResponseBody { .. } | StreamEffect::ResponseTrailers
                if self.out.has_ended() || self.out.is_cut() => {}
            StreamEffect::ResponseBody { body, end } => {
                let pushed = self.out.data(body);
                let ended = if end { pushed.and_then(|()| self.out.end()) } else { pushed };
                if ended.is_err() {
                    self.wrong_response_length();
                }
            }
            StreamEffect::ResponseTrailers => {
                let trailers =
                    self.info.with(|info| info.response_trailers.as_ref().map(convert::to_trailers).transpose());
                match trailers.map(|trailers| self.out.trailers(trailers)) {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => self.wrong_response_length(),
                    Err(_) => self.out.cut("unsendable_trailers"),
                }
            }
            StreamEffect::Reset { reason } => self.out.cut(reason),
            // The route is chosen when the request is sent, whatever it was before.
            _ => {}
        }
    }

    fn reply(&self, response: LocalResponse) {
        self.context.driver.with(|worker| worker.reply(self.stream, response));
    }

    /// Answers the stream, or cuts it for a reason and with details, if its response has begun.
    fn fail(&self, response: LocalResponse, reason: &'static str, details: String) {
        self.context.driver.with(|worker| worker.fail(self.stream, response, reason, details));
    }

    /// Answers in place of an upstream or client that was too slow; returns whether there was something to answer.
    fn answer_expired(&mut self) -> bool {
        let Some(expired) = self.timer.expired() else { return false };
        let response = expired.answer(&self.context, &self.info, self.incoming.is_none());
        self.fail(response, expired.details(), String::new());
        true
    }
}

impl Drop for Exchange {
    /// Ends the stream however the exchange ended: plugins log it.
    fn drop(&mut self) {
        self.info.with(|info| info.duration = u64::try_from(self.started.elapsed().as_nanos()).ok());
        if let Some(expired) = self.timer.ended() {
            expired.note(&self.context, &self.info);
        } else if !self.out.is_sent() && !self.out.is_cut() {
            self.info.with(upstream_stats::abandoned);
        }
        self.context.driver.finish(self.stream);
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("stream", &self.stream).finish_non_exhaustive()
    }
}
