//! HTTP streams: how they begin and end, and what is fed to them.

use portcullis_core::model::{Body, Direction, Headers, LocalResponse, SharedStreamInfo};

use super::Inner;
use crate::effect::StreamEffect;
use crate::id::{AnyStreamId, CalloutId, StreamId};
use crate::spec::Chain;

impl Inner {
    /// Begins a stream.
    pub(crate) fn open(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> StreamId {
        self.background.note_io();
        self.revive(chain);
        let plugins = chain.plugins().map(|plugin| (plugin, self.vms.vm_of(plugin)));
        self.http.open(info, plugins, limit)
    }

    /// Feeds headers.
    pub(crate) fn headers(&mut self, stream: StreamId, direction: Direction, headers: Headers, end: bool) {
        self.http.feed_headers(stream, direction, headers, end);
        self.run(Some(stream));
    }

    /// Feeds body bytes.
    pub(crate) fn body(&mut self, stream: StreamId, direction: Direction, body: Body, end: bool) {
        self.http.feed_body(stream, direction, body, end);
        self.run(Some(stream));
    }

    /// Feeds trailers.
    pub(crate) fn trailers(&mut self, stream: StreamId, direction: Direction, trailers: Headers) {
        self.http.feed_trailers(stream, direction, trailers);
        self.run(Some(stream));
    }

    /// Says whether body bytes of a direction should be read now.
    pub(crate) fn wants_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        self.http.wants_body(&mut self.vms, stream, direction)
    }

    /// Says whether body bytes of a direction would be received by somebody now.
    pub(crate) fn hears_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        self.http.hears_body(&mut self.vms, stream, direction)
    }

    /// Returns how many body bytes of a direction plugins hold.
    pub(crate) fn held_body(&mut self, stream: StreamId, direction: Direction) -> usize {
        self.http.held(&mut self.vms, stream, direction)
    }

    /// Names the plugins of a stream that have made a body of a direction longer or shorter.
    pub(crate) fn resized(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        self.http.resized(&mut self.vms, stream, direction)
    }

    /// Says whether a plugin has a callout in flight that it has made in a stream's name.
    pub(crate) fn awaits_callout(&mut self, stream: StreamId) -> bool {
        let mut vms = self.http.vms(stream).into_iter();
        vms.any(|vm| self.callouts.of_vm(vm).into_iter().any(|id| self.asked_for(id) == Some(stream)))
    }

    /// Returns the stream in whose name a callout was made, if it is open.
    fn asked_for(&mut self, id: CalloutId) -> Option<StreamId> {
        let (vm, pending) = self.callouts.get(id)?;
        let (_, context) = self.vms.told_of(vm, pending)?;
        match self.vms.owner(vm, context?)? {
            (AnyStreamId::Http(stream), _) => Some(stream),
            (AnyStreamId::Tcp(_), _) => None,
        }
    }

    /// Ends the pauses of a direction by the failure policies of the plugins that hold it, and names these.
    pub(crate) fn end_pause(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        let held = self.http.end_pause(&mut self.vms, stream, direction);
        self.run(Some(stream));
        held.into_iter().filter_map(|plugin| self.vms.name(plugin).map(str::to_owned)).collect()
    }

    /// Answers a stream in the proxy's own name.
    pub(crate) fn reply(&mut self, stream: StreamId, response: LocalResponse) {
        self.http.reply(&mut self.vms, stream, response);
        self.run(Some(stream));
    }

    /// Answers a stream, or cuts it for this reason and with these details when its response's headers have left.
    pub(crate) fn fail(&mut self, stream: StreamId, response: LocalResponse, reason: &'static str, details: String) {
        self.http.reply_or_cut(&mut self.vms, stream, response, reason, details);
        self.run(Some(stream));
    }

    /// Takes the next thing to do for a stream.
    pub(crate) fn stream_effect(&mut self, stream: StreamId) -> Option<StreamEffect> {
        self.http.next_effect(stream)
    }

    /// Returns how many streams are open.
    pub(crate) fn stream_count(&self) -> usize {
        self.http.len()
    }

    /// Ends a stream: every plugin logs it and forgets it.
    pub(crate) fn finish(&mut self, stream: StreamId) {
        let Some(count) = self.http.begin_end(&mut self.vms, stream) else { return };
        let endless = self.callouts.with_stream(AnyStreamId::Http(stream));
        for index in 0..count {
            if self.vms.has_per_stream()
                && let Some(lacking) = self.http.lacks_vm_at(stream, index)
                && let Some(vm) = self.make_vm(lacking.plugin, lacking.connection)
            {
                self.http.set_vm(stream, index, vm);
            }
            self.http.log(&mut self.vms, stream, index);
        }
        for index in 0..count {
            self.http.forget(&mut self.vms, stream, index);
        }
        self.run(Some(stream));
        self.give_up_endless(endless);
        if self.chains.has_waiting() {
            self.note_end(self.http.plugins(stream));
            self.run(Some(stream));
        }
        let closed = self.http.close(stream);
        for vm in (0..count).filter_map(|index| closed.as_ref()?.vm(index)) {
            self.release(vm);
        }
    }
}
