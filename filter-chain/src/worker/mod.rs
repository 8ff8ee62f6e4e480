//! The worker: the events that a driver feeds, and the effects that it takes. Nothing is done here: each goes to the parts in
//! [`inner`](crate::inner).

mod setup;

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::abi::PeerType;
use portcullis_core::model::{Body, Direction, Headers, LocalResponse, SharedStreamInfo};
use portcullis_core::resources::GrpcEvent;
use portcullis_core::sandbox::HeldBytes;
use portcullis_core::vm::{CallOutcome, Part};

use crate::effect::{ConnectionEffect, Effect, StreamEffect};
use crate::id::{CalloutId, ConnectionId, StreamId};
use crate::inner::Inner;
use crate::spec::{Backoff, Chain, ChainError, PluginSpec};
use crate::vms::{Health, VmCounts};

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

/// Chains and their plugins.
impl Worker {
    /// Starts a chain: each plugin in the VM of its sandbox. A plugin that runs already, in another
    /// chain, is used again.
    ///
    /// A VM that has failed is not used again: when it has rested (see [`PluginSpec::reload`]) another one is started in
    /// its place, with all plugins that it had.
    ///
    /// # Errors
    /// A plugin did not start, or its VM has failed and still rests, with its index in `specs`; none of them runs but for those
    /// that another chain has.
    pub fn load(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.0.load(specs)
    }

    /// Starts plugins to which no stream comes; [`Worker::keep_up`] looks after them. Else as [`Worker::load`].
    ///
    /// # Errors
    /// The errors of [`Worker::load`].
    pub fn load_services(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.0.load_services(specs)
    }

    /// Starts a chain as [`Worker::load`] does, but leaves plugins that another chain has as they are, also those whose VMs have failed:
    /// streams that come to them have them started again, when they have rested. For chains of which most plugins are in chains that
    /// serve: one that fails is no reason to refuse the others.
    ///
    /// # Errors
    /// The errors of [`Worker::load`], of plugins that no other chain has.
    pub fn load_beside(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.0.load_beside(specs)
    }

    /// Starts plugins to which no stream comes, as [`Worker::load_services`] does, but leaves those that are there as
    /// [`Worker::load_beside`] does.
    ///
    /// # Errors
    /// The errors of [`Worker::load_beside`].
    pub fn load_services_beside(&mut self, specs: &[PluginSpec]) -> Result<Chain, ChainError> {
        self.0.load_services_beside(specs)
    }

    /// Starts the plugins of a chain in VMs of their own, which end at once, and touches none that runs: a plugin that fails in
    /// [`Worker::load`] may take others with it that share its VM. They find the data and queues of those that run, and change nothing
    /// there; they have no ticks and get no answers. What they log, and metrics that they define, the host gets.
    ///
    /// # Errors
    /// A plugin did not start, with its index in `specs`.
    pub fn rehearse(&self, specs: &[PluginSpec]) -> Result<(), ChainError> {
        self.0.rehearse(specs)
    }

    /// Sets how long the VMs of a chain's plugins rest ([`PluginSpec::reload`]), in the order of the chain: that is no part of a plugin's
    /// identity, so a plugin that [`Worker::load`] finds keeps what it has. Where plugins share a VM, the first one's counts.
    pub fn set_backoff(&mut self, chain: &Chain, backoffs: &[Backoff]) {
        self.0.set_backoff(chain, backoffs);
    }

    /// Takes a chain down: those of its plugins that no other chain has are asked to end when the streams over them are over, and their
    /// VMs are freed. Does nothing the second time. No stream is to be opened over the chain any more; one that is, is answered as if its
    /// plugins had failed, 503.
    pub fn unload(&mut self, chain: &Chain) {
        self.0.unload(chain);
    }

    /// Returns how many plugins of a chain that was unloaded have been asked to end, or will be when the streams over them are over, and
    /// have not ended yet.
    pub fn ending(&self, chain: &Chain) -> usize {
        self.0.ending(chain)
    }

    /// Ends those plugins of a chain that was unloaded which have been asked to and have not ended: they are deleted without their
    /// `proxy_done`, and their VMs are freed when no stream is left there. Returns how many there were.
    pub fn end_now(&mut self, chain: &Chain) -> usize {
        self.0.end_now(chain)
    }

    /// Starts those plugins of a chain again whose VMs have failed and rested and whose policy says so, as a stream would that
    /// comes to them.
    pub fn keep_up(&mut self, chain: &Chain) {
        self.0.revive(chain);
    }

    /// Moves plugins whose modules have been compiled since to VMs of these, in which they start anew as after a failure;
    /// says how many VMs have moved. Streams that a plugin has seen end in its old VM, whose root ticks on for them and is
    /// told that it ends (`proxy_on_done`) when they are over. A plugin that does not start there stays where it is, and the
    /// log says so.
    pub fn tier_up(&mut self) -> usize {
        self.0.tier_up()
    }

    /// Asks all plugins to end. Those that need time go on, and so do those of VMs with streams, until these are over; see
    /// [`Worker::pending_roots`]. A stream that comes to a plugin that has ended is answered by the plugin's failure policy.
    pub fn shut_down(&mut self) {
        self.0.shut_down();
    }

    /// Returns how many plugins have not ended yet, and VMs of streams that are over wait for callouts.
    pub fn pending_roots(&self) -> usize {
        self.0.vms().pending_roots()
    }

    /// Returns the bytes of linear memory of all VMs.
    pub fn memory_size(&mut self) -> usize {
        self.0.vms_mut().memory_size()
    }

    /// Describes how each plugin is doing, in the order in which they were loaded. A plugin that was loaded for several chains
    /// is there once.
    pub fn health(&self) -> impl Iterator<Item = Health> {
        self.0.vms().health()
    }

    /// Says whether [`Worker::health`] has changed since the last call, but for the number of VMs of streams, which
    /// [`LiveVms`](crate::LiveVms) has always.
    pub fn health_changed(&mut self) -> bool {
        self.0.vms_mut().take_changed()
    }

    /// Returns how many VMs run, and how many have failed.
    pub fn vm_counts(&self) -> VmCounts {
        self.0.vms().counts()
    }
}

/// HTTP streams.
impl Worker {
    /// Begins a stream over a chain that this worker has loaded; one of another worker is answered as if its plugins had
    /// failed, 503. `limit` is how many bytes each direction may hold.
    pub fn open(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> StreamId {
        self.0.open(chain, info, limit)
    }

    /// Feeds headers; `end` says that nothing follows. A second response is ignored.
    ///
    /// A response can be fed without a request: it reaches all plugins. What they then see of the request is nothing: its pairs are
    /// the empty map, single headers are answered as in any callback of a response, `BadArgument`, and in `proxy_on_log` `NotFound`.
    pub fn headers(&mut self, stream: StreamId, direction: Direction, headers: Headers, end: bool) {
        self.0.headers(stream, direction, headers, end);
    }

    /// Feeds body bytes; `end` says that nothing follows.
    pub fn body(&mut self, stream: StreamId, direction: Direction, body: Body, end: bool) {
        self.0.body(stream, direction, body, end);
    }

    /// Feeds trailers; nothing follows.
    pub fn trailers(&mut self, stream: StreamId, direction: Direction, trailers: Headers) {
        self.0.trailers(stream, direction, trailers);
    }

    /// Returns whether a plugin of a chain may be called for a part of the messages of a direction: its module exports a callback for
    /// it, and the plugin has the right. Where none may, a driver need not read bodies and trailers, and may leave them in the proxy
    /// that it is in; headers are always to be fed.
    ///
    /// A plugin that pauses a stream can ask for the body from its other callbacks, too, and finds nothing of what was not fed. A
    /// right that the plugin lacks is not reported as denied for what was not fed.
    pub fn has_callback_for(&self, chain: &Chain, direction: Direction, part: Part) -> bool {
        chain.plugins().any(|plugin| self.0.vms().has_callback_for(plugin, direction, part))
    }

    /// Says whether body bytes of a direction should be read now. When not, plugins hold as much as they
    /// may; that changes with the stream's effects.
    pub fn wants_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        self.0.wants_body(stream, direction)
    }

    /// Says whether body bytes of a direction would be received by somebody now: its headers have left, or the plugin that holds
    /// them receives the body meanwhile. When not, nobody needs a body yet that has not been sent.
    pub fn hears_body(&mut self, stream: StreamId, direction: Direction) -> bool {
        self.0.hears_body(stream, direction)
    }

    /// Returns how many body bytes of a direction plugins hold that stop it. A proxy that keeps received bytes itself, so that its own
    /// bounds count them, lets them go when this is 0.
    pub fn held_body(&mut self, stream: StreamId, direction: Direction) -> usize {
        self.0.held_body(stream, direction)
    }

    /// Names the plugins of a stream that have made a body of a direction longer or shorter than it came to them. Names all
    /// of them if none has: then one of them has changed what the headers say of the length.
    pub fn resized(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        self.0.resized(stream, direction)
    }

    /// Returns whether a plugin has a callout in flight that it has made in a stream's name. While there is none, only a tick, a queue or
    /// another stream can end a pause of the stream.
    pub fn awaits_callout(&mut self, stream: StreamId) -> bool {
        self.0.awaits_callout(stream)
    }

    /// Ends the pauses of a direction by the failure policies of the plugins that hold it, for a proxy that cannot wait any longer, or not
    /// there: what plugins hold that fail open goes on; for another the stream is answered 503, or cut when its response has begun. Returns the
    /// names of the plugins that held the direction; those that come after may hold it now.
    pub fn end_pause(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        self.0.end_pause(stream, direction)
    }

    /// Answers a stream in the proxy's own name, as plugins do with a local response: through the
    /// response side of the chain if no response has begun.
    pub fn reply(&mut self, stream: StreamId, response: LocalResponse) {
        self.0.reply(stream, response);
    }

    /// Answers a stream in the proxy's own name, as [`Worker::reply`] does. When its response's headers have left, it is cut for
    /// this reason and, unless they are empty, with these details for logs and properties.
    pub fn fail(&mut self, stream: StreamId, response: LocalResponse, reason: &'static str, details: String) {
        self.0.fail(stream, response, reason, details);
    }

    /// Takes the next thing to do for a stream.
    pub fn stream_effect(&mut self, stream: StreamId) -> Option<StreamEffect> {
        self.0.stream_effect(stream)
    }

    /// Ends a stream: every plugin logs it and forgets it. Plugins that the stream never reached get
    /// a context for their log, as in deployed hosts.
    pub fn finish(&mut self, stream: StreamId) {
        self.0.finish(stream);
    }

    /// Takes the next thing to do for the worker.
    #[inline]
    pub fn effect(&mut self) -> Option<Effect> {
        self.0.next_effect()
    }
}

/// TCP streams.
impl Worker {
    /// Begins a TCP stream over a chain: its plugins are told of the connection, one after the other. `limit` is how many
    /// bytes of each direction they may hold.
    pub fn connect(&mut self, chain: &Chain, info: SharedStreamInfo, limit: usize) -> ConnectionId {
        self.0.connect(chain, info, limit)
    }

    /// Feeds data; `end` says that nothing follows.
    pub fn data(&mut self, id: ConnectionId, direction: Direction, data: Body, end: bool) {
        self.0.data(id, direction, data, end);
    }

    /// Says whether data of a direction should be read now. When not, plugins hold as much as they may; that
    /// changes with the stream's effects.
    pub fn wants_data(&mut self, id: ConnectionId, direction: Direction) -> bool {
        self.0.wants_data(id, direction)
    }

    /// Tells plugins that a connection has closed, with the client ([`Direction::Request`]) or with the upstream, by whom.
    pub fn connection_closed(&mut self, id: ConnectionId, direction: Direction, peer: PeerType) {
        self.0.connection_closed(id, direction, peer);
    }

    /// Takes the next thing to do for a TCP stream.
    pub fn connection_effect(&mut self, id: ConnectionId) -> Option<ConnectionEffect> {
        self.0.connection_effect(id)
    }

    /// Ends a TCP stream, in whatever way: every plugin is done with it, logs it and forgets it.
    pub fn finish_connection(&mut self, id: ConnectionId) {
        self.0.finish_connection(id);
    }
}

/// Callouts, ticks and queues.
impl Worker {
    /// Notes that something waits for this worker that is no stream yet, as a new connection. Streams need not be told of.
    pub fn note_io(&mut self) {
        self.0.note_io();
    }

    /// Returns when [`Worker::tick`] has something to do next, on the host's monotonic clock. While streams are open that may be later than
    /// a tick is due, and it changes when they come and go; [`Worker::next_due`] does not. A driver with a timer needs neither:
    /// [`Effect::Tick`] sets it.
    pub fn next_tick(&self) -> Option<Duration> {
        self.0.next_tick()
    }

    /// Returns when the next tick is due, or a VM is to be recycled, on the host's monotonic clock.
    pub fn next_due(&self) -> Option<Duration> {
        self.0.next_due()
    }

    /// Ticks one plugin, of those whose time has come. The next period begins when the plugin has returned. Or recycles one VM that is past
    /// a bound of [`Recycle`](portcullis_core::sandbox::Recycle), or ends one that was recycled and has lingered. IO should be polled between two
    /// calls.
    pub fn tick(&mut self) {
        self.0.tick();
    }

    /// Tells one plugin of an item in a queue that it has registered, if one may be told now; says when to call this again, and
    /// `None` when there is nothing to tell. IO should be polled between two calls.
    pub fn queues_ready(&mut self) -> Option<Duration> {
        self.0.queues_ready()
    }

    /// Returns when the answer to a callout, or a part of it, may be delivered, if no stream waits for it; IO should be polled before. `None`
    /// if it is to be delivered at once.
    pub fn answer_turn(&mut self, id: CalloutId) -> Option<Duration> {
        self.0.answer_turn(id)
    }

    /// Returns room for what has come of the answer to an HTTP or gRPC callout and is not told yet, at the cost of the plugin's sandbox; `None`
    /// if the callout is not in flight.
    pub fn answer_room(&mut self, id: CalloutId) -> Option<HeldBytes> {
        self.0.answer_room(id)
    }

    /// Delivers the outcome of an HTTP callout. That of one that was cancelled is ignored.
    pub fn callout_done(&mut self, id: CalloutId, outcome: CallOutcome) {
        self.0.callout_done(id, outcome);
    }

    /// Delivers what has come of a gRPC callout. Of one that was cancelled it is ignored.
    pub fn grpc_event(&mut self, id: CalloutId, event: GrpcEvent) {
        self.0.grpc_event(id, event);
    }

    /// Delivers the addresses of a name; none if the lookup has failed. Those of a lookup that was cancelled are ignored.
    pub fn resolved(&mut self, id: CalloutId, addresses: &[IpAddr]) {
        self.0.resolved(id, addresses);
    }
}
