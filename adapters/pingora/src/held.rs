//! A session in the place of Pingora's, for what its hooks cannot do: a request whose body has been read before its head went to the
//! upstream, and a response whose head waits for the body.
//!
//! Pingora reads a request's body from its session and writes the response to it; both go through the chain here, and either can wait.
//!
//! | | what Pingora reads, or writes | what this session does |
//! |---|---|---|
//! | request (`buffer`, once a plugin has seen of the body) | the body | returns what leaves the chain, which it feeds from the client when there is nothing |
//! | response (`buffer`) | the head | keeps it and feeds it, until the chain lets one go |
//! | | a part of the body, trailers, the end | feeds it, waits while plugins hold as much as they may, and at the end until they have let all go |
//! | | the head of a tunnel (101) | feeds it, sends it, and lets all that follows pass by, both ways |
//! | | an error page, when the response has begun | sends it past the chain |
//! | else | anything | asks the client's session |

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream as Messages;
use http::{HeaderMap, StatusCode};
use pingora_core::protocols::Digest;
use pingora_core::protocols::http::custom::CustomMessageWrite;
use pingora_core::protocols::http::custom::server::Session as CustomSession;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_core::protocols::l4::socket::SocketAddr;
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use portcullis_chain::convert;
use portcullis_core::model::{Body, Direction};
use portcullis_driver::Upstreams;

use crate::context::Kept;
use crate::heads::{Follows, Original, own_response, whole, write_response};
use crate::measured::Measured;
use crate::response::{feed_head, frame, still_tunnel, unsendable_response};
use crate::stream::Stream;

/// The session. Made by [`hold`].
struct Held<U: Upstreams> {
    client: ServerSession,
    stream: Arc<Stream<U>>,
    request: Option<HeldRequest>,
    response: Option<HeldResponse>,
    handle: Handle,
}

/// A request's body that comes out of the chain.
struct HeldRequest {
    measured: Measured,
    kept: Kept,
    is_empty: bool,
    is_done: bool,
}

/// A response that goes into the chain.
#[derive(Default)]
struct HeldResponse {
    /// The head as it came, until one is sent.
    head: Option<(Box<ResponseHeader>, Original)>,
    has_begun: bool,
    /// All of it has been fed.
    has_ended: bool,
    is_head_sent: bool,
    measured: Measured,
    is_done: bool,
    /// Plugins do not see the response that is written now.
    passes_by: bool,
}

/// Gets the client's session back.
///
/// Nothing that [`ServerSession`] offers takes a custom session out of it, so the session puts the client's here when it is
/// asked to, by a method that does nothing otherwise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handle(Arc<Mutex<Place>>);

#[derive(Default)]
enum Place {
    #[default]
    Inside,
    Asked,
    Here(Box<ServerSession>),
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place")
    }
}

impl Handle {
    fn exchange(&self, place: Place) -> Place {
        mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), place)
    }

    /// Puts the client's session back to where it was. Does nothing the second time.
    pub(crate) fn restore(&self, session: &mut Session) {
        self.exchange(Place::Asked);
        session.downstream_session.set_proxy_tasks_enabled(false);
        if let Place::Here(client) = self.exchange(Place::Inside) {
            session.downstream_session = client;
        }
    }
}

/// Puts a session in the place of the client's: for the request's body, held to a length if one is promised, and for the response.
pub(crate) fn hold<U: Upstreams + Send + Sync>(
    session: &mut Session,
    stream: &Arc<Stream<U>>,
    request: Option<Option<u64>>,
    holds_response: bool,
) -> Handle {
    let is_empty = stream.outs(|outs| outs.request.end && outs.request.body.is_empty());
    let request = request.map(|promised| HeldRequest {
        measured: Measured::new(promised, true),
        kept: Kept::default(),
        is_empty,
        is_done: is_empty,
    });
    let handle = Handle::default();
    let client = mem::replace(&mut *session.downstream_session, nobody());
    *session.downstream_session = ServerSession::new_custom(Box::new(Held {
        client,
        stream: Arc::clone(stream),
        request,
        response: holds_response.then(HeldResponse::default),
        handle: handle.clone(),
    }));
    handle
}

/// Returns a session that stands where another one has been taken away. Nothing may be asked of it.
fn nobody() -> ServerSession {
    ServerSession::new_custom(Box::new(()))
}

impl<U: Upstreams + Send + Sync> Held<U> {
    /// Reads what has left the chain of the request's body; `None` is the end. Safe to be dropped while it waits.
    async fn read_request(&mut self) -> Result<Option<Bytes>> {
        let Some(request) = &mut self.request else { return self.client.read_request_body().await };
        if request.is_done {
            return Ok(None);
        }
        loop {
            let (data, end, is_answered) =
                self.stream.outs(|outs| (whole(&mut outs.request.body), outs.request.end, outs.is_answered()));
            if is_answered {
                self.stream.until(Direction::Response, |outs| outs.response.end).await;
                return Err(self.stream.given_up());
            }
            let Ok(data) = request.measured.pass(data, end) else {
                self.stream.wrong_length(Direction::Request);
                return Err(self.stream.given_up());
            };
            request.is_done = end;
            if !data.is_empty() {
                request.kept.keep(&data);
                return Ok(Some(data));
            }
            if end {
                return Ok(None);
            }
            if self.client.is_body_done() {
                let is_there = |outs: &crate::stream::Outs| outs.request.end || outs.is_answered();
                self.stream.until(Direction::Request, is_there).await;
                continue;
            }
            self.stream.until_wanted(Direction::Request).await;
            if self.stream.outs(|outs| outs.is_answered() || !outs.request.body.is_empty()) {
                continue;
            }
            let data = self.client.read_request_body().await?;
            let end = data.is_none() || self.client.is_body_done();
            self.stream.body(Direction::Request, data.unwrap_or_default(), end);
        }
    }

    /// Feeds a part of the response, and sends what leaves the chain; returns whether all has been sent.
    async fn feed(&mut self, task: HttpTask) -> Result<bool> {
        let Some(response) = &mut self.response else { return self.client.response_duplex_vec(vec![task]).await };
        if response.passes_by {
            return self.client.response_duplex_vec(vec![task]).await;
        }
        let end = task.is_end();
        match task {
            HttpTask::Header(mut head, end) => {
                let is_tunnel = self.stream.asked().begins_tunnel(&head)?;
                if head.status.is_informational() && !is_tunnel {
                    return self.client.response_duplex_vec(vec![HttpTask::Header(head, end)]).await;
                }
                response.has_begun = true;
                let original = feed_head(&self.stream, &mut head, end || is_tunnel)?;
                response.head = Some((head, original));
                if is_tunnel {
                    response.has_ended = true;
                    return self.begin_tunnel().await;
                }
            }
            _ if response.has_ended => {}
            HttpTask::Body(data, end) | HttpTask::UpgradedBody(data, end) => {
                self.stream.body(Direction::Response, data.unwrap_or_default(), end);
            }
            HttpTask::Trailer(Some(trailers)) => {
                self.stream.feed(|worker, id| worker.trailers(id, Direction::Response, convert::trailers(&trailers)));
            }
            HttpTask::Trailer(None) | HttpTask::Done => self.stream.body(Direction::Response, Bytes::new(), true),
            HttpTask::Failed(error) => return Err(error),
        }
        response.has_ended |= end;
        self.send().await
    }

    /// Sends the head of a tunnel, whose bytes pass by then, or what plugins have answered in its place.
    async fn begin_tunnel(&mut self) -> Result<bool> {
        self.stream.until(Direction::Response, |outs| outs.response.head).await;
        let Some(response) = &mut self.response else { return Ok(false) };
        if self.stream.outs(|outs| outs.response.local || outs.reset.is_some()) {
            return self.send().await;
        }
        let head = make_head(&self.stream, response.head.take())?;
        still_tunnel(&self.stream, &head)?;
        (response.is_head_sent, response.passes_by) = (true, true);
        self.client.response_duplex_vec(vec![HttpTask::Header(head, false)]).await
    }

    /// Sends what has left the chain. Waits while plugins hold as much as they may, and at the end for all.
    async fn send(&mut self) -> Result<bool> {
        let Some(response) = &mut self.response else { return Ok(false) };
        while !response.is_done {
            let mut tasks = Vec::with_capacity(3);
            let (has_head, is_local, body, end, is_cut) = self.stream.outs(|outs| {
                let out = &mut outs.response;
                let body = if out.head { mem::take(&mut out.body) } else { Body::new() };
                (out.head, out.local, body, out.end, outs.reset.is_some())
            });
            if is_cut {
                return Err(self.stream.given_up());
            }
            let data = body.to_bytes();
            if has_head && !response.is_head_sent {
                let follows = if end { Follows::Known(data.len()) } else { Follows::Unknown };
                let mut head = make_head(&self.stream, response.head.take().filter(|_| !is_local))?;
                response.measured = frame(&self.stream, &mut head, follows)?;
                response.is_head_sent = true;
                tasks.push(HttpTask::Header(head, false));
            }
            let Ok(data) = response.measured.pass(data, end) else {
                self.stream.wrong_length(Direction::Response);
                return Err(self.stream.given_up());
            };
            if !data.is_empty() {
                tasks.push(HttpTask::Body(Some(data), false));
            }
            if end {
                tasks.push(last_task(&self.stream)?);
                response.is_done = true;
            }
            if !tasks.is_empty() {
                self.client.response_duplex_vec(tasks).await?;
            } else if response.has_ended {
                let is_sent = response.is_head_sent;
                let is_there = |outs: &crate::stream::Outs| {
                    outs.response.end || outs.response.head && (!is_sent || !outs.response.body.is_empty())
                };
                self.stream.until(Direction::Response, is_there).await;
            } else if !self.stream.wants_body(Direction::Response) {
                self.stream.until_wanted(Direction::Response).await;
            } else {
                break;
            }
        }
        Ok(response.is_done)
    }

    /// Returns whether a head that is written now begins a response that plugins see. One that comes when another has begun is an error
    /// page of Pingora's, or of the proxy's.
    fn begins_response(&mut self, status: StatusCode) -> bool {
        let Some(response) = &mut self.response else { return false };
        response.passes_by |= response.has_begun && !status.is_informational();
        !response.passes_by
    }

    fn goes_through(&self) -> bool {
        self.response.as_ref().is_some_and(|response| !response.passes_by)
    }
}

/// Makes the head that is sent: of the upstream's, or the plugins' own.
fn make_head<U: Upstreams>(
    stream: &Stream<U>,
    upstreams: Option<(Box<ResponseHeader>, Original)>,
) -> Result<Box<ResponseHeader>> {
    let made = stream.info().with(|info| {
        let now = info.response_headers.as_ref();
        match (upstreams, now) {
            (Some((mut head, original)), Some(now)) => write_response(&mut head, &original, now).map(|()| head),
            (Some((head, _)), None) => Ok(head),
            (None, Some(now)) => own_response(now).map(Box::new),
            (None, None) => Err(convert::Unsendable::Pseudo(":status")),
        }
    });
    made.map_err(|unsendable| unsendable_response(stream, &unsendable))
}

/// Returns what ends a response.
fn last_task<U: Upstreams>(stream: &Stream<U>) -> Result<HttpTask> {
    let has_trailers = stream.outs(|outs| outs.response.trailers) && !stream.asked().is_http1();
    if !has_trailers {
        return Ok(HttpTask::Done);
    }
    let trailers = stream.info().with(|info| info.response_trailers.as_ref().map(convert::to_trailers).transpose());
    let trailers = trailers.map_err(|unsendable| unsendable_response(stream, &unsendable))?;
    Ok(HttpTask::Trailer(trailers.filter(|trailers| !trailers.is_empty()).map(Box::new)))
}

#[async_trait]
impl<U: Upstreams + Send + Sync> CustomSession for Held<U> {
    fn req_header(&self) -> &RequestHeader {
        self.client.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.client.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read_request().await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.client.drain_request_body().await
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        if self.begins_response(head.status) {
            return self.feed(HttpTask::Header(head, false)).await.map(drop);
        }
        self.client.write_response_header(head).await
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(head.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        if self.goes_through() {
            return self.feed(HttpTask::Body(Some(data), end)).await.map(drop);
        }
        self.client.write_response_body(data, end).await
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        if self.goes_through() {
            return self.feed(HttpTask::Trailer(Some(Box::new(trailers)))).await.map(drop);
        }
        self.client.write_response_trailers(trailers).await
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let mut is_done = false;
        if self.goes_through() {
            for task in tasks {
                is_done |= self.feed(task).await?;
            }
        } else {
            is_done = self.client.response_duplex_vec(tasks).await?;
        }
        if self.client.was_upgraded() {
            // What the client sends now is no body.
            self.request = None;
        }
        Ok(is_done)
    }

    /// Gives the client's session back if the handle asks for it.
    fn set_proxy_tasks_enabled(&mut self, _: bool) {
        match self.handle.exchange(Place::Inside) {
            Place::Asked => {
                let client = mem::replace(&mut self.client, nobody());
                self.handle.exchange(Place::Here(Box::new(client)));
            }
            other => drop(self.handle.exchange(other)),
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_read_timeout(timeout);
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.client.get_read_timeout()
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.client.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.client.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.client.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.client.response_written()
    }

    async fn shutdown(&mut self, _: u32, _: &str) {
        self.client.shutdown().await;
    }

    fn is_body_done(&mut self) -> bool {
        match &self.request {
            Some(request) => request.is_done,
            None => self.client.is_body_done(),
        }
    }

    /// Ends the response; what was fed of it is sent.
    async fn finish(&mut self) -> Result<()> {
        let is_open = self
            .response
            .as_ref()
            .is_some_and(|response| response.has_begun && !response.has_ended && !response.passes_by);
        if is_open {
            self.feed(HttpTask::Done).await?;
        }
        self.client.finish_body().await
    }

    fn is_body_empty(&mut self) -> bool {
        match &self.request {
            Some(request) => request.is_empty,
            None => self.client.is_body_empty(),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        match &self.request {
            None => self.client.read_body_or_idle(no_body_expected).await,
            Some(request) if no_body_expected || request.is_done => self.client.read_body_or_idle(true).await,
            Some(_) => self.read_request().await,
        }
    }

    fn body_bytes_sent(&self) -> usize {
        self.client.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.client.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.client.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.client.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.client.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.client.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.client.to_h1_raw()
    }

    fn enable_retry_buffering(&mut self) {
        if self.request.is_none() {
            self.client.enable_retry_buffering();
        }
    }

    fn retry_buffer_truncated(&self) -> bool {
        match &self.request {
            Some(request) => request.kept.is_too_long(),
            None => self.client.retry_buffer_truncated(),
        }
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        match &self.request {
            Some(request) => Some(request.kept.bytes()).filter(|bytes| !bytes.is_empty()),
            None => self.client.get_retry_buffer(),
        }
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(&mut self) -> Option<Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Messages<Item = Result<Bytes>> + Unpin + Send + Sync>,
    ) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages")
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Error::e_explain(ErrorType::InternalError, "no custom messages")
    }

    fn is_upgrade_req(&self) -> bool {
        self.client.is_upgrade_req()
    }

    fn was_upgraded(&self) -> bool {
        self.client.was_upgraded()
    }
}
