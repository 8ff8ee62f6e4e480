//! The end of a listener's connections in a worker, and of those that have no deadlines: TLS handshakes and TCP streams. The guard of a
//! connection ([`super::deadline`]) has those that may send requests.
//!
//! | stage | begins | HTTP/1 | HTTP/2 | handshakes, TCP streams |
//! |---|---|---|---|---|
//! | open | – | – | – | – |
//! | told | when the process drains ([`crate::serve::drain`]), or the listener has ended | the next answer has `connection: close` | GOAWAY, once a request has come | – |
//! | last | after a grace, when no connection that was told has a request | closed if it has been without a request for a moment | GOAWAY | closed without a byte so far |

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::serve::drain::{Busy, Drain};
use crate::serve::seats::State;

/// The stages of a listener's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Open,
    Told,
    Last,
}

/// The end of a listener, which all of its connections wait for.
#[derive(Debug)]
pub(super) struct Closing {
    stage: watch::Sender<Stage>,
    drain: Drain,
}

impl Closing {
    pub(super) fn new(drain: Drain) -> Self {
        Self { stage: watch::Sender::new(Stage::Open), drain }
    }

    /// Returns the end as a connection sees it.
    pub(super) fn of(&self, standing: &Arc<State>) -> Ending {
        Ending { stage: self.stage.subscribe(), drain: self.drain.clone(), standing: Arc::clone(standing) }
    }

    /// Tells connections to end, and those without a request to close after a grace, of which `limit` is `shutdown_timeout`.
    pub(super) fn begin(&self, limit: Duration) {
        let begins = self.stage.send_if_modified(|stage| {
            let begins = *stage == Stage::Open;
            if begins {
                *stage = Stage::Told;
            }
            begins
        });
        if begins {
            let (stage, drain) = (self.stage.clone(), self.drain.clone());
            tokio::spawn(async move {
                drain.grace(limit).await;
                stage.send_replace(Stage::Last);
            });
        }
    }

    /// Ends the connections of these tasks; those that are left when `over` is are cut. `limit` is `shutdown_timeout`.
    pub(super) async fn end(&self, mut tasks: JoinSet<()>, limit: Duration, over: impl Future<Output = ()>) {
        self.begin(limit);
        let done = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = done => {}
            () = over => {
                tracing::warn!(?limit, "connections did not finish within shutdown_timeout and were closed");
            }
        }
    }
}

/// The end of a listener as one of its connections sees it.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    stage: watch::Receiver<Stage>,
    drain: Drain,
    standing: Arc<State>,
}

impl Ending {
    /// Waits until the connection is told to end.
    pub(super) async fn told(&self) {
        tokio::select! {
            () = self.reach(Stage::Told) => {}
            () = self.drain.told() => {}
        }
    }

    /// Waits until the connection ends if it is without a request.
    pub(super) async fn last(&self) {
        self.reach(Stage::Last).await;
    }

    async fn reach(&self, wanted: Stage) {
        // No sender is left when the listener has gone, and its connections with it.
        if self.stage.clone().wait_for(|stage| *stage >= wanted).await.is_err() {
            std::future::pending().await
        }
    }

    /// Counts the connection among those that others wait for, as long as it has a request. To be called when it has been told, and
    /// whenever it may have changed.
    pub(super) fn note(&self, busy: &mut Option<Busy>) {
        if self.standing.is_free() {
            *busy = None;
        } else if busy.is_none() {
            *busy = Some(self.drain.busy());
        }
    }

    /// Does the work of a connection. Drops it if the connection is without a request when the last ones close.
    pub(super) async fn unless_free<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let over = async {
            self.reach(Stage::Told).await;
            let mut busy = None;
            self.note(&mut busy);
            self.last().await;
            if !self.standing.is_free() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            done = work => Some(done),
            () = over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    /// The part of the limit for connections without a request.
    const GRACE: Duration = Duration::from_secs(3);

    async fn pass(time: Duration) {
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(time).await;
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }

    /// Connections of a listener that ends with `stop`.
    struct Connections {
        closing: Closing,
        tasks: JoinSet<()>,
    }

    impl Connections {
        fn new() -> Self {
            Self { closing: Closing::new(Drain::default()), tasks: JoinSet::new() }
        }

        fn add(&mut self, standing: &Arc<State>) -> tokio::task::AbortHandle {
            let ending = self.closing.of(standing);
            self.tasks.spawn(async move { ending.unless_free(pending::<()>()).await.unwrap_or_default() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_closes_who_has_no_request() {
        let free = Arc::new(State::alone());
        let mut connections = Connections::new();
        let ends = connections.add(&free);
        pass(GRACE * 9).await;
        assert!(!ends.is_finished(), "nobody stops");
        let Connections { closing, tasks } = connections;
        let end = tokio::spawn(async move { closing.end(tasks, LIMIT, tokio::time::sleep(LIMIT)).await });
        pass(GRACE - Duration::from_millis(1)).await;
        assert!(!ends.is_finished());
        pass(Duration::from_millis(1)).await;
        assert!(ends.is_finished() && end.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_request_closes_last_and_who_has_one_at_the_limit() {
        let (free, first, second) = (Arc::new(State::alone()), Arc::new(State::alone()), Arc::new(State::alone()));
        let mut connections = Connections::new();
        let waits = connections.add(&free);
        let (ends, stays) = (connections.add(&first), connections.add(&second));
        let requests = (first.begin(), second.begin());
        let Connections { closing, tasks } = connections;
        let end = tokio::spawn(async move { closing.end(tasks, LIMIT, tokio::time::sleep(LIMIT)).await });
        pass(GRACE * 2).await;
        assert!(!waits.is_finished());
        ends.abort();
        pass(GRACE).await;
        assert!(!waits.is_finished(), "one has a request still");
        pass(LIMIT - GRACE * 3 - Duration::from_millis(1)).await;
        assert!(!waits.is_finished() && !stays.is_finished() && !end.is_finished());
        pass(Duration::from_millis(1)).await;
        assert!(waits.is_finished() && stays.is_finished() && end.is_finished());
        drop(requests);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_counts_before_an_end() {
        let closing = Closing::new(Drain::default());
        closing.stage.send_replace(Stage::Last);
        assert_eq!(closing.of(&Arc::new(State::alone())).unless_free(async { 7 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_tells_and_closes_nobody() {
        let drain = Drain::default();
        let closing = Closing::new(drain.clone());
        let ending = closing.of(&Arc::new(State::alone()));
        drain.begin("").await;
        ending.told().await;
        assert!(tokio::time::timeout(LIMIT * 9, ending.unless_free(pending::<()>())).await.is_err());
    }
}
