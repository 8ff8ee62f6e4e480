//! The end of a listener's connections in a worker, and of those that have no deadlines: TLS handshakes and TCP streams. The guard of a
//! connection ([`super::deadline`]) has those that may send requests.
//!
//! | stage | begins | HTTP/1 | HTTP/2 | handshakes, TCP streams |
//! |---|---|---|---|---|
//! | open | – | – | – | – |
//! | told | when the process drains ([`crate::serve::drain`]), or the listener has ended | the next answer has `connection: close` | GOAWAY, once a request has come | – |
//! | last | after a grace, when no connection that was told has a request | closed if it has been without a request for a moment | GOAWAY | closed without a byte so far |

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;
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

/// The ends of all listeners of a worker.
#[derive(Debug)]
pub(super) struct Ends {
    drain: Drain,
    listeners: RefCell<Vec<Weak<Inner>>>,
}

/// The end of a listener, which all of its connections wait for.
#[derive(Debug)]
pub(super) struct Closing(Rc<Inner>);

/// The part of an end that connections look at whenever they are polled. Nothing of it is another thread's but one flag, so a look
/// takes no lock.
#[derive(Debug)]
struct Inner {
    stage: Cell<Stage>,
    /// The tasks that wait for another stage.
    waiting: RefCell<Slab<Waker>>,
    drain: Drain,
}

impl Ends {
    pub(super) fn new(drain: Drain) -> Self {
        Self { drain, listeners: RefCell::default() }
    }

    /// Makes the end of another listener.
    pub(super) fn add(&self) -> Closing {
        let inner =
            Rc::new(Inner { stage: Cell::new(Stage::Open), waiting: RefCell::default(), drain: self.drain.clone() });
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Rc::downgrade(&inner));
        Closing(inner)
    }

    /// Waits until the process tells connections to end, and wakes those of this worker.
    pub(super) async fn follow(&self) {
        self.drain.told().await;
        self.listeners.borrow().iter().filter_map(Weak::upgrade).for_each(|listener| listener.wake());
    }
}

impl Inner {
    fn stage(&self) -> Stage {
        let stage = self.stage.get();
        if stage == Stage::Open && self.drain.is_telling() { Stage::Told } else { stage }
    }

    fn reach(&self, stage: Stage) {
        self.stage.set(stage);
        self.wake();
    }

    fn wake(&self) {
        self.waiting.borrow().iter().for_each(|(_, waker)| waker.wake_by_ref());
    }
}

impl Closing {
    /// Returns the end as a connection sees it.
    pub(super) fn of(&self, standing: &Arc<State>) -> Ending {
        Ending { listener: Rc::clone(&self.0), standing: Arc::clone(standing) }
    }

    /// Tells connections to end, and those without a request to close after a grace, of which `limit` is `shutdown_timeout`.
    pub(super) fn begin(&self, limit: Duration) {
        if self.0.stage.get() == Stage::Open {
            self.0.reach(Stage::Told);
            let listener = Rc::clone(&self.0);
            tokio::task::spawn_local(async move {
                listener.drain.grace(limit).await;
                listener.reach(Stage::Last);
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
#[derive(Debug)]
pub(super) struct Ending {
    listener: Rc<Inner>,
    standing: Arc<State>,
}

/// The stages of an end as one task follows them.
#[derive(Debug)]
pub(super) struct Stages<'a> {
    listener: &'a Inner,
    /// The place of the task among those that wait.
    key: Option<usize>,
}

impl Stages<'_> {
    /// Returns the stage, and has the task woken at the next one.
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Stage {
        let mut waiting = self.listener.waiting.borrow_mut();
        match self.key.and_then(|key| waiting.get_mut(key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.key = Some(waiting.insert(cx.waker().clone())),
        }
        self.listener.stage()
    }
}

impl Drop for Stages<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.listener.waiting.borrow_mut().try_remove(key);
        }
    }
}

impl Ending {
    /// Begins to follow the stages.
    pub(super) fn stages(&self) -> Stages<'_> {
        Stages { listener: &self.listener, key: None }
    }

    /// Returns how long a connection over HTTP/2 is kept behind its GOAWAY without a stream; `limit` is `shutdown_timeout`.
    pub(super) fn goaway_grace(&self, limit: Duration) -> Duration {
        self.listener.drain.goaway_grace(limit)
    }

    async fn reach(&self, wanted: Stage) {
        let mut stages = self.stages();
        poll_fn(|cx| if stages.poll(cx) >= wanted { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Counts the connection among those that others wait for, as long as it has a request. To be called when it has been told, and
    /// whenever it may have changed.
    pub(super) fn note(&self, busy: &mut Option<Busy>) {
        if self.standing.is_free() {
            *busy = None;
        } else if busy.is_none() {
            *busy = Some(self.listener.drain.busy());
        }
    }

    /// Does the work of a connection that has no requests: a handshake or a TCP stream. Drops it if the connection is free when the last
    /// ones close. Others do not wait for it: a TCP stream may last, and keeps no HTTP/1 connection until `shutdown_timeout`.
    pub(super) async fn unless_free<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let over = async {
            self.reach(Stage::Last).await;
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

    use tokio::task::{AbortHandle, LocalSet, spawn_local};

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
            Self { closing: Ends::new(Drain::default()).add(), tasks: JoinSet::new() }
        }

        /// Adds a handshake or TCP stream.
        fn add(&mut self, standing: &Arc<State>) -> AbortHandle {
            let ending = self.closing.of(standing);
            self.tasks.spawn_local(async move { ending.unless_free(pending::<()>()).await.unwrap_or_default() })
        }

        /// Adds a connection whose request has no end.
        fn add_busy(&mut self) -> AbortHandle {
            let standing = Arc::new(State::alone());
            let ending = self.closing.of(&standing);
            self.tasks.spawn_local(async move {
                let (_request, mut busy) = (standing.begin(), None);
                ending.reach(Stage::Told).await;
                ending.note(&mut busy);
                pending().await
            })
        }
    }

    async fn local<T>(test: impl Future<Output = T>) -> T {
        LocalSet::new().run_until(test).await
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_closes_who_has_no_request() {
        local(async {
            let free = Arc::new(State::alone());
            let mut connections = Connections::new();
            let ends = connections.add(&free);
            pass(GRACE * 9).await;
            assert!(!ends.is_finished(), "nobody stops");
            let Connections { closing, tasks } = connections;
            let end = spawn_local(async move { closing.end(tasks, LIMIT, tokio::time::sleep(LIMIT)).await });
            pass(GRACE - Duration::from_millis(1)).await;
            assert!(!ends.is_finished());
            pass(Duration::from_millis(1)).await;
            assert!(ends.is_finished() && end.is_finished());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_request_closes_last_and_who_has_one_at_the_limit() {
        local(async {
            let mut connections = Connections::new();
            let waits = connections.add(&Arc::new(State::alone()));
            let (ends, stays) = (connections.add_busy(), connections.add_busy());
            let Connections { closing, tasks } = connections;
            let end = spawn_local(async move { closing.end(tasks, LIMIT, tokio::time::sleep(LIMIT)).await });
            pass(GRACE * 2).await;
            assert!(!waits.is_finished());
            ends.abort();
            pass(GRACE).await;
            assert!(!waits.is_finished(), "one has a request still");
            pass(LIMIT - GRACE * 3 - Duration::from_millis(1)).await;
            assert!(!waits.is_finished() && !stays.is_finished() && !end.is_finished());
            pass(Duration::from_millis(1)).await;
            assert!(waits.is_finished() && stays.is_finished() && end.is_finished());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_tcp_stream_has_its_time_and_keeps_nobody_else() {
        local(async {
            let (free, stream) = (Arc::new(State::alone()), Arc::new(State::alone()));
            let mut connections = Connections::new();
            let (waits, stays) = (connections.add(&free), connections.add(&stream));
            let _spoken = stream.begin();
            let Connections { closing, tasks } = connections;
            spawn_local(async move { closing.end(tasks, LIMIT, tokio::time::sleep(LIMIT)).await });
            pass(GRACE).await;
            assert!(waits.is_finished() && !stays.is_finished());
            pass(LIMIT - GRACE - Duration::from_millis(1)).await;
            assert!(!stays.is_finished());
            pass(Duration::from_millis(1)).await;
            assert!(stays.is_finished());
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_done_counts_before_an_end() {
        let closing = Ends::new(Drain::default()).add();
        closing.0.reach(Stage::Last);
        assert_eq!(closing.of(&Arc::new(State::alone())).unless_free(async { 7 }).await, Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_tells_and_closes_nobody() {
        let drain = Drain::default();
        let closing = Ends::new(drain.clone()).add();
        let ending = closing.of(&Arc::new(State::alone()));
        drain.begin("");
        ending.reach(Stage::Told).await;
        assert!(tokio::time::timeout(LIMIT * 9, ending.unless_free(pending::<()>())).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_of_a_worker_waits_for_the_drain_and_wakes_all_connections() {
        local(async {
            let drain = Drain::default();
            let ends = Rc::new(Ends::new(drain.clone()));
            let listeners = [ends.add(), ends.add()];
            let told: Vec<_> = (0..6)
                .map(|connection| {
                    let ending = listeners[connection % 2].of(&Arc::new(State::alone()));
                    spawn_local(async move { ending.reach(Stage::Told).await })
                })
                .collect();
            let follows = Rc::clone(&ends);
            let following = spawn_local(async move { follows.follow().await });
            pass(GRACE).await;
            assert_eq!(drain.followers(), 1, "the connections wait for their worker alone");
            assert!(!told.iter().any(tokio::task::JoinHandle::is_finished));
            drain.tell();
            pass(Duration::ZERO).await;
            assert!(told.iter().all(tokio::task::JoinHandle::is_finished) && following.is_finished());
            // Nothing is left of those that have ended, and those that come later are told at once.
            assert!(listeners.iter().all(|listener| listener.0.waiting.borrow().is_empty()));
            ends.add().of(&Arc::new(State::alone())).reach(Stage::Told).await;
            assert_eq!(ends.listeners.borrow().len(), 3);
            drop(listeners);
            let _last = ends.add();
            assert_eq!(ends.listeners.borrow().len(), 1);
        })
        .await;
    }
}
