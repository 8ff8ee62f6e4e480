//! The request side: what `request_filter` and `request_body_filter` do.
//!
//! | the plugins, when they have been given the head | what is done |
//! |---|---|
//! | let it go | it is written back, and the proxy's own `request_filter` comes |
//! | answer | the answer is sent, and nothing else comes |
//! | hold it, and would hear the body | `buffer`: the body is read and fed meanwhile; `stream`: they may wait for callouts |
//! | hold it | waits |
//!
//! A body that has left the chain before the head was sent is handed to Pingora by [`crate::held`].

use std::future::poll_fn;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, Version};
use pingora_core::{Error, ErrorType, Result};
use pingora_proxy::Session;
use portcullis_chain::{convert, local_response};
use portcullis_core::model::Direction;
use portcullis_driver::{ManyThreads, Shard, Upstreams};

use crate::attributes::describe;
use crate::context::Context;
use crate::heads::{
    Asked, Follows, Original, frame_request, frame_response, own_response, strip_nominated, whole, write_request,
};
use crate::held;
use crate::measured::Measured;
use crate::options::{BodyMode, Options};
use crate::response::ResponseModule;
use crate::route_info::RouteInfo;
use crate::stream::Stream;

/// Gives plugins the head of a request, and writes back what they make of it; returns whether the request has been answered.
pub(crate) async fn begin<C, U: Upstreams + Send + Sync>(
    shard: Shard<ManyThreads, U>,
    options: Options,
    route: &RouteInfo,
    session: &mut Session,
    ctx: &mut Context<C, U>,
) -> Result<bool> {
    // Pingora reads from the head how the body ends before plugins can change what it says.
    let is_empty = session.is_body_empty();
    let mut parts = session.req_header().as_owned_parts();
    let mut info = describe(session, &parts);
    route.describe(&mut info);
    let local = info.destination.unwrap_or_else(|| ([0, 0, 0, 0], 80).into());
    if let Err(refusal) = convert::canonical(&mut parts, local) {
        return refuse(session, refusal).await;
    }
    convert::strip_hop_by_hop(&mut parts.headers);
    strip_nominated(session.req_header_mut(), &parts.headers)?;
    let is_secure = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let headers = convert::request_headers(&parts, is_secure);
    let original = Original::new(headers.clone(), parts.headers);
    let asked = Asked::new(&parts.method, parts.version).upgrading(session.is_upgrade_req());
    let (mut has_ended, mut is_read_ahead) = (is_empty, false);
    let stream = Arc::new(Stream::open(shard, info.into_shared(), options, asked, (headers, has_ended)));
    ctx.stream = Some(Arc::clone(&stream));

    loop {
        let (has_left, is_answered) = stream.outs(|outs| (outs.request.head, outs.is_answered()));
        if is_answered {
            return answer(session, ctx, &stream).await;
        }
        if has_left {
            break;
        }
        let is_done = |outs: &crate::stream::Outs| outs.request.head || outs.is_answered();
        let would_hear = !has_ended && stream.hears_body(Direction::Request);
        match options.request_body {
            BodyMode::Stream if would_hear => stream.until_callouts_end(Direction::Request, is_done).await,
            BodyMode::Buffer if would_hear && !stream.wants_body(Direction::Request) => {
                stream.until_wanted(Direction::Request).await;
            }
            BodyMode::Buffer if would_hear => {
                is_read_ahead = true;
                has_ended = read_ahead(session, &stream).await?;
            }
            _ => stream.until(Direction::Request, is_done).await,
        }
    }

    let written = stream.info().with(|info| match &info.request_headers {
        Some(now) => write_request(session.req_header_mut(), &original, now),
        None => Ok(()),
    });
    if let Err(unsendable) = written {
        tracing::warn!(
            stream = stream.info().with(|info| info.id),
            "the request is answered 500: {unsendable}; mend the plugin"
        );
        stream.reply(local_response(500, "unsendable_request", &unsendable.to_string()));
        return answer(session, ctx, &stream).await;
    }
    let (length, is_whole) = stream.outs(|outs| (outs.request.body.len(), outs.request.end));
    let follows = if is_whole { Follows::Known(length) } else { Follows::Unknown };
    let promised = frame_request(session.req_header_mut(), follows)?;
    // Plugins can have made a body where none came.
    is_read_ahead |= length > 0;
    let holds_response = options.response_body == BodyMode::Buffer;
    ctx.is_upload_held = is_read_ahead;
    ctx.upload.measured = Measured::new(promised, true);
    if is_read_ahead || holds_response {
        ctx.held = Some(held::hold(session, &stream, is_read_ahead.then_some(promised), holds_response));
    }
    if !holds_response {
        module(session)?.set(Some(stream));
    }
    Ok(false)
}

/// Gives plugins a piece of a request's body, and puts what leaves the chain in its place.
pub(crate) async fn pass_body<C, U: Upstreams>(
    ctx: &mut Context<C, U>,
    piece: &mut Option<Bytes>,
    end: bool,
) -> Result<()> {
    let Some(stream) = ctx.stream.clone() else { return Ok(()) };
    let (fresh, before) = ctx.upload.take(piece.take().unwrap_or_default());
    if !stream.has_ended(Direction::Request) {
        stream.body(Direction::Request, fresh, end);
        if end {
            stream.until(Direction::Request, |outs| outs.request.end || outs.is_answered()).await;
        } else {
            stream.until_wanted(Direction::Request).await;
        }
    }
    if stream.outs(|outs| outs.is_answered()) {
        stream.until(Direction::Response, |outs| outs.response.end).await;
        // Where the upstream speaks HTTP/2, Pingora would wait on for its response after any other error of this hook.
        return Err(stream.given_up().into_down());
    }
    let data = stream.outs(|outs| whole(&mut outs.request.body));
    let Ok(data) = ctx.upload.measured.pass(data, end) else {
        stream.wrong_length(Direction::Request);
        return Err(stream.given_up().into_down());
    };
    ctx.upload.keep(&data);
    let data = if before.is_empty() { data } else { BytesMut::from_iter(before.iter().chain(&data)).freeze() };
    // An empty piece would be the end.
    *piece = (!end || !data.is_empty()).then_some(data);
    Ok(())
}

/// Sends what the plugins have answered, or cuts the stream as they have; returns the status. `None` if there is nothing to send and nothing to
/// cut: a stream that was cut before its response was sent gets Pingora's own error page.
pub(crate) async fn send_answer<C, U: Upstreams + Send + Sync>(
    session: &mut Session,
    ctx: &mut Context<C, U>,
) -> Option<u16> {
    let stream = ctx.stream.clone()?;
    let is_sent = session.response_written().is_some_and(|head| !head.status.is_informational());
    let (is_cut, is_whole) =
        stream.outs(|outs| (outs.reset.is_some(), !is_sent && outs.response.head && outs.response.end));
    if !is_cut && !is_whole {
        return None;
    }
    // Whatever is sent from now on passes no plugin.
    if let Some(handle) = ctx.held.take() {
        handle.restore(session);
    }
    if let Ok(module) = module::<U>(session) {
        module.set(None);
    }
    if is_cut && !is_sent {
        return None;
    }
    if is_cut {
        ctx.is_answered = true;
        session.shutdown().await;
        return Some(0);
    }
    ctx.is_answered = true;
    // Pingora uses no connection again whose request has ended by an error, and the client is to know.
    session.set_keepalive(None);
    let status = write_answer(session, &stream).await;
    status.inspect_err(|error| tracing::debug!(%error, "an answer of plugins was not sent")).ok().or(Some(0))
}

/// Returns the module of a session that the response goes through.
pub(crate) fn module<U: Upstreams + Send + Sync>(session: &mut Session) -> Result<&mut ResponseModule<U>> {
    session.downstream_modules_ctx.get_mut::<ResponseModule<U>>().ok_or_else(|| {
        Error::explain(ErrorType::InternalError, "the proxy's modules are missing: call HttpProxy::handle_init_modules")
    })
}

/// Answers a request that has no canonical form.
async fn refuse(session: &mut Session, refusal: convert::Refusal) -> Result<bool> {
    let (status, text) = match refusal {
        convert::Refusal::Answer(status, text) => (status.as_u16(), text),
        convert::Refusal::Malformed(text) => (400, text),
    };
    session.respond_error_with_body(status, Bytes::from_static(text.as_bytes())).await?;
    Ok(true)
}

/// Reads a piece of the body while plugins hold the head, unless they let it go before; returns whether the body has ended.
async fn read_ahead<U: Upstreams>(session: &mut Session, stream: &Stream<U>) -> Result<bool> {
    send_continue(session).await?;
    let is_done = |outs: &crate::stream::Outs| outs.request.head || outs.is_answered();
    let piece = tokio::select! {
        biased;
        () = poll_fn(|cx| stream.poll_until(cx, &is_done)) => return Ok(false),
        piece = session.read_request_body() => piece.map_err(Error::into_down)?,
    };
    let end = piece.is_none() || session.is_body_done();
    stream.body(Direction::Request, piece.unwrap_or_default(), end);
    Ok(end)
}

/// Tells a client that waits for it that its body is wanted; then nobody else has to.
async fn send_continue(session: &mut Session) -> Result<()> {
    let head = session.req_header();
    let waits = |headers: &HeaderMap| {
        headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    };
    if head.version == Version::HTTP_11 && waits(&head.headers) {
        session.write_continue_response().await?;
        session.req_header_mut().remove_header(&EXPECT);
    }
    Ok(())
}

/// Sends what the plugins have answered to a request's head.
async fn answer<C, U: Upstreams + Send + Sync>(
    session: &mut Session,
    ctx: &mut Context<C, U>,
    stream: &Stream<U>,
) -> Result<bool> {
    stream.until(Direction::Response, |outs| outs.response.end).await;
    if stream.outs(|outs| outs.reset.is_some()) {
        return Err(stream.given_up());
    }
    ctx.is_answered = true;
    if let Ok(module) = module::<U>(session) {
        module.set(None);
    }
    write_answer(session, stream).await?;
    Ok(true)
}

async fn write_answer<U: Upstreams>(session: &mut Session, stream: &Stream<U>) -> Result<u16> {
    let (head, trailers) = stream.info().with(|info| {
        let head = info.response_headers.as_ref().map(own_response);
        (head, info.response_trailers.as_ref().and_then(|trailers| convert::to_trailers(trailers).ok()))
    });
    let (mut body, has_trailers) = stream.outs(|outs| (whole(&mut outs.response.body), outs.response.trailers));
    let mut head = match head {
        Some(Ok(head)) => head,
        Some(Err(unsendable)) => {
            tracing::warn!("the response is replaced by 500: {unsendable}; mend the plugin");
            body = Bytes::new();
            pingora_http::ResponseHeader::build(500, None)?
        }
        None => pingora_http::ResponseHeader::build(500, None)?,
    };
    let status = head.status;
    let is_bare = stream.asked().is_bare(status);
    frame_response(&mut head, stream.asked(), Follows::Known(body.len()))?;
    session.write_response_header(Box::new(head), is_bare).await?;
    let trailers = trailers.filter(|trailers| has_trailers && !trailers.is_empty() && !stream.asked().is_http1());
    let body = Some(body).filter(|_| !is_bare);
    match trailers {
        Some(trailers) if !is_bare => {
            session.write_response_body(body, false).await?;
            session.write_response_trailers(trailers).await?;
        }
        _ => session.write_response_body(body, true).await?,
    }
    Ok(status.as_u16())
}
