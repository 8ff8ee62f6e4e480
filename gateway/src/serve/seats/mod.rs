//! Places for the connections of clients: how many there are, and which connection gives its place to a new one when all
//! are taken.
//!
//! A connection takes a [`Seat`] when it is accepted and keeps it until its socket is closed. All workers share the seats of
//! a listener, under a lock that is held when a connection comes or goes, never for a request. How a connection stands is
//! written by its worker alone, into its [`State`]:
//!
//! | standing | what it is | when all seats are taken | when the gateway stops |
//! |---|---|---|---|
//! | free | without a request: a handshake, a head that is not whole, idle | goes if it is so longest | closed last, by its guard or `worker/drain.rs` |
//! | lagging | its request waits for bytes of the client, or for the client to read | goes if it lags most, from a tenth of a second | as busy |
//! | busy | its request waits for plugins or the upstream | stays | until `shutdown_timeout` |
//!
//! Free and lagging connections are compared by how long the gateway has waited for them: a newcomer whose head is on its way is
//! not closed before clients that are slow. A client lags by the time that the gateway has waited for it, less the time that the bytes it moved may take at
//! [`state::SLOWEST`] bytes a second; so one byte now and then does not help.

mod bodies;
mod refusal;
mod state;
mod told;
mod watched;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use slab::Slab;
use tokio::task::AbortHandle;

pub(crate) use self::bodies::{Inbound, Outbound};
pub(crate) use self::refusal::refuse;
use self::state::{Clock, Standing};
pub(crate) use self::state::{Request, State};
use self::told::Told;
pub(crate) use self::watched::Watched;

/// A client lags enough to give its seat to another when the gateway has waited for it so long: longer than a round trip to
/// most. Of those that do, the one that lags most goes first, so an honest client is not reached before all others.
const LAG: Duration = Duration::from_millis(100);

/// One connection in N gives way at once, so that the search costs little for each new connection.
const BATCH: usize = 64;

/// For each thousand connections, the time before they are looked through again when none can be ended: those who come meanwhile
/// cost no more than an answer.
const PAUSE: Duration = Duration::from_millis(1);

/// The seats of one listener. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Seats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    table: Mutex<Table>,
    told: Told,
}

#[derive(Debug, Default)]
struct Table {
    taken: Slab<Taken>,
    /// Number of connections that are being closed.
    leaving: usize,
    /// The end of a pause in the search, which found none a moment ago.
    look_again: Duration,
}

#[derive(Debug)]
struct Taken {
    state: Arc<State>,
    /// Ends the connection; there from when its task runs, and the worker that runs it.
    task: Option<(AbortHandle, ThreadId)>,
    is_leaving: bool,
}

/// The place of one connection. Dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    key: usize,
    state: Arc<State>,
}

impl Seats {
    /// Makes seats for this number of connections at once. `name` is the listener's, for log and metrics.
    pub(crate) fn new(name: &str, limit: usize) -> Self {
        let remedy = "raise max_connections, and the limit of descriptors for it (`ulimit -n`; systemd: LimitNOFILE)";
        Self::with_remedy(name, limit, remedy)
    }

    /// Creates seats with a remedy for when all are taken.
    pub(crate) fn with_remedy(name: &str, limit: usize, remedy: &'static str) -> Self {
        let told = Told::new(name, limit, remedy);
        Self(Arc::new(Inner { clock: Clock::start(), table: Mutex::default(), told }))
    }

    /// Sets how many there are. Connections that are too many then keep theirs, as long as no other comes.
    pub(crate) fn resize(&self, limit: usize) {
        self.0.told.set_limit(limit);
    }

    /// Returns how many connections that are being closed may exist beyond the limit.
    pub(crate) fn slack(limit: usize) -> usize {
        (limit / 8).clamp(1, 128)
    }

    /// Takes a seat. When none is left, connections that wait for their clients are ended for it; `None` if all are busy.
    pub(crate) async fn take(&self) -> Option<Seat> {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            if let Some(seat) = self.try_take() {
                return Some(seat);
            }
            // Those of other workers close when these get to it; our own, as soon as this task waits.
            if self.end_own(|_| true) == 0 {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.0.told.refused();
        None
    }

    fn try_take(&self) -> Option<Seat> {
        let Inner { clock, told, .. } = &*self.0;
        let limit = told.limit();
        let mut table = self.lock();
        if !table.has_room(limit) {
            let gone = table.make_room(limit, clock.now());
            told.full(gone);
            if !table.has_room(limit) {
                return None;
            }
        }
        let state = Arc::new(State::new(*clock));
        let key = table.taken.insert(Taken { state: Arc::clone(&state), task: None, is_leaving: false });
        told.active(table.taken.len());
        Some(Seat { seats: self.clone(), key, state })
    }

    /// Ends connections that wait for their clients, because descriptors are short though seats are left. Returns whether
    /// there were any.
    pub(crate) fn relieve(&self) -> bool {
        let now = self.0.clock.now();
        let ended = self.lock().end_worst(now, |taken| taken.claim(now));
        if ended > 0 {
            self.0.told.full(ended);
        }
        ended > 0
    }

    /// Ends connections of this worker whose requests wait for their clients, and keep connections with upstreams meanwhile.
    /// Returns whether there were any.
    pub(crate) fn end_lagging(&self) -> bool {
        self.end_own(|claim| claim.lags) > 0
    }

    /// Ends connections of this worker that have the least of such claims.
    fn end_own(&self, which: impl Fn(&Claim) -> bool) -> usize {
        let (now, worker) = (self.0.clock.now(), thread::current().id());
        let is_ours = |taken: &Taken| taken.task.as_ref().is_some_and(|(_, thread)| *thread == worker);
        let ended = self.lock().end_worst(now, |taken| taken.claim(now).filter(|claim| which(claim) && is_ours(taken)));
        self.0.told.closed(ended);
        ended
    }

    /// Returns whether connections that gave way are still to be closed by their workers.
    pub(crate) fn any_leaving(&self) -> bool {
        self.lock().leaving > 0
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn has_room(&self, limit: usize) -> bool {
        // Those that are leaving have descriptors still, for which there is some slack.
        self.taken.len() - self.leaving < limit && self.taken.len() < limit + Seats::slack(limit)
    }

    /// Ends some connections, unless enough are leaving already.
    fn make_room(&mut self, limit: usize, now: Duration) -> usize {
        // There may be more than the limit allows, if it was a higher one.
        if self.leaving >= Seats::slack(limit) { 0 } else { self.end_worst(now, |taken| taken.claim(now)) }
    }

    /// Ends some of the connections whose claims to their seats are the least.
    fn end_worst(&mut self, now: Duration, claim: impl Fn(&Taken) -> Option<Claim>) -> usize {
        if now < self.look_again {
            return 0;
        }
        let claims = self.taken.iter().filter_map(|(key, taken)| Some((claim(taken)?, key)));
        let mut claims: Vec<(Claim, usize)> = claims.collect();
        let most = (self.taken.len() / BATCH).clamp(1, Seats::slack(self.taken.len()));
        if claims.is_empty() {
            self.look_again = now + PAUSE * u32::try_from(self.taken.len() / 1000).unwrap_or(u32::MAX);
        }
        if claims.len() > most {
            claims.select_nth_unstable(most);
            claims.truncate(most);
        }
        for (_, key) in &claims {
            if let Some(taken) = self.taken.get_mut(*key) {
                taken.is_leaving = true;
                taken.task.iter().for_each(|(task, _)| task.abort());
            }
        }
        self.leaving += claims.len();
        claims.len()
    }
}

/// The claim of a connection on its seat; the least comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    /// The time since which it has been without a request, or waited for.
    since: Duration,
    lags: bool,
}

impl Taken {
    /// Returns its claim, unless it keeps its seat in any case.
    fn claim(&self, now: Duration) -> Option<Claim> {
        if self.is_leaving || self.task.is_none() {
            return None;
        }
        match self.state.standing(now) {
            Standing::Free { since } => Some(Claim { lags: false, since }),
            Standing::Lagging { by } if by >= LAG => Some(Claim { lags: true, since: now.saturating_sub(by) }),
            _ => None,
        }
    }
}

impl Seat {
    /// Names the task that serves the connection and owns this seat.
    pub(crate) fn occupied_by(seats: &Seats, key: usize, task: AbortHandle) {
        if let Some(taken) = seats.lock().taken.get_mut(key) {
            taken.task = Some((task, thread::current().id()));
        }
    }

    /// Returns its place among the seats, for [`Self::occupied_by`].
    pub(crate) fn key(&self) -> usize {
        self.key
    }

    /// Returns the seats that it is one of.
    pub(crate) fn seats(&self) -> &Seats {
        &self.seats
    }

    /// Returns the state of the connection.
    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        if let Some(taken) = table.taken.try_remove(self.key)
            && taken.is_leaving
        {
            table.leaving -= 1;
        }
        self.seats.0.told.active(table.taken.len());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
