//! The tasks of a driver: callouts, and calls into plugins that nobody waits for.
//!
//! They are one future, so that a driver needs neither a spawner nor futures that are `Send`. Each has a waker of its own: the
//! rules of [`Turns`](crate::turns::Turns) rely on a task not being polled for what has woken another.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{AbortHandle, AbortRegistration, Abortable, FutureExt};
use futures_util::stream::{FuturesUnordered, Stream};
use portcullis_chain::{AnyStreamId, CalloutId};
use portcullis_core::model::HttpCall;

use crate::driver::Driver;
use crate::in_flight::Flight;
use crate::threads::Threads;
use crate::upstreams::Upstreams;
use crate::{callout, dns, grpc};

/// Number of tasks that may end before others on the thread get their turn.
const TASKS_PER_POLL: usize = 32;

/// The pause before ticks or queues begin again after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

/// A task that has not begun.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) registration: AbortRegistration,
}

/// The work of a task.
pub(crate) enum Job {
    Http { id: CalloutId, request: HttpCall, stream: Option<AnyStreamId>, flight: Option<Flight> },
    Grpc { id: CalloutId, call: grpc::Call, flight: Option<Flight> },
    Resolve { id: CalloutId, name: String },
    Tick,
    Queues,
}

impl<T: Threads, U: Upstreams> Driver<T, U> {
    /// Runs the callouts, ticks and queues of the worker's plugins, for ever. Exactly one such future is to be polled for as
    /// long as the driver is used: without it no callout is sent and no plugin is ticked.
    pub async fn run(self) {
        let mut tasks = FuturesUnordered::new();
        for job in [Job::Tick, Job::Queues] {
            let (_, registration) = AbortHandle::new_pair();
            tasks.push(Abortable::new(guarded(self.clone(), job), registration));
        }
        poll_fn(|cx| {
            self.listen_for_tasks(cx);
            for _ in 0..TASKS_PER_POLL {
                for Task { job, registration } in self.state(|state| std::mem::take(&mut state.new_tasks)) {
                    tasks.push(Abortable::new(guarded(self.clone(), job), registration));
                }
                if poll_next(&mut tasks, cx).is_pending() && self.state(|state| state.new_tasks.is_empty()) {
                    return Poll::<()>::Pending;
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

impl<T: Threads, U: Upstreams> Driver<T, U> {
    /// Hands a job to the tasks of [`Driver::run`].
    fn spawn(&self, job: Job) {
        let (_, registration) = AbortHandle::new_pair();
        self.state(|state| state.new_tasks.push(Task { job, registration }));
        self.wake_tasks();
    }
}

/// Polls the tasks that have been woken, until one of them ends.
fn poll_next<F: Future>(tasks: &mut FuturesUnordered<F>, cx: &mut Context<'_>) -> Poll<()> {
    std::pin::Pin::new(tasks).poll_next(cx).map(drop)
}

/// Performs a job. A panic of an embedder's code ends no other: a callout is forgotten, ticks and queues begin again.
async fn guarded<T: Threads, U: Upstreams>(driver: Driver<T, U>, job: Job) {
    let (callout, again) = match &job {
        Job::Http { id, .. } | Job::Grpc { id, .. } | Job::Resolve { id, .. } => (Some(*id), None),
        Job::Tick => (None, Some(Job::Tick)),
        Job::Queues => (None, Some(Job::Queues)),
    };
    if AssertUnwindSafe(perform(&driver, job)).catch_unwind().await.is_ok() {
        return;
    }
    tracing::error!("a callout or timer of a plugin ended by a panic; report its message, which is on standard error");
    if let Some(id) = callout {
        driver.forget(id);
    }
    if let Some(job) = again {
        tokio::time::sleep(AFTER_PANIC).await;
        driver.spawn(job);
    }
}

async fn perform<T: Threads, U: Upstreams>(driver: &Driver<T, U>, job: Job) {
    match job {
        Job::Http { id, request, stream, flight } => callout::run(driver, id, request, stream, flight).await,
        Job::Grpc { id, call, flight } => call.run(driver, id, flight).await,
        Job::Resolve { id, name } => dns::run(driver, id, name).await,
        Job::Tick => tick(driver).await,
        Job::Queues => queues(driver).await,
    }
}

/// Ticks plugins at their times, for ever.
async fn tick<T: Threads, U: Upstreams>(driver: &Driver<T, U>) {
    loop {
        let at = || driver.with(|worker| worker.next_tick()).map(|at| driver.instant(at));
        let turn = async {
            match driver.turns().next(at).await {
                Some(turn) => turn,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _turn = turn => driver.call(|worker| worker.tick()),
            () = driver.ticks_changed().notified() => {}
        }
    }
}

/// Tells plugins of items in their queues, for ever.
async fn queues<T: Threads, U: Upstreams>(driver: &Driver<T, U>) {
    loop {
        driver.queues_ready().notified().await;
        let mut next = Some(Duration::ZERO);
        while let Some(_turn) = driver.turns().next(|| Some(driver.instant(next?))).await {
            next = driver.call(|worker| worker.queues_ready());
        }
    }
}
