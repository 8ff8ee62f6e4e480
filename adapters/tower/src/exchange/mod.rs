//! One request and its response: feeds the filter chain what arrives from both sides and carries out its effects.
//!
//! [`PluginService`](crate::PluginService) is made of it, and so is the gateway of this project. A proxy that is no tower service
//! uses it by itself: the proxy's side is a [`Transport`].
//!
//! An exchange is not a task. A server polls it for the response's head, then as the response's body; each poll moves
//! everything that can move, in both directions. To drop it ends the stream.
//!
//! | the upstream is | until |
//! |---|---|
//! | idle | plugins let the request's head pass: it is sent |
//! | waiting | there is an answer, whose head plugins see, or a failure, which is answered in its place |
//! | answering | the answer's body has ended or broken off |
//! | idle again | for good: a local response, a body of a wrong length and a client's broken body lead here as well |
//!
//! | a body is read | while |
//! |---|---|
//! | the request's | plugins may hold more of it, and the upstream takes more; an upstream that has dropped the body is sent none |
//! | the response's | plugins may hold more of it, and fewer than 64 KiB wait for the client |
//!
//! ```
//! # use std::convert::Infallible;
//! # use std::future::{Ready, poll_fn, ready};
//! # use std::sync::Arc;
//! # use http::{Request, Response, request, response};
//! # use http_body_util::Full;
//! # use portcullis_chain::{Module, PluginSpec, Worker, convert};
//! # use portcullis_core::abi::{AbiVersion, CallbackId, MapType};
//! # use portcullis_core::model::{Direction, LocalResponse, Plugin, SharedStreamInfo, StreamInfo};
//! # use portcullis_core::testing::{FakeHost, NullEngine, Script};
//! # use portcullis_driver::body::BodyError;
//! # use portcullis_driver::{Builder, Shard};
//! # use portcullis_tower::{QueueBody, ServiceUpstreams};
//! use portcullis_tower::exchange::{Exchange, Opening, Refused, Transport};
//!
//! /// Answers each request that plugins let pass.
//! struct Hello;
//!
//! impl Transport for Hello {
//!     type Incoming = QueueBody;
//!     type Answer = Ready<Result<Response<Full<bytes::Bytes>>, Infallible>>;
//!     type AnswerBody = Full<bytes::Bytes>;
//!     type Failure = Infallible;
//!
//!     fn send(&mut self, _: &SharedStreamInfo, _: request::Parts, _: QueueBody) -> Result<Self::Answer, Refused> {
//!         // A proxy makes the head that it sends of `SharedStreamInfo` here.
//!         Ok(ready(Ok(Response::new(Full::from("hello")))))
//!     }
//!
//!     fn answered(&mut self, _: &SharedStreamInfo, _: &mut response::Parts) -> bool {
//!         false
//!     }
//!
//!     fn completed(&mut self, _: &SharedStreamInfo) {}
//!
//!     fn failed(&mut self, _: &SharedStreamInfo, failure: &Infallible) -> LocalResponse {
//!         match *failure {}
//!     }
//!
//!     fn broken(&mut self, _: &SharedStreamInfo, error: &Infallible) -> (LocalResponse, String) {
//!         match *error {}
//!     }
//!
//!     fn request_broken(&mut self, _: &SharedStreamInfo, _: &BodyError) -> Option<LocalResponse> {
//!         None
//!     }
//!
//!     fn may_tell_length(&self) -> Option<u64> {
//!         Some(0)
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let script = || {
//! #     Script::new().on(CallbackId::on_response_headers, |caller, _| {
//! #         caller.add_header(MapType::ResponseHeaders, "x-plugin", "seen");
//! #         0
//! #     })
//! # };
//! # let compiled = NullEngine::new(script).module()?;
//! # let module = Arc::new(Module::from_compiled("tags", AbiVersion::V0_2_1, Some(script().exports()), compiled));
//! # let nowhere = tower::service_fn(|_: Request<QueueBody>| async { Err::<Response<QueueBody>, _>("no upstream") });
//! # let start = std::time::Instant::now();
//! # let worker = Worker::new(|| Box::new(FakeHost::new()));
//! # let driver = Builder::new(worker, ServiceUpstreams::new(nowhere), move |time| start + time).build();
//! # let shard = Shard::load(driver, &[PluginSpec::new(Plugin::new("tags"), module)])?;
//! let request = Request::get("/").header("host", "example.com").body(QueueBody::empty())?;
//! let (parts, incoming) = request.into_parts();
//! let headers = convert::request_headers(&parts, false);
//! let opening = Opening { info: StreamInfo::default(), parts, incoming, awaits_continue: false };
//! let mut exchange = Exchange::begin(shard.driver().clone(), opening, |info, end| {
//!     let stream = shard.with(|worker, chain| {
//!         let stream = worker.open(chain, info, 1 << 20);
//!         worker.headers(stream, Direction::Request, headers, end);
//!         stream
//!     });
//!     (stream, Hello)
//! });
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! let (status, headers) = poll_fn(|cx| exchange.poll_head(cx)).await?;
//! assert_eq!((status.as_u16(), &headers["x-plugin"]), (200, &"seen".parse()?));
//! let frame = poll_fn(|cx| exchange.poll_frame(cx)).await.transpose()?;
//! assert_eq!(frame.and_then(|frame| frame.into_data().ok()).as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok(())
//! # }
//! ```

mod content;
mod length;
mod outgoing;
mod request;
mod response;
mod transport;

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode, Version, request as head, response as answer};
use http_body::{Body as _, Frame};
use portcullis_chain::{StreamEffect, StreamId, convert};
use portcullis_core::model::{LocalResponse, SharedStreamInfo, StreamInfo};
use portcullis_driver::body::BodySender;
use portcullis_driver::{Driver, Threads, Upstreams};

pub use self::outgoing::Outgoing;
pub use self::transport::{Refused, Transport};
use crate::cut::Cut;

/// One request and its response.
pub struct Exchange<T: Threads, U: Upstreams, X: Transport> {
    driver: Driver<T, U>,
    stream: StreamId,
    info: SharedStreamInfo,
    started: std::time::Instant,
    transport: X,
    /// The heads as they were received, until they are sent.
    original: (Option<head::Parts>, Option<answer::Parts>),
    /// The rest of the client's request, while it is wanted.
    incoming: Option<X::Incoming>,
    /// The client sends its body when it is told that it is wanted.
    awaits_continue: bool,
    /// The sender of the request's body, once the request has been sent.
    upload: Option<BodySender>,
    upstream: UpstreamState<X>,
    /// The client's method, not that of plugins.
    method: Method,
    version: Version,
    out: Outgoing,
}

enum UpstreamState<X: Transport> {
    Idle,
    Waiting(X::Answer),
    Answering(X::AnswerBody),
}

/// The beginning of an exchange.
pub struct Opening<X: Transport> {
    /// The facts that are known.
    pub info: StreamInfo,
    /// The request's head, without hop-by-hop fields.
    pub parts: head::Parts,
    /// The rest of the request.
    pub incoming: X::Incoming,
    /// The client sends its body when it is told that it is wanted, which its server does when the body is first read.
    pub awaits_continue: bool,
}

impl<T: Threads, U: Upstreams, X: Transport> Exchange<T, U, X> {
    /// Begins an exchange. `open` gets the facts, and whether the head is all of the request; it opens the stream, feeds the head, and
    /// makes the proxy's side.
    pub fn begin(
        driver: Driver<T, U>,
        opening: Opening<X>,
        open: impl FnOnce(SharedStreamInfo, bool) -> (StreamId, X),
    ) -> Self {
        let Opening { info, parts, incoming, awaits_continue } = opening;
        let (info, end) = (info.into_shared(), incoming.is_end_stream());
        let (stream, transport) = open(info.clone(), end);
        Self {
            driver,
            stream,
            info,
            transport,
            started: std::time::Instant::now(),
            incoming: Some(incoming).filter(|_| !end),
            awaits_continue,
            upload: None,
            upstream: UpstreamState::Idle,
            method: parts.method.clone(),
            version: parts.version,
            original: (Some(parts), None),
            out: Outgoing::default(),
        }
    }

    /// Polls for the head of the response, or for why there is none.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        self.advance(cx);
        self.out.take_head(&self.method, self.version, X::KEEPS_LAST_BYTE)
    }

    /// Polls for the next piece of the response's body.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.out.is_waiting() {
            self.advance(cx);
        }
        self.out.take_frame()
    }

    /// Returns the part of the response that is ready, and not taken yet.
    pub fn out(&self) -> &Outgoing {
        &self.out
    }

    /// Returns the proxy's side.
    pub fn transport(&mut self) -> &mut X {
        &mut self.transport
    }

    /// Moves everything that can move.
    fn advance(&mut self, cx: &mut Context<'_>) {
        self.driver.register(self.stream, cx.waker());
        let mut any = false;
        loop {
            let mut moved = false;
            loop {
                let effect = self.driver.with(|worker| worker.stream_effect(self.stream));
                let Some(effect) = effect else { break };
                self.apply(effect);
                moved = true;
            }
            self.driver.pump();
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
            self.transport.moved();
        }
    }

    fn apply(&mut self, effect: StreamEffect) {
        match effect {
            StreamEffect::RequestHeaders { end } => self.send_request(end),
            StreamEffect::RequestBody { body, end } => self.send_request_body(body, end),
            StreamEffect::RequestTrailers => self.send_request_trailers(),
            StreamEffect::RequestDone => {
                self.original.0 = None;
                self.give_up_request();
            }
            StreamEffect::ResponseHeaders { local, end } => self.send_head(local, end),
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
            // The request goes where the transport sends it, whenever it is sent.
            _ => {}
        }
    }

    /// Reads and sends no more of the request, and gives its answer up.
    fn give_up_request(&mut self) {
        (self.incoming, self.upload) = (None, None);
        self.upstream = UpstreamState::Idle;
        self.transport.given_up();
    }

    /// Answers in place of an upstream or client that was too slow; returns whether there was something to answer.
    fn answer_expired(&mut self) -> bool {
        let Some((response, reason)) = self.transport.expired(&self.info, self.incoming.is_none()) else {
            return false;
        };
        self.fail(response, reason, String::new());
        true
    }

    fn reply(&self, response: LocalResponse) {
        self.driver.with(|worker| worker.reply(self.stream, response));
    }

    /// Answers the stream, or cuts it for a reason and with details, if its response has begun.
    fn fail(&self, response: LocalResponse, reason: &'static str, details: String) {
        self.driver.with(|worker| worker.fail(self.stream, response, reason, details));
    }
}

impl<T: Threads, U: Upstreams, X: Transport> Drop for Exchange<T, U, X> {
    /// Ends the stream however the exchange ended: plugins log it.
    fn drop(&mut self) {
        let is_abandoned = !self.out.is_sent() && !self.out.is_cut();
        self.info.with(|info| info.duration = u64::try_from(self.started.elapsed().as_nanos()).ok());
        self.transport.ended(&self.info, is_abandoned);
        self.driver.finish(self.stream);
    }
}

impl<T: Threads, U: Upstreams, X: Transport> fmt::Debug for Exchange<T, U, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<X: Transport> fmt::Debug for Opening<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("info", &self.info).finish_non_exhaustive()
    }
}
