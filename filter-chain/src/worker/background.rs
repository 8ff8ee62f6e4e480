//! Calls that no stream waits for, as a driver sees them.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_core::model::Percent;
use portcullis_core::resources::GrpcEvent;
use portcullis_core::sandbox::HeldBytes;
use portcullis_core::vm::CallOutcome;

use super::Worker;
use crate::background::DEFAULT_SHARE;
use crate::id::CalloutId;

/// Callouts, ticks and queues.
impl Worker {
    /// The part of a worker that [`Worker::with_tick_share`] sets, if it is not called: 20 %.
    pub const DEFAULT_TICK_SHARE: Percent = DEFAULT_SHARE;

    /// Sets which part of a worker all calls together get that no stream waits for, while IO waits.
    #[must_use]
    pub fn with_tick_share(mut self, share: Percent) -> Self {
        self.0.set_tick_share(share);
        self
    }

    /// Notes that something waits for this worker that is no stream yet, as a new connection. Streams need not be told of.
    pub fn note_io(&mut self) {
        self.0.note_io();
    }

    /// Returns when [`Worker::tick`] has something to do next, on the host's monotonic clock. While streams are open that may be later than
    /// a tick is due, and it changes when they come and go; [`Worker::next_due`] does not.
    pub fn next_tick(&self) -> Option<Duration> {
        self.0.next_tick()
    }

    /// Returns when the next tick is due, on the host's monotonic clock.
    pub fn next_due(&self) -> Option<Duration> {
        self.0.next_due()
    }

    /// Ticks one plugin, of those whose time has come. The next period begins when the plugin has returned. IO should be polled
    /// between two calls.
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
