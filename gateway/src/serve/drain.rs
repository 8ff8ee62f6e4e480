//! The orderly end of the process.
//!
//! | phase | `/ready` | connections | it ends |
//! |---|---|---|---|
//! | serving | as plugins are | are served | with SIGTERM, SIGINT, SIGQUIT or `POST /drain`: delaying |
//! | delaying | 503, `draining` | are served as before, so that balancers can see `/ready` | after `drain_delay`, or with the second signal: telling |
//! | telling | 503, `draining` | are told to close: HTTP/1 by `connection: close` on the next answer, HTTP/2 by GOAWAY. New ones are taken, and told | with a signal to stop: stopping |
//! | stopping | 503, `draining` | no new ones are taken; those without a request close last | when all have ended, or after `shutdown_timeout` |
//!
//! `POST /drain` leads to telling and no further: what watches the process would start it again if it ended. A signal leads to stopping,
//! and counts the delay from where the drain began. Stopping is told by a channel of its own, which workers wait for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The state of the process on its way to its end. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Delay of a drain that has not begun.
    delay: Mutex<Duration>,
    phase: watch::Sender<Phase>,
    /// True once connections are told, for those who look often: a look at `phase` takes a lock.
    telling: AtomicBool,
    /// Number of connections that have been told to end and have a request.
    busy: watch::Sender<usize>,
    patience: watch::Sender<Patience>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Serving,
    Delaying {
        since: Instant,
        delay: Duration,
    },
    Telling,
}

/// How long HTTP/1 connections without a request are kept when the process stops. Their clients cannot be told before they ask
/// again, and a request that crosses the close is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// A part of `shutdown_timeout`, and longer while other connections have requests.
    #[default]
    Usual,
    /// As long as `shutdown_timeout` allows: another process serves already, and nobody waits for this one to end.
    Long,
}

/// A connection that has been told to end and has a request. It ends with this.
#[derive(Debug)]
pub(crate) struct Busy(Drain);

impl Drain {
    /// Makes one with a delay between its beginning and the end of the first connection.
    pub(crate) fn new(delay: Duration) -> Self {
        Self(Arc::new(Inner { delay: Mutex::new(delay), ..Inner::default() }))
    }

    /// Changes the delay, but of a drain that has begun.
    pub(crate) fn set_delay(&self, delay: Duration) {
        *self.0.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// Begins, unless somebody has, and returns whether nobody had: whoever is first waits for [`Self::delay`]. Without a delay
    /// connections have been told when this returns. `by` is for the log.
    pub(crate) fn begin(&self, by: &str) -> bool {
        let delay = *self.0.delay.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = self.0.phase.send_if_modified(|phase| {
            let begins = *phase == Phase::Serving;
            if begins {
                *phase = Phase::Delaying { since: Instant::now(), delay };
            }
            begins
        });
        if begins {
            let and = match delay.is_zero() {
                true => "",
                false => ", and everything is served on for drain_delay, which a second signal ends",
            };
            tracing::info!(by, drain_delay = ?delay, "draining; /ready is 503{and}");
            if delay.is_zero() {
                self.tell();
            }
        }
        begins
    }

    /// Waits for what is left of the delay, and tells connections.
    pub(crate) async fn delay(&self) {
        let phase = *self.0.phase.borrow();
        if let Phase::Delaying { since, delay } = phase {
            // A delay that no clock reaches has no end.
            match since.checked_add(delay) {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
            self.tell();
        }
    }

    /// Tells connections to end, without a delay.
    pub(crate) fn tell(&self) {
        self.0.telling.store(true, Ordering::Release);
        self.0.phase.send_replace(Phase::Telling);
    }

    /// Returns whether connections are told to end, as it is at once after [`Self::tell`] on every thread.
    #[inline]
    pub(crate) fn is_telling(&self) -> bool {
        self.0.telling.load(Ordering::Acquire)
    }

    /// Returns whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        *self.0.phase.borrow() != Phase::Serving
    }

    /// Waits until connections are told to end. For one task of each worker: to wait takes a lock that all of them share.
    pub(crate) async fn told(&self) {
        // The sender lives as long as this.
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase == Phase::Telling).await;
    }

    /// Counts a connection that has been told to end and has a request.
    pub(crate) fn busy(&self) -> Busy {
        self.0.busy.send_modify(|busy| *busy += 1);
        Busy(self.clone())
    }

    /// Returns the number of those who wait for connections to be told.
    #[cfg(test)]
    pub(crate) fn followers(&self) -> usize {
        self.0.phase.receiver_count()
    }

    /// Sets how long connections without a request are kept.
    pub(crate) fn set_patience(&self, patience: Patience) {
        self.0.patience.send_replace(patience);
    }

    /// Returns how long an HTTP/2 connection that was told is kept without a stream, for the request that its client has sent before it
    /// could know. `limit` is `shutdown_timeout`.
    pub(crate) fn goaway_grace(&self, limit: Duration) -> Duration {
        if *self.0.patience.borrow() == Patience::None { SHORTEST } else { part(limit) }
    }

    /// Waits until connections without a request may be closed. It is counted from now, and `limit` is `shutdown_timeout`.
    pub(crate) async fn grace(&self, limit: Duration) {
        let patience = *self.0.patience.borrow();
        match patience {
            Patience::None => {}
            Patience::Usual => {
                tokio::time::sleep(part(limit).min(limit)).await;
                let _ = self.0.busy.subscribe().wait_for(|busy| *busy == 0).await;
            }
            Patience::Long => {
                let mut patience = self.0.patience.subscribe();
                let shorter = patience.wait_for(|patience| *patience != Patience::Long);
                let _ = tokio::time::timeout(limit.saturating_sub(SHORTEST), shorter).await;
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.send_modify(|busy| *busy = busy.saturating_sub(1));
    }
}

/// Returns the part of `shutdown_timeout` for those who ask nothing.
fn part(limit: Duration) -> Duration {
    (limit / 10).clamp(SHORTEST, LONGEST)
}

/// The first request of a connection that was opened a moment ago, and a request that is on its way, come within this.
const SHORTEST: Duration = Duration::from_secs(1);

/// A restart is not held up longer by clients that ask nothing.
const LONGEST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::task::JoinHandle;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    /// Lets tasks run, and time pass.
    async fn pass(time: Duration) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(time).await;
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
    }

    fn delay(drain: &Drain) -> JoinHandle<()> {
        let drain = drain.clone();
        tokio::spawn(async move { drain.delay().await })
    }

    fn told(drain: &Drain) -> JoinHandle<()> {
        let drain = drain.clone();
        tokio::spawn(async move { drain.told().await })
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_told_after_the_delay() {
        let drain = Drain::new(S(10));
        let told = told(&drain);
        pass(S(100)).await;
        assert!(!drain.has_begun() && !told.is_finished());
        assert!(drain.begin(""), "nobody has");
        let post = delay(&drain);
        pass(S(4)).await;
        assert!(drain.has_begun() && !told.is_finished());
        // The signal that comes later waits no longer.
        assert!(!drain.begin(""), "one has");
        let signal = delay(&drain);
        pass(S(5)).await;
        assert!(!told.is_finished() && !signal.is_finished());
        pass(S(1)).await;
        assert!(told.is_finished() && post.is_finished() && signal.is_finished());
        assert!(!drain.begin(""));
        let late = delay(&drain);
        pass(Duration::ZERO).await;
        assert!(late.is_finished(), "they have been told");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_changes_the_delay_of_a_drain_that_has_not_begun() {
        let drain = Drain::default();
        drain.set_delay(S(10));
        assert!(drain.begin("") && !drain.is_telling());
        drain.set_delay(S(1));
        let begun = Instant::now();
        drain.delay().await;
        assert_eq!(begun.elapsed(), S(10));
        assert!(drain.is_telling());
    }

    #[tokio::test]
    async fn without_a_delay_they_are_told_when_it_has_begun() {
        let drain = Drain::default();
        assert!(drain.begin("") && drain.is_telling());
        drain.told().await;
        drain.delay().await;
        assert!(!drain.begin(""));
    }

    async fn grace(drain: &Drain, limit: Duration) -> Duration {
        let begun = Instant::now();
        drain.grace(limit).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_are_kept_for_a_part_of_the_limit() {
        let drain = Drain::default();
        for (limit, kept) in [(0, 0), (1, 1), (5, 1), (30, 3), (3600, 5)] {
            assert_eq!(grace(&drain, S(limit)).await, S(kept), "{limit}");
        }
        drain.set_patience(Patience::None);
        assert_eq!(grace(&drain, S(30)).await, S(0));
        drain.set_patience(Patience::Long);
        for (limit, kept) in [(0, 0), (30, 29)] {
            assert_eq!(grace(&drain, S(limit)).await, S(kept), "{limit}");
        }
        let waits = drain.clone();
        let over = tokio::spawn(async move { waits.grace(S(30)).await });
        pass(S(20)).await;
        assert!(!over.is_finished());
        drain.set_patience(Patience::None);
        pass(Duration::ZERO).await;
        assert!(over.is_finished());
    }

    #[tokio::test]
    async fn http2_is_kept_as_long_as_http1_but_where_nobody_waits() {
        let drain = Drain::default();
        for patience in [Patience::Usual, Patience::Long] {
            drain.set_patience(patience);
            for (limit, kept) in [(0, 1), (1, 1), (30, 3), (3600, 5)] {
                assert_eq!(drain.goaway_grace(S(limit)), S(kept), "{limit}");
            }
        }
        drain.set_patience(Patience::None);
        assert_eq!(drain.goaway_grace(S(3600)), S(1));
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_close_last() {
        let drain = Drain::default();
        let (first, second) = (drain.busy(), drain.busy());
        let waits = drain.clone();
        let over = tokio::spawn(async move { waits.grace(S(30)).await });
        pass(S(20)).await;
        assert!(!over.is_finished());
        drop(first);
        pass(S(1)).await;
        assert!(!over.is_finished());
        drop(second);
        pass(Duration::ZERO).await;
        assert!(over.is_finished());
    }
}
