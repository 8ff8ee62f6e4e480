//! HTTP streams, and the parts that TCP streams share with them.

use std::sync::Arc;

use super::{Vm, VmFailed};
use crate::abi::MapType;
use crate::abi::callback::CallbackId;
use crate::abi::filter_status::{DataStatus, HeadersStatus, TrailersStatus};
use crate::engine::Guest;
use crate::model::context::{Context, ContextId, Direction, StreamContext, StreamKind};
use crate::model::shared_stream_info::SharedStreamInfo;
use crate::model::visible::Visible;
use crate::rights::{Capabilities, Family};
use crate::vm::checked;

/// A part of an HTTP message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its headers.
    Headers,
    /// Its body, or a piece of it.
    Body,
    /// Its trailers.
    Trailers,
}

/// The callbacks for headers, whose shape changed.
const REQUEST_HEADERS: &[CallbackId] = &[CallbackId::on_request_headers, CallbackId::on_request_headers_0_1_0];
const RESPONSE_HEADERS: &[CallbackId] = &[CallbackId::on_response_headers, CallbackId::on_response_headers_0_1_0];

const fn callbacks(direction: Direction, part: Part) -> &'static [CallbackId] {
    match (direction, part) {
        (Direction::Request, Part::Headers) => REQUEST_HEADERS,
        (Direction::Request, Part::Body) => &[CallbackId::on_request_body],
        (Direction::Request, Part::Trailers) => &[CallbackId::on_request_trailers],
        (Direction::Response, Part::Headers) => RESPONSE_HEADERS,
        (Direction::Response, Part::Body) => &[CallbackId::on_response_body],
        (Direction::Response, Part::Trailers) => &[CallbackId::on_response_trailers],
    }
}

impl Part {
    /// Returns whether one of the callbacks for this part of a message of a direction is among these capabilities: exports of a
    /// module, rights of a plugin, or what is in both.
    #[inline]
    pub fn has_callback_in(self, direction: Direction, capabilities: Capabilities) -> bool {
        callbacks(direction, self).iter().any(|callback| capabilities.allows_callback(*callback))
    }
}

impl Vm {
    /// Creates the context of an HTTP stream.
    ///
    /// # Errors
    /// The VM has failed, or has no such root.
    pub fn create_stream(&mut self, root: ContextId, info: SharedStreamInfo) -> Result<ContextId, VmFailed> {
        self.create(root, info, StreamKind::Http)
    }

    pub(super) fn create(
        &mut self,
        root: ContextId,
        info: SharedStreamInfo,
        kind: StreamKind,
    ) -> Result<ContextId, VmFailed> {
        if self.failure.is_some() {
            return Err(VmFailed);
        }
        if self.state().refuses(root) {
            return Err(VmFailed);
        }
        let contexts = &mut self.state().contexts;
        let plugin = Some(Arc::clone(&contexts.root(root).ok_or(VmFailed)?.plugin));
        let stream = contexts.insert(Context::Stream(Box::new(StreamContext::new(root, plugin, info, kind))));
        let create = |guest: &mut dyn Guest| checked::on_context_create(guest, stream.as_arg(), root.as_arg());
        match self.call(stream, CallbackId::on_context_create, create) {
            Ok(_) => Ok(stream),
            Err(failed) => {
                self.state().contexts.remove(stream);
                Err(failed)
            }
        }
    }

    /// Returns what is lent to a stream's plugin, to lend more or to take it back. It outlives a failure.
    pub fn stream(&mut self, stream: ContextId) -> Option<&mut StreamContext> {
        self.state().contexts.stream_mut(stream)
    }

    /// Returns whether a part of a message would pass by all of the guest's code: the module has no callback for it. A VM that has
    /// failed lets nothing pass.
    pub fn has_no_callback_for(&mut self, direction: Direction, part: Part) -> bool {
        let exports = self.state().config.exports;
        self.failure.is_none() && exports.is_some_and(|exports| !part.has_callback_in(direction, exports))
    }

    /// Returns whether the plugin of a stream may receive a part of a message, as far as is known: its module has a callback for
    /// it, and the plugin has the right.
    pub fn may_hear(&mut self, stream: ContextId, direction: Direction, part: Part) -> bool {
        let state = self.state();
        let exports = state.config.exports.unwrap_or(Capabilities::ALL);
        let plugin = state.contexts.plugin_of(stream).flatten();
        let rights = plugin.map_or(Capabilities::ALL, |plugin| plugin.capabilities);
        part.has_callback_in(direction, exports.and(rights))
    }

    /// Headers have come; they are lent. If the guest answered or closed the stream meanwhile (an
    /// action says so), the status has no meaning: the direction stops. The same holds for bodies and
    /// trailers.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_headers(
        &mut self,
        stream: ContextId,
        direction: Direction,
        end: bool,
    ) -> Result<HeadersStatus, VmFailed> {
        let (count, id, end) = (self.show(stream, direction).0, stream.as_arg(), i32::from(end));
        let returned = match direction {
            Direction::Request => self.ask(stream, CallbackId::on_request_headers, |guest| {
                match checked::on_request_headers(guest, id, count, end)? {
                    None => checked::on_request_headers_0_1_0(guest, id, count),
                    some => Ok(some),
                }
            }),
            Direction::Response => self.ask(stream, CallbackId::on_response_headers, |guest| {
                match checked::on_response_headers(guest, id, count, end)? {
                    None => checked::on_response_headers_0_1_0(guest, id, count),
                    some => Ok(some),
                }
            }),
        }?;
        let plugin = self.state().contexts.plugin_of(stream).flatten();
        let allow_stop = plugin.is_some_and(|plugin| plugin.allow_on_headers_stop_iteration);
        Ok(HeadersStatus::from_guest(returned.unwrap_or(0), allow_stop))
    }

    /// Feeds body bytes; all that the plugin may see are lent.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_body(&mut self, stream: ContextId, direction: Direction, end: bool) -> Result<DataStatus, VmFailed> {
        let (len, id, end) = (self.show(stream, direction).1, stream.as_arg(), i32::from(end));
        let returned = match direction {
            Direction::Request => {
                self.ask(stream, CallbackId::on_request_body, |guest| checked::on_request_body(guest, id, len, end))
            }
            Direction::Response => {
                self.ask(stream, CallbackId::on_response_body, |guest| checked::on_response_body(guest, id, len, end))
            }
        }?;
        Ok(DataStatus::from_guest(returned.unwrap_or(0)))
    }

    /// Trailers have come; they are lent.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_trailers(&mut self, stream: ContextId, direction: Direction) -> Result<TrailersStatus, VmFailed> {
        let (count, id) = (self.show(stream, direction).2, stream.as_arg());
        let returned = match direction {
            Direction::Request => self
                .ask(stream, CallbackId::on_request_trailers, |guest| checked::on_request_trailers(guest, id, count)),
            Direction::Response => self
                .ask(stream, CallbackId::on_response_trailers, |guest| checked::on_response_trailers(guest, id, count)),
        }?;
        Ok(TrailersStatus::from_guest(returned.unwrap_or(0)))
    }

    /// Lets the plugin log a stream that is complete, in whatever way.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_log(&mut self, stream: ContextId) -> Result<(), VmFailed> {
        for direction in [Direction::Request, Direction::Response] {
            self.show(stream, direction);
        }
        self.call(stream, CallbackId::on_log, |guest| checked::on_log(guest, stream.as_arg())).map(drop)
    }

    /// Tells the plugin that the stream is over. Its answer is ignored, as in deployed hosts.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_done(&mut self, stream: ContextId) -> Result<(), VmFailed> {
        self.call(stream, CallbackId::on_done, |guest| checked::on_done(guest, stream.as_arg())).map(drop)
    }

    /// Makes what is lent visible; says how much it is: headers, body bytes, trailers.
    pub(super) fn show(&mut self, stream: ContextId, direction: Direction) -> (i32, i32, i32) {
        let as_arg = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        let Some(context) = self.stream(stream) else { return (0, 0, 0) };
        context.show(direction);
        let [headers, trailers] = match direction {
            Direction::Request => [MapType::RequestHeaders, MapType::RequestTrailers],
            Direction::Response => [MapType::ResponseHeaders, MapType::ResponseTrailers],
        };
        let rule = context.plugin.as_ref().and_then(|plugin| plugin.rules.get(Family::ReadHeaders));
        let count = |map| {
            let headers = context.slot(map).and_then(|slot| slot.map.as_ref());
            as_arg(headers.map_or(0, |headers| Visible { headers, map, rule }.len()))
        };
        (count(headers), as_arg(context.body_len(direction)), count(trailers))
    }
}
