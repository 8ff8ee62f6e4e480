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

mod custom;

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use pingora_core::Result;
use pingora_core::protocols::http::{HttpTask, ServerSession};
use pingora_http::ResponseHeader;
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
                // Pingora tells the end of the body after them.
                self.stream.note_complete();
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
