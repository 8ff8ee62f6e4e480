//! How a stream ends: every plugin logs it and forgets it.

use portcullis_core::model::{Access, Direction, Headers};

use super::Http;
use super::state::HttpStream;
use crate::id::{StreamId, VmId};
use crate::vms::Vms;

/// A stream that is over.
pub(crate) struct Closed(HttpStream);

impl Closed {
    /// Returns the VM that a plugin of the stream was in.
    pub(crate) fn vm(&self, index: usize) -> Option<VmId> {
        self.0.vm(index)
    }
}

impl Http {
    /// Begins to end a stream: nothing of it matters any more, and what plugins hold is taken back for the log. Returns how many plugins it
    /// has; `None` if it is over.
    pub(crate) fn begin_end(&mut self, vms: &mut Vms, stream: StreamId) -> Option<usize> {
        let state = self.streams.get_mut(stream)?;
        state.finish(Direction::Request);
        state.finish(Direction::Response);
        let count = state.plugin_count();
        self.reclaim(vms, stream);
        Some(count)
    }

    /// Has a plugin log a stream. One that the stream never reached gets a context for that.
    pub(crate) fn log(&mut self, vms: &mut Vms, stream: StreamId, index: usize) {
        if !self.ensure_context(vms, stream, index) {
            return;
        }
        if self.ends_before_log(vms, stream, index) {
            self.end_context(vms, stream, index);
        }
        let Some(state) = self.streams.known(stream) else { return };
        let Some((vm, context)) = state.context(index) else {
            debug_assert!(false, "the context of plugin {index} goes before its stream is logged");
            return;
        };
        let info = state.info();
        if let Some(lent) = vms.lent(vm, context) {
            let maps = info.with(|info| {
                [
                    (Direction::Request, info.request_headers.take(), info.request_trailers.take()),
                    (Direction::Response, info.response_headers.take(), info.response_trailers.take()),
                ]
            });
            for (direction, headers, trailers) in maps {
                if let Some(headers) = headers {
                    lent.lend_headers(direction, headers, Access::Read);
                }
                if trailers.is_some() {
                    lent.lend_trailers(direction, trailers, Access::Read);
                }
            }
        }
        vms.call(vm, |vm| vm.on_log(context));
        if let Some(lent) = vms.lent(vm, context) {
            info.with(|info| {
                info.request_headers = lent.take_headers(Direction::Request);
                info.request_trailers = lent.take_trailers(Direction::Request);
                info.response_headers = lent.take_headers(Direction::Response);
                info.response_trailers = lent.take_trailers(Direction::Response);
            });
        }
    }

    /// Has a plugin forget a stream.
    pub(crate) fn forget(&mut self, vms: &mut Vms, stream: StreamId, index: usize) {
        if !self.ends_before_log(vms, stream, index) {
            self.end_context(vms, stream, index);
        }
        let taken = self.streams.known_mut(stream).and_then(|state| state.take_context(index));
        // A plugin that could not be reached has nothing to forget.
        let Some((vm, context)) = taken else { return };
        vms.leave(vm, context);
        vms.call(vm, |vm| vm.delete(context));
    }

    /// Has a plugin log and forget a stream that is not over, and goes on without the plugin by its failure policy. Its VM is to go now.
    pub(crate) fn dismiss(&mut self, vms: &mut Vms, stream: StreamId, index: usize) {
        self.release(vms, stream, index);
        self.log(vms, stream, index);
        if !self.ends_before_log(vms, stream, index) {
            self.end_context(vms, stream, index);
        }
        // The stream keeps its context, so that it gets no other one: there is nothing behind it.
        if let Some((vm, context)) = self.streams.known(stream).and_then(|state| state.context(index)) {
            vms.leave(vm, context);
            vms.call(vm, |vm| vm.delete(context));
        }
    }

    /// Ends a stream that all plugins have forgotten.
    pub(crate) fn close(&mut self, stream: StreamId) -> Option<Closed> {
        self.streams.close(stream).map(Closed)
    }

    fn ends_before_log(&self, vms: &Vms, stream: StreamId, index: usize) -> bool {
        let plugin = self.streams.known(stream).and_then(|state| state.plugin(index));
        plugin.is_some_and(|plugin| vms.ends_before_log(plugin))
    }

    fn end_context(&self, vms: &mut Vms, stream: StreamId, index: usize) {
        if let Some((vm, context)) = self.streams.known(stream).and_then(|state| state.context(index)) {
            vms.call(vm, |vm| vm.on_done(context));
        }
    }

    /// Takes back all that plugins of a stream hold: maps to the stream's info, bodies to nowhere.
    fn reclaim(&self, vms: &mut Vms, stream: StreamId) {
        let Some(state) = self.streams.known(stream) else { return };
        state.info().with(|info| {
            for index in 0..state.plugin_count() {
                let Some((vm, context)) = state.context(index) else { continue };
                let Some(lent) = vms.lent(vm, context) else { continue };
                let keep = |slot: &mut Option<Headers>, map: Option<Headers>| {
                    if map.is_some() {
                        *slot = map;
                    }
                };
                keep(&mut info.request_headers, lent.take_headers(Direction::Request));
                keep(&mut info.request_trailers, lent.take_trailers(Direction::Request));
                keep(&mut info.response_headers, lent.take_headers(Direction::Response));
                keep(&mut info.response_trailers, lent.take_trailers(Direction::Response));
                lent.take_body(Direction::Request);
                lent.take_body(Direction::Response);
            }
        });
    }
}
