//! The response side in Pingora's own way: a module of the downstream session, which is told whether a body follows a head, and whatever ends a
//! response.
//!
//! | event | what is done |
//! |---|---|
//! | the head | is fed; waits for callouts, and for nothing else |
//! | the plugins answer, or make a body where none follows | Pingora's way is given up, and `fail_to_proxy` sends what they have made |
//! | a piece of the body | is fed, and what leaves the chain takes its place: nothing can be waited for here |
//! | the end of the body | the same; a plugin that holds anything is overruled |
//! | trailers | the same |
//! | 1xx | passes by; what follows a 101 is no message any more |

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, Module};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use portcullis_chain::{convert, local_response};
use portcullis_core::model::Direction;
use portcullis_driver::Upstreams;

use crate::heads::{Follows, Original, frame_response, strip_nominated, whole, write_response};
use crate::measured::Measured;
use crate::stream::{Overruled, Stream};

/// Makes the module of each request. Of all modules it comes first, so that it is next to the proxy's hooks: compression, for one, comes after
/// the plugins.
pub(crate) struct Builder<U>(std::marker::PhantomData<fn() -> U>);

impl<U> Builder<U> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<U: Upstreams + Send + Sync> HttpModuleBuilder for Builder<U> {
    fn order(&self) -> i16 {
        i16::MAX
    }

    fn init(&self) -> Module {
        Box::new(ResponseModule::<U> { stream: None, measured: Measured::default() })
    }
}

/// The module of one request.
pub(crate) struct ResponseModule<U: Upstreams> {
    /// The stream, while its response goes this way.
    stream: Option<Arc<Stream<U>>>,
    measured: Measured,
}

impl<U: Upstreams> ResponseModule<U> {
    /// Has the response of a stream go this way; none lets it pass by.
    pub(crate) fn set(&mut self, stream: Option<Arc<Stream<U>>>) {
        self.stream = stream;
    }

    /// Takes what has left the chain.
    fn take(&mut self, stream: &Stream<U>) -> Result<Bytes> {
        let (body, end, is_cut) =
            stream.outs(|outs| (whole(&mut outs.response.body), outs.response.end, outs.reset.is_some()));
        if is_cut {
            return Err(stream.given_up());
        }
        self.measured.pass(body, end).map_err(|_| {
            stream.wrong_length(Direction::Response);
            stream.given_up()
        })
    }
}

#[async_trait]
impl<U: Upstreams + Send + Sync> HttpModule for ResponseModule<U> {
    async fn response_header_filter(&mut self, head: &mut ResponseHeader, end: bool) -> Result<()> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        let is_upgrade = stream.asked().begins_tunnel(head)?;
        if head.status.is_informational() && !is_upgrade {
            return Ok(());
        }
        if stream.outs(|outs| outs.has_response) {
            // An error page in place of a response that has broken off before it was sent.
            self.stream = None;
            return Ok(());
        }
        let original = feed_head(&stream, head, end || is_upgrade)?;
        stream.until_callouts_end(Direction::Response, |outs| outs.response.head).await;
        let (is_local, follows) = stream.outs(|outs| (outs.response.local, !outs.response.end));
        if is_local || follows && end {
            // Pingora expects no body, or another one.
            stream.until(Direction::Response, |outs| outs.response.end).await;
            return Err(stream.given_up());
        }
        if stream.outs(|outs| outs.reset.is_some()) {
            return Err(stream.given_up());
        }
        let written = stream.info().with(|info| match &info.response_headers {
            Some(now) => write_response(head, &original, now),
            None => Ok(()),
        });
        if let Err(unsendable) = written {
            return Err(unsendable_response(&stream, &unsendable));
        }
        if is_upgrade {
            self.stream = None;
            return still_tunnel(&stream, head);
        }
        self.measured = frame(&stream, head, if end { Follows::Known(0) } else { Follows::Unknown })?;
        Ok(())
    }

    fn response_body_filter(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        let Some(stream) = self.stream.clone() else { return Ok(()) };
        if stream.outs(|outs| outs.response.end) {
            *body = (!end).then(Bytes::new);
            return Ok(());
        }
        stream.body(Direction::Response, body.take().unwrap_or_default(), end);
        let is_held =
            || if end { !stream.has_ended(Direction::Response) } else { !stream.wants_body(Direction::Response) };
        while is_held() && stream.overrule(Direction::Response, Overruled::NoWait) {}
        let data = self.take(&stream)?;
        // An empty piece would be the end.
        *body = (!end || !data.is_empty()).then_some(data);
        Ok(())
    }

    fn response_trailer_filter(&mut self, trailers: &mut Option<Box<HeaderMap>>) -> Result<Option<Bytes>> {
        let Some(stream) = self.stream.clone() else { return Ok(None) };
        if stream.outs(|outs| outs.response.end) {
            return Ok(None);
        }
        let fields = trailers.take().unwrap_or_default();
        // Pingora tells the end of the body after them.
        stream.note_complete();
        stream.feed(|worker, id| worker.trailers(id, Direction::Response, convert::trailers(&fields)));
        while !stream.has_ended(Direction::Response) && stream.overrule(Direction::Response, Overruled::NoWait) {}
        let data = self.take(&stream)?;
        if stream.asked().is_http1() {
            return Ok((!data.is_empty()).then_some(data));
        }
        if !data.is_empty() {
            tracing::warn!(
                stream = stream.info().with(|info| info.id),
                "the response is cut: plugins have held a part of its body until its trailers, and Pingora's hooks send one or the other; \
                 set response_body to buffer"
            );
            return Err(Error::explain(ErrorType::InternalError, "body and trailers at once"));
        }
        let left = stream.info().with(|info| info.response_trailers.as_ref().map(convert::to_trailers).transpose());
        match left {
            Ok(left) => *trailers = left.filter(|left| !left.is_empty()).map(Box::new),
            Err(unsendable) => return Err(unsendable_response(&stream, &unsendable)),
        }
        Ok(None)
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        let mut data = Some(Bytes::new());
        self.response_body_filter(&mut data, true)?;
        Ok(data.filter(|data| !data.is_empty()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Says in a response's head how its body ends; returns what holds the body to that.
pub(crate) fn frame<U: Upstreams>(stream: &Stream<U>, head: &mut ResponseHeader, follows: Follows) -> Result<Measured> {
    let asked = stream.asked();
    let promised = frame_response(head, asked, follows)?;
    Ok(if asked.is_bare(head.status) { Measured::bare() } else { Measured::new(promised, asked.is_http1()) })
}

/// Gives up a tunnel of whose head plugins have made that of another response, which is sent without a body: Pingora would go on by the
/// upstream's head.
pub(crate) fn still_tunnel<U: Upstreams>(stream: &Stream<U>, head: &ResponseHeader) -> Result<()> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS { Ok(()) } else { Err(stream.given_up()) }
}

/// Feeds the head of a response.
pub(crate) fn feed_head<U: Upstreams>(stream: &Stream<U>, head: &mut ResponseHeader, end: bool) -> Result<Original> {
    let mut parts = head.as_owned_parts();
    convert::strip_hop_by_hop(&mut parts.headers);
    strip_nominated(head, &parts.headers)?;
    let headers = convert::response_headers(&parts);
    let original = Original::new(headers.clone(), parts.headers);
    stream.outs(|outs| outs.has_response = true);
    stream.feed(|worker, id| worker.headers(id, Direction::Response, headers, end));
    Ok(original)
}

/// Gives up a response that plugins have made unsendable.
pub(crate) fn unsendable_response<U: Upstreams>(
    stream: &Stream<U>,
    unsendable: &convert::Unsendable,
) -> pingora_core::BError {
    tracing::warn!(
        stream = stream.info().with(|info| info.id),
        "the response is replaced by 500, or cut: {unsendable}; mend the plugin"
    );
    let response = local_response(500, "unsendable_response", &unsendable.to_string());
    stream.feed(|worker, id| worker.fail(id, response, "unsendable_response", String::new()));
    Error::explain(ErrorType::HTTPStatus(500), unsendable.to_string())
}
