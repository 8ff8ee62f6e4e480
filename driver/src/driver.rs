//! A driver of one worker.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::future::AbortHandle;
use futures_util::task::AtomicWaker;
use portcullis_chain::{CalloutId, Chain, ConnectionId, StreamId, Worker};
use portcullis_core::engine::EngineError;
use portcullis_core::resources::Wake;
use rustc_hash::FxHashMap;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::dns::SystemResolver;
use crate::grpc::sender::Sender;
use crate::in_flight::{Flight, InFlight};
use crate::tasks::Task;
use crate::threads::{ManyThreads, OneThread, Threads};
use crate::turns::{Turn, Turns};
use crate::upstreams::Upstreams;

/// The maximum number of callouts in flight where none is set.
const MAX_CALLOUTS: usize = 1024;

/// The pause between two looks at plugins that are ending.
const SHUTDOWN_POLL: Duration = Duration::from_millis(10);

/// Drives a worker: carries out what its plugins ask for, and calls them when it is time. Clones drive the same worker.
pub struct Driver<T: Threads, U: Upstreams> {
    inner: T::Pointer<Inner<T, U>>,
}

struct Inner<T: Threads, U: Upstreams> {
    state: T::Cell<State>,
    upstreams: U,
    clock: Clock,
    health_changed: HealthHook,
    in_flight: InFlight,
    resolver: SystemResolver,
    turns: Turns,
    /// The next tick has changed.
    ticks_changed: Notify,
    /// Queues have items for plugins of this worker.
    queues_ready: Arc<Notify>,
    /// The waker of the future of [`Driver::run`].
    tasks: AtomicWaker,
}

type Clock = Box<dyn Fn(Duration) -> std::time::Instant + Send + Sync>;
type HealthHook = Box<dyn Fn(&Worker) + Send + Sync>;

/// State that tasks change together.
pub(crate) struct State {
    pub(crate) worker: Worker,
    /// Wakers of tasks that wait for effects of a stream.
    pub(crate) wakers: FxHashMap<StreamId, Waker>,
    /// Notifies tasks that wait for effects of a TCP stream.
    pub(crate) connections: FxHashMap<ConnectionId, Arc<Notify>>,
    /// Handles of the callouts in flight.
    pub(crate) callouts: FxHashMap<CalloutId, AbortHandle>,
    /// Senders of gRPC messages.
    pub(crate) senders: FxHashMap<CalloutId, Arc<Sender>>,
    /// Tasks that have not begun.
    pub(crate) new_tasks: Vec<Task>,
    /// Somebody carries out effects.
    pub(crate) is_pumped: bool,
}

/// The wake-up of a worker's queues: one half for the worker, the other for its driver.
///
/// ```
/// # use portcullis_chain::Worker;
/// # use portcullis_core::resources::Shared;
/// # use portcullis_core::testing::FakeHost;
/// let queues = portcullis_driver::QueueWake::default();
/// let worker = Worker::new(|| Box::new(FakeHost::new())).with_shared(Shared::default(), queues.wake());
/// ```
#[derive(Clone, Debug, Default)]
pub struct QueueWake(Arc<Notify>);

impl QueueWake {
    /// Returns the half for [`Worker::with_shared`].
    #[must_use]
    pub fn wake(&self) -> Wake {
        let ready = Arc::clone(&self.0);
        Wake::new(move || ready.notify_one())
    }
}

/// Makes a [`Driver`].
#[must_use]
pub struct Builder<U: Upstreams> {
    worker: Worker,
    upstreams: U,
    clock: Clock,
    health_changed: HealthHook,
    max_callouts: usize,
    queues: QueueWake,
}

impl<U: Upstreams> Builder<U> {
    /// Begins with a worker, its upstreams, and the instants of its host's monotonic clock.
    pub fn new(
        worker: Worker,
        upstreams: U,
        clock: impl Fn(Duration) -> std::time::Instant + Send + Sync + 'static,
    ) -> Self {
        Self {
            worker,
            upstreams,
            clock: Box::new(clock),
            health_changed: Box::new(|_| ()),
            max_callouts: MAX_CALLOUTS,
            queues: QueueWake::default(),
        }
    }

    /// Sets the wake-up of queues that the worker was made with. Without it no plugin is told of items in its queues.
    pub fn queues(mut self, queues: QueueWake) -> Self {
        self.queues = queues;
        self
    }

    /// Sets how many HTTP and gRPC callouts may be in flight, 1,024 by default. Others fail at once, with 503 or `UNAVAILABLE`.
    pub fn max_callouts(mut self, most: usize) -> Self {
        self.max_callouts = most;
        self
    }

    /// Sets what is called whenever a plugin has failed or recovered ([`Worker::health`]), while the worker is locked.
    pub fn on_health_changed(mut self, tell: impl Fn(&Worker) + Send + Sync + 'static) -> Self {
        self.health_changed = Box::new(tell);
        self
    }

    /// Makes a driver whose tasks stay on one thread.
    pub fn build(self) -> Driver<OneThread, U> {
        self.build_for()
    }

    /// Makes a driver whose tasks may move between threads. From then on its worker starts no plugin of an engine whose
    /// guests stay on their thread.
    ///
    /// # Errors
    /// The worker has such a plugin.
    pub fn build_shared(mut self) -> Result<Driver<ManyThreads, U>, EngineError> {
        self.worker.allow_several_threads()?;
        Ok(self.build_for())
    }

    fn build_for<T: Threads>(self) -> Driver<T, U> {
        let state = State {
            worker: self.worker,
            wakers: FxHashMap::default(),
            connections: FxHashMap::default(),
            callouts: FxHashMap::default(),
            senders: FxHashMap::default(),
            new_tasks: Vec::new(),
            is_pumped: false,
        };
        let inner = Inner {
            state: T::cell(state),
            upstreams: self.upstreams,
            clock: self.clock,
            health_changed: self.health_changed,
            in_flight: InFlight::new(self.max_callouts),
            resolver: SystemResolver::default(),
            turns: Turns::default(),
            ticks_changed: Notify::new(),
            queues_ready: self.queues.0,
            tasks: AtomicWaker::new(),
        };
        let driver = Driver::<T, U> { inner: T::share(inner) };
        driver.call(|worker| (driver.inner.health_changed)(worker));
        driver
    }
}

impl<T: Threads, U: Upstreams> Driver<T, U> {
    /// Calls into the worker, and carries out what comes of it. `call` must not use the driver: that
    /// panics, or waits for ever where many threads share the driver.
    #[inline]
    pub fn call<R>(&self, call: impl FnOnce(&mut Worker) -> R) -> R {
        let result = self.with(call);
        self.pump();
        result
    }

    /// Calls into the worker and leaves its effects to the next [`Driver::pump`]. `call` must not use the
    /// driver, as in [`Driver::call`].
    #[inline]
    pub fn with<R>(&self, call: impl FnOnce(&mut Worker) -> R) -> R {
        self.state(|state| call(&mut state.worker))
    }

    /// Returns the upstreams.
    #[must_use]
    pub fn upstreams(&self) -> &U {
        &self.inner.upstreams
    }

    /// Sets how many HTTP and gRPC callouts may be in flight from now on; those beyond it that are stay. See
    /// [`Builder::max_callouts`].
    pub fn set_max_callouts(&self, most: usize) {
        self.inner.in_flight.set_limit(most);
    }

    /// Sets the waker of the task that waits for effects of a stream. Not to be called after [`Driver::finish`].
    #[inline]
    pub fn register(&self, stream: StreamId, waker: &Waker) {
        let replaced = self.state(|state| match state.wakers.get_mut(&stream) {
            Some(registered) if registered.will_wake(waker) => None,
            Some(registered) => Some(std::mem::replace(registered, waker.clone())),
            None => state.wakers.insert(stream, waker.clone()),
        });
        // A waker may own a task that ends with it.
        drop(replaced);
    }

    /// Wakes the task that waits for effects of a stream.
    pub fn wake(&self, stream: StreamId) {
        if let Some(waker) = self.state(|state| state.wakers.get(&stream).cloned()) {
            waker.wake();
        }
    }

    /// Ends a stream, however it has ended.
    pub fn finish(&self, stream: StreamId) {
        let waker = self.state(|state| {
            state.worker.finish(stream);
            state.wakers.remove(&stream)
        });
        drop(waker);
        self.pump();
    }

    /// Returns what notifies the task that waits for effects of a TCP stream, until [`Driver::finish_connection`].
    #[must_use]
    pub fn connection_woken(&self, id: ConnectionId) -> Arc<Notify> {
        self.state(|state| Arc::clone(state.connections.entry(id).or_default()))
    }

    /// Ends a TCP stream, however it has ended.
    pub fn finish_connection(&self, id: ConnectionId) {
        self.state(|state| {
            state.connections.remove(&id);
            state.worker.finish_connection(id);
        });
        self.pump();
    }

    /// Starts services again that have failed, as their policies say, and looks every `period`; for ever. Nobody meets a
    /// service that has failed, so without this it stays so. The chain logs what happens to them.
    pub async fn keep_up(&self, services: &Chain, period: Duration) {
        loop {
            self.call(|worker| worker.keep_up(services));
            tokio::time::sleep(period).await;
        }
    }

    /// Moves plugins that start on the interpreter to compiled code, whenever `published` says that more of it is there; until all is.
    pub async fn tier_up(&self, mut published: watch::Receiver<usize>) {
        loop {
            published.borrow_and_update();
            let moved = self.call(Worker::tier_up);
            if moved > 0 {
                tracing::debug!(vms = moved, "moved to compiled code");
            }
            if published.changed().await.is_err() {
                break;
            }
        }
    }

    /// Ends all plugins, and gives them `limit` for it. Returns whether they have ended by themselves.
    /// [`Driver::run`] has to go on meanwhile.
    pub async fn shut_down(&self, limit: Duration) -> bool {
        self.call(Worker::shut_down);
        let pending = async {
            while self.with(|worker| worker.pending_roots()) > 0 {
                tokio::time::sleep(SHUTDOWN_POLL).await;
            }
        };
        tokio::time::timeout(limit, pending).await.is_ok()
    }
}

/// Access for the other parts of the crate.
impl<T: Threads, U: Upstreams> Driver<T, U> {
    #[inline]
    pub(crate) fn state<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        T::with(&self.inner.state, change)
    }

    /// Returns whether somebody uses the worker at this moment.
    pub(crate) fn is_busy(&self) -> bool {
        T::is_taken(&self.inner.state)
    }

    /// Tells others if a plugin has failed or recovered.
    #[inline]
    pub(crate) fn tell_health(&self, state: &mut State) {
        if state.worker.health_changed() {
            (self.inner.health_changed)(&state.worker);
        }
    }

    /// Waits until an answer to a callout may be delivered. An answer that a stream waits for has no turn: `None`, at once.
    pub(crate) async fn answer_turn(&self, id: CalloutId) -> Option<Turn<'_>> {
        let at = || self.with(|worker| worker.answer_turn(id)).map(|at| self.instant(at));
        self.inner.turns.next(at).await
    }

    /// Forgets a callout that has ended.
    pub(crate) fn forget(&self, id: CalloutId) {
        // Dropping a sender wakes who reads from it.
        let sender = self.state(|state| {
            state.callouts.remove(&id);
            state.senders.remove(&id)
        });
        drop(sender);
    }

    /// Begins a callout, unless as many are in flight as may be.
    pub(crate) fn begin_flight(&self) -> Option<Flight> {
        let flight = self.inner.in_flight.begin();
        if flight.is_none() {
            self.inner.upstreams.refused();
        }
        flight
    }

    pub(crate) fn instant(&self, monotonic: Duration) -> Instant {
        (self.inner.clock)(monotonic).into()
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    pub(crate) fn resolver(&self) -> &SystemResolver {
        &self.inner.resolver
    }

    /// Returns the notice that the next tick has changed.
    pub(crate) fn ticks_changed(&self) -> &Notify {
        &self.inner.ticks_changed
    }

    pub(crate) fn queues_ready(&self) -> &Notify {
        &self.inner.queues_ready
    }

    pub(crate) fn wake_tasks(&self) {
        self.inner.tasks.wake();
    }

    pub(crate) fn listen_for_tasks(&self, cx: &Context<'_>) {
        self.inner.tasks.register(cx.waker());
    }
}

impl<T: Threads, U: Upstreams> Clone for Driver<T, U> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<T: Threads, U: Upstreams> std::fmt::Debug for Driver<T, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}

impl<U: Upstreams> std::fmt::Debug for Builder<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("max_callouts", &self.max_callouts).finish_non_exhaustive()
    }
}
