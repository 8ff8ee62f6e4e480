//! A stream through the chain, which the hooks of a request share.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora_core::{BError, Error, ErrorType};
use portcullis_chain::{StreamEffect, StreamId, Worker, local_response};
use portcullis_core::model::{Body, Direction, Headers, LocalResponse, SharedStreamInfo};
use portcullis_driver::{ManyThreads, Shard, Upstreams};
use tokio::time::timeout;

use crate::heads::Asked;
use crate::options::Options;

/// The time between two looks at what a stream that is held waits for.
const RECHECK: Duration = Duration::from_millis(250);

/// Parts of messages that have left the chain and have not been sent.
#[derive(Debug, Default)]
pub(crate) struct Outs {
    pub(crate) request: Out,
    pub(crate) response: Out,
    /// The request is answered without its upstream.
    pub(crate) request_done: bool,
    /// A response has been fed: the chain takes no other.
    pub(crate) has_response: bool,
    /// The response cannot be completed.
    pub(crate) reset: Option<&'static str>,
}

/// The same of one direction.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// The head has left.
    pub(crate) head: bool,
    /// The response is not the upstream's.
    pub(crate) local: bool,
    pub(crate) body: Body,
    pub(crate) trailers: bool,
    /// Nothing follows.
    pub(crate) end: bool,
}

/// A stream. It ends when the last of its handles goes, or before.
pub(crate) struct Stream<U: Upstreams> {
    shard: Shard<ManyThreads, U>,
    id: StreamId,
    info: SharedStreamInfo,
    options: Options,
    asked: Asked,
    started: Instant,
    /// None when the stream is over.
    outs: Mutex<Option<Outs>>,
}

impl<U: Upstreams> Stream<U> {
    /// Begins a stream with a request's head.
    pub(crate) fn open(
        shard: Shard<ManyThreads, U>,
        info: SharedStreamInfo,
        options: Options,
        asked: Asked,
        (headers, end): (Headers, bool),
    ) -> Self {
        let id = shard.with(|worker, chain| worker.open(chain, info.clone(), options.buffer_limit));
        let stream =
            Self { shard, id, info, options, asked, started: Instant::now(), outs: Mutex::new(Some(Outs::default())) };
        stream.feed(|worker, id| worker.headers(id, Direction::Request, headers, end));
        stream
    }

    pub(crate) fn info(&self) -> &SharedStreamInfo {
        &self.info
    }

    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }

    /// Calls into the worker, and takes what leaves the chain.
    pub(crate) fn feed<R>(&self, call: impl FnOnce(&mut Worker, StreamId) -> R) -> R {
        self.shard.driver().call(|worker| {
            let result = call(worker, self.id);
            if let Some(outs) = &mut *self.lock() {
                while let Some(effect) = worker.stream_effect(self.id) {
                    outs.take(effect);
                }
            }
            result
        })
    }

    /// Accesses what has left the chain.
    pub(crate) fn outs<R>(&self, access: impl FnOnce(&mut Outs) -> R) -> R {
        match &mut *self.lock() {
            Some(outs) => access(outs),
            None => access(&mut Outs { reset: Some("the stream is over"), ..Outs::default() }),
        }
    }

    /// Feeds a part of a body, and what is told with it.
    pub(crate) fn body(&self, direction: Direction, data: Bytes, end: bool) {
        self.feed(|worker, id| worker.body(id, direction, Body::from(data), end));
    }

    /// Returns whether nothing more is to be read of a direction, nor sent.
    pub(crate) fn has_ended(&self, direction: Direction) -> bool {
        self.outs(|outs| outs.reset.is_some() || outs.is_over(direction))
    }

    pub(crate) fn wants_body(&self, direction: Direction) -> bool {
        self.shard.driver().with(|worker| worker.wants_body(self.id, direction))
    }

    pub(crate) fn hears_body(&self, direction: Direction) -> bool {
        self.shard.driver().with(|worker| worker.hears_body(self.id, direction))
    }

    pub(crate) fn reply(&self, response: LocalResponse) {
        self.feed(|worker, id| worker.reply(id, response));
    }

    /// Polls until the chain has come so far, or the stream is cut.
    pub(crate) fn poll_until(&self, cx: &mut Context<'_>, is_so: &(impl Fn(&Outs) -> bool + ?Sized)) -> Poll<()> {
        if self.lock().is_none() {
            return Poll::Ready(());
        }
        self.shard.driver().register(self.id, cx.waker());
        self.feed(|_, _| ());
        match self.outs(|outs| outs.reset.is_some() || is_so(outs)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Waits until the chain has come so far, or the stream is cut. Plugins that hold the direction for longer than they may are overruled.
    pub(crate) async fn until(&self, direction: Direction, is_so: impl Fn(&Outs) -> bool + Send + Sync) {
        let begin = Instant::now();
        while !self.wait(&is_so).await {
            if begin.elapsed() >= self.options.pause_limit {
                self.expire(direction);
            }
        }
    }

    /// Waits as [`Stream::until`] does for a head that has to go before its body: for nothing but callouts.
    pub(crate) async fn until_callouts_end(&self, direction: Direction, is_so: impl Fn(&Outs) -> bool + Send + Sync) {
        let begin = Instant::now();
        while !self.outs(|outs| outs.reset.is_some() || is_so(outs)) {
            let waits = self.feed(|worker, id| worker.awaits_callout(id));
            if !waits && self.overrule(direction, Overruled::NoWait) {
                continue;
            }
            if !self.wait(&is_so).await && begin.elapsed() >= self.options.pause_limit {
                self.expire(direction);
            }
        }
    }

    /// Waits until the chain takes more of a body, or the stream is cut.
    pub(crate) async fn until_wanted(&self, direction: Direction) {
        let begin = Instant::now();
        while !self.wants_body(direction) && self.outs(|outs| outs.reset.is_none() && !outs.is_over(direction)) {
            // Whatever makes room is an effect of the stream.
            let wait = poll_fn(|cx| {
                self.shard.driver().register(self.id, cx.waker());
                self.feed(|_, _| ());
                if self.wants_body(direction) { Poll::Ready(()) } else { Poll::Pending }
            });
            if timeout(RECHECK, wait).await.is_err() && begin.elapsed() >= self.options.pause_limit {
                self.expire(direction);
            }
        }
    }

    /// Ends pauses that have lasted too long; a stream in which nothing is held, and nothing moves, is cut.
    fn expire(&self, direction: Direction) {
        if !self.overrule(direction, Overruled::TooLong) {
            self.outs(|outs| outs.reset = Some("nothing moves"));
        }
    }

    /// Waits for a while; returns whether the chain has come so far.
    async fn wait(&self, is_so: &(impl Fn(&Outs) -> bool + Sync)) -> bool {
        timeout(RECHECK, poll_fn(|cx| self.poll_until(cx, is_so))).await.is_ok()
    }

    /// Ends the pauses of a direction by the failure policies of the plugins that hold it; returns whether there were any.
    pub(crate) fn overrule(&self, direction: Direction, why: Overruled) -> bool {
        let plugins = self.feed(|worker, id| worker.end_pause(id, direction));
        if plugins.is_empty() {
            return false;
        }
        let (plugin, stream) = (plugins.join(", "), self.info.with(|info| info.id));
        let message = match direction {
            Direction::Request => "request",
            Direction::Response => "response",
        };
        match why {
            Overruled::TooLong => tracing::warn!(
                stream,
                plugin,
                "the plugin has held a {message} for longer than pause_limit ({:?}), so its failure policy decides: give its callouts a \
                 shorter timeout, or raise pause_limit",
                self.options.pause_limit
            ),
            Overruled::NoWait => tracing::warn!(
                stream,
                plugin,
                "the plugin holds the {message}, and its failure policy decides: Pingora's hooks let a head wait for callouts and not for the \
                 body, and a response's body for nothing; set {message}_body to buffer, or let the plugin hold nothing there"
            ),
        }
        true
    }

    /// Cuts the stream because a message is not as long as its head says, or answers it if no response has begun.
    pub(crate) fn wrong_length(&self, direction: Direction) {
        let (message, details) = match direction {
            Direction::Request => ("request", "request_length_mismatch"),
            Direction::Response => ("response", "response_length_mismatch"),
        };
        let plugins = self.shard.driver().with(|worker| worker.resized(self.id, direction)).join(", ");
        tracing::warn!(
            stream = self.info.with(|info| info.id),
            plugin = plugins,
            "the {message}'s body is longer or shorter than its content-length, which has been sent: a plugin that changes bodies removes \
             content-length, or holds the head until it has the whole body"
        );
        let response = local_response(500, details, &format!("a plugin changed the length of the {message}'s body"));
        self.feed(|worker, id| worker.fail(id, response, details, String::new()));
        if direction == Direction::Response {
            // For the chain it may be whole.
            self.outs(|outs| outs.reset = Some(details));
        }
    }

    /// Notes the upstream that the request is about to be sent to.
    pub(crate) fn note_upstream(&self, upstream: Option<SocketAddr>, local: Option<SocketAddr>) {
        let ready = self.started.elapsed();
        self.info.with(|info| {
            (info.upstream, info.upstream_local) = (upstream, local);
            info.upstream_attempts += 1;
            info.upstream_ready = nanoseconds(ready);
        });
    }

    /// Notes that the upstream has answered.
    pub(crate) fn note_response(&self) {
        self.info.with(|info| info.response_details = Some("via_upstream".to_owned()));
    }

    /// Notes that the upstream's answer is complete.
    pub(crate) fn note_complete(&self) {
        let taken = nanoseconds(self.started.elapsed());
        self.info.with(|info| {
            let latency = taken.zip(info.upstream_ready).map(|(taken, ready)| taken.saturating_sub(ready));
            info.backend_latency = info.backend_latency.or(latency);
        });
    }

    /// Ends the stream: plugins log it.
    pub(crate) fn finish(&self) {
        if self.lock().take().is_none() {
            return;
        }
        if self.info.with(|info| info.response_details.as_deref() == Some("via_upstream")) {
            self.note_complete();
        }
        self.info.with(|info| info.duration = nanoseconds(self.started.elapsed()));
        self.shard.driver().finish(self.id);
    }

    /// Returns the error that gives up Pingora's own way through a request: the plugins have answered, or cut the stream.
    pub(crate) fn given_up(&self) -> BError {
        match self.outs(|outs| outs.reset) {
            Some(reason) => Error::explain(ErrorType::InternalError, format!("the stream was cut: {reason}")),
            None => Error::explain(ErrorType::InternalError, "plugins have answered the request"),
        }
    }

    /// The lock is held for no call into the worker but inside one.
    fn lock(&self) -> MutexGuard<'_, Option<Outs>> {
        self.outs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanoseconds(time: Duration) -> Option<u64> {
    u64::try_from(time.as_nanos()).ok()
}

/// The reason for which a plugin is overruled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overruled {
    /// A message was held for longer than it may be.
    TooLong,
    /// Pingora cannot wait.
    NoWait,
}

impl Outs {
    fn take(&mut self, effect: StreamEffect) {
        let (request, response) = (&mut self.request, &mut self.response);
        match effect {
            StreamEffect::RequestHeaders { end } => (request.head, request.end) = (true, end),
            StreamEffect::RequestBody { body, end } => {
                request.body.append(body);
                request.end |= end;
            }
            StreamEffect::RequestTrailers => (request.trailers, request.end) = (true, true),
            StreamEffect::RequestDone => self.request_done = true,
            StreamEffect::ResponseHeaders { end, local } => {
                (response.head, response.local, response.end) = (true, local, end);
                if local {
                    response.body = Body::new();
                }
            }
            StreamEffect::ResponseBody { body, end } => {
                response.body.append(body);
                response.end |= end;
            }
            StreamEffect::ResponseTrailers => (response.trailers, response.end) = (true, true),
            StreamEffect::Reset { reason } => self.reset = Some(reason),
            // The peer is chosen when the request is sent, whatever it was before.
            _ => {}
        }
    }

    /// Returns whether nothing more is to be read of a direction.
    pub(crate) fn is_over(&self, direction: Direction) -> bool {
        match direction {
            Direction::Request => self.request.end || self.request_done,
            Direction::Response => self.response.end,
        }
    }

    /// Returns whether the request is answered, or cut.
    pub(crate) fn is_answered(&self) -> bool {
        self.request_done || self.reset.is_some()
    }
}

impl<U: Upstreams> Drop for Stream<U> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl<U: Upstreams> std::fmt::Debug for Stream<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("id", &self.id).finish_non_exhaustive()
    }
}
