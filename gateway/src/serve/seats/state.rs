//! The state of one connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A client that moves fewer bytes a second lags ever more.
pub(super) const SLOWEST: u64 = 1024;

/// Milliseconds since the seats were made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

/// The standing of a connection, which decides whether it keeps its seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Without a request, since then.
    Free { since: Duration },
    /// A request waits for the client, whom the gateway has waited for longer than its bytes are worth.
    Lagging { by: Duration },
    /// A request waits for plugins or the upstream.
    Busy,
}

/// The state that the worker of a connection writes and those who look for a seat read. Nothing hangs on the order of its parts: a
/// verdict on a state of a moment ago is as good.
#[derive(Debug)]
pub(crate) struct State {
    clock: Clock,
    /// Requests in flight.
    requests: AtomicU32,
    /// Number of things that the gateway waits for from the client: parts of requests, and parts of responses to be read.
    waits: AtomicU32,
    /// The socket takes no more bytes; counted in `waits`.
    blocked: AtomicBool,
    free_since: AtomicU64,
    /// Milliseconds that the client lagged when the gateway began to wait, or waited last.
    lag: AtomicU64,
    waiting_since: AtomicU64,
}

/// A request in flight; it ends with this.
#[derive(Debug)]
pub(crate) struct Request(Arc<State>);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Duration {
        Instant::now().saturating_duration_since(self.0)
    }

    fn millis(self) -> u64 {
        u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX)
    }
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            requests: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            free_since: AtomicU64::new(clock.millis()),
            lag: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
        }
    }

    /// Returns the state of a connection that is among no others.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Self::new(Clock::start())
    }

    pub(super) fn standing(&self, now: Duration) -> Standing {
        if self.waits.load(Ordering::Relaxed) > 0 {
            let since = Duration::from_millis(self.waiting_since.load(Ordering::Relaxed));
            let lag = Duration::from_millis(self.lag.load(Ordering::Relaxed));
            Standing::Lagging { by: lag.saturating_add(now.saturating_sub(since)) }
        } else if self.requests.load(Ordering::Relaxed) > 0 {
            Standing::Busy
        } else {
            Standing::Free { since: Duration::from_millis(self.free_since.load(Ordering::Relaxed)) }
        }
    }

    /// Returns whether it is without a request.
    pub(crate) fn is_free(&self) -> bool {
        matches!(self.standing(self.clock.now()), Standing::Free { .. })
    }

    /// Begins a request.
    pub(crate) fn begin(self: &Arc<Self>) -> Request {
        if add(&self.requests, 1) == 1 && self.waits.load(Ordering::Relaxed) == 0 {
            // What the client was slow at before is forgiven.
            self.lag.store(0, Ordering::Relaxed);
        }
        Request(Arc::clone(self))
    }

    /// Begins to wait for the client.
    pub(super) fn wait(&self) {
        if add(&self.waits, 1) == 1 {
            self.waiting_since.store(self.clock.millis(), Ordering::Relaxed);
        }
    }

    /// Ends a wait for the client.
    pub(super) fn go_on(&self) {
        self.moved(0);
        add(&self.waits, -1);
    }

    /// Notes that the client has sent or read bytes.
    pub(super) fn moved(&self, bytes: usize) {
        let worth = (bytes as u64).saturating_mul(1000) / SLOWEST;
        let mut lag = self.lag.load(Ordering::Relaxed);
        if self.waits.load(Ordering::Relaxed) > 0 {
            let now = self.clock.millis();
            lag = lag.saturating_add(now.saturating_sub(self.waiting_since.swap(now, Ordering::Relaxed)));
        }
        self.lag.store(lag.saturating_sub(worth), Ordering::Relaxed);
    }

    /// Notes that the socket takes no more bytes.
    pub(super) fn block(&self) {
        if !self.blocked.swap(true, Ordering::Relaxed) {
            self.wait();
        }
    }

    /// Notes that the socket has taken bytes.
    pub(super) fn unblock(&self, bytes: usize) {
        if self.blocked.load(Ordering::Relaxed) {
            self.blocked.store(false, Ordering::Relaxed);
            self.moved(bytes);
            self.go_on();
        }
    }
}

impl Request {
    pub(super) fn state(&self) -> &State {
        &self.0
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if add(&self.0.requests, -1) == 0 {
            self.0.free_since.store(self.0.clock.millis(), Ordering::Relaxed);
        }
    }
}

/// Adds to a number that one thread alone writes, and returns the sum: without the bus lock of `fetch_add`.
fn add(number: &AtomicU32, change: i32) -> u32 {
    let sum = number.load(Ordering::Relaxed).saturating_add_signed(change);
    number.store(sum, Ordering::Relaxed);
    sum
}
