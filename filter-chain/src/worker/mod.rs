//! The worker: what a driver calls.

mod background;
mod setup;
mod tcp;

use portcullis_core::model::{Body, Direction, Headers, LocalResponse, SharedStreamInfo};

use crate::effect::{Effect, StreamEffect};
use crate::id::StreamId;
use crate::inner::Inner;
use crate::spec::Chain;

/// VMs and the streams that pass through them, used by one thread at a time. See the crate's documentation for
/// how to drive it.
///
/// A worker can move to another thread if the engines of its plugins let their guests move
/// ([`EngineFeatures::moves`](portcullis_core::engine::EngineFeatures::moves)).
pub struct Worker(Inner);

const _: () = {
    const fn moves<T: Send>() {}
    moves::<Worker>();
};

/// HTTP streams.
impl Worker {
    /// Begins a stream over a chain that this worker has loaded; one of another worker is answered as if its plugins had
    /// failed, 503. `limit` is how many bytes each direction may hold.
    pub fn open(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> StreamId {
        self.0.open(chain, info, limit)
    }

    /// Feeds headers; `end` says that nothing follows. A second response is ignored.
    pub fn headers(&mut self, stream: StreamId, direction: Direction, headers: Headers, end: bool) {
        self.0.http().0.feed_headers(stream, direction, headers, end);
        self.0.run(Some(stream));
    }

    /// Feeds body bytes; `end` says that nothing follows.
    pub fn body(&mut self, stream: StreamId, direction: Direction, body: Body, end: bool) {
        self.0.http().0.feed_body(stream, direction, body, end);
        self.0.run(Some(stream));
    }

    /// Feeds trailers; nothing follows.
    pub fn trailers(&mut self, stream: StreamId, direction: Direction, trailers: Headers) {
        self.0.http().0.feed_trailers(stream, direction, trailers);
        self.0.run(Some(stream));
    }

    /// Says whether body bytes of a direction should be read now. When not, plugins hold as much as they
    /// may; that changes with the stream's effects.
    pub fn wants_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        let (http, vms) = self.0.http();
        http.wants_body(vms, stream, direction)
    }

    /// Says whether body bytes of a direction would be received by somebody now: its headers have left, or the plugin that holds
    /// them receives the body meanwhile. When not, nobody needs a body yet that has not been sent.
    pub fn hears_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        let (http, vms) = self.0.http();
        http.hears_body(vms, stream, direction)
    }

    /// Names the plugins of a stream that have made a body of a direction longer or shorter than it came to them. Names all
    /// of them if none has: then one of them has changed what the headers say of the length.
    pub fn resized(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        let (http, vms) = self.0.http();
        http.resized(vms, stream, direction)
    }

    /// Answers a stream in the proxy's own name, as plugins do with a local response: through the
    /// response side of the chain if no response has begun.
    pub fn reply(&mut self, stream: StreamId, response: LocalResponse) {
        let (http, vms) = self.0.http();
        http.reply(vms, stream, response);
        self.0.run(Some(stream));
    }

    /// Answers a stream in the proxy's own name, as [`Worker::reply`] does. When its response's headers have left, it is cut for
    /// this reason and, unless they are empty, with these details for logs and properties.
    pub fn fail(&mut self, stream: StreamId, response: LocalResponse, reason: &'static str, details: String) {
        let (http, vms) = self.0.http();
        http.reply_or_cut(vms, stream, response, reason, details);
        self.0.run(Some(stream));
    }

    /// Takes the next thing to do for a stream.
    pub fn stream_effect(&mut self, stream: StreamId) -> Option<StreamEffect> {
        self.0.http().0.next_effect(stream)
    }

    /// Ends a stream: every plugin logs it and forgets it. Plugins that the stream never reached get
    /// a context for their log, as in deployed hosts.
    pub fn finish(&mut self, stream: StreamId) {
        self.0.finish(stream);
    }

    /// Takes the next thing to do for the worker.
    pub fn effect(&mut self) -> Option<Effect> {
        self.0.next_effect()
    }
}
