//! Calls of filters and configurations from other threads.
//!
//! Envoy says that a scheduler may be used by any thread, while its object lasts. Two things do not stand there, and were seen in 1.40:
//!
//! * A use on another thread keeps the filter alive for its length. If Envoy ends the filter meanwhile, the hook `destroy` runs on that
//!   other thread, within the use. So no lock is held over it.
//! * The thread of a filter must not end while a scheduler of it is used. So whoever ends a filter waits for uses on other threads.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::thread::{self, ThreadId};

use crate::envoy::Scheduler;

/// The number of the scheduler's event that says that a stream may have effects.
pub(crate) const WOKEN: u64 = 0;

/// Calls a filter or a configuration on its own thread; from any thread, until it is closed.
#[derive(Debug)]
pub(crate) struct Call {
    state: Mutex<State>,
    /// A use has ended.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// None when it is closed.
    scheduler: Option<Arc<dyn Scheduler>>,
    /// The threads that use the scheduler now.
    users: Vec<ThreadId>,
}

impl Call {
    pub(crate) fn new(scheduler: Option<Box<dyn Scheduler>>) -> Self {
        let state = State { scheduler: scheduler.map(Arc::from), users: Vec::new() };
        Self { state: Mutex::new(state), ended: Condvar::new() }
    }

    /// Asks for a call with this number. What it is for may end within this call.
    pub(crate) fn call(&self, event: u64) {
        let user = thread::current().id();
        let scheduler = {
            let mut state = self.state();
            let Some(scheduler) = state.scheduler.clone() else { return };
            state.users.push(user);
            scheduler
        };
        scheduler.commit(event);
        // Deleted before anybody is told that the use has ended, if it was closed meanwhile.
        drop(scheduler);
        let mut state = self.state();
        if let Some(at) = state.users.iter().position(|other| *other == user) {
            state.users.swap_remove(at);
        }
        drop(state);
        self.ended.notify_all();
    }

    /// Ends it, and waits until no other thread uses it. This thread may: then it is in [`Call::call`].
    pub(crate) fn close(&self) {
        let own = thread::current().id();
        let mut state = self.state();
        let scheduler = state.scheduler.take();
        while state.users.iter().any(|user| *user != own) {
            state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        drop(scheduler);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.call(WOKEN);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call(WOKEN);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::OnceLock;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Ends its filter within a use.
    #[derive(Debug, Default)]
    struct Ending(Arc<OnceLock<Arc<Call>>>);

    impl Scheduler for Ending {
        fn commit(&self, _: u64) {
            self.0.get().unwrap().close();
        }
    }

    #[test]
    fn what_is_called_may_end_within_the_call() {
        let ending = Ending::default();
        let cell = Arc::clone(&ending.0);
        let call = Arc::new(Call::new(Some(Box::new(ending))));
        cell.set(Arc::clone(&call)).unwrap();
        call.call(WOKEN);
        call.call(WOKEN);
        assert!(call.state().users.is_empty() && call.state().scheduler.is_none());
    }

    /// Tells that it is used, and waits.
    #[derive(Debug)]
    struct Slow(Mutex<(Sender<&'static str>, Receiver<()>)>);

    impl Scheduler for Slow {
        fn commit(&self, _: u64) {
            let pair = self.0.lock().unwrap();
            pair.0.send("used").unwrap();
            pair.1.recv().unwrap();
            pair.0.send("ends").unwrap();
        }
    }

    #[test]
    fn whoever_ends_it_waits_for_others() {
        let ((said, heard), (go_on, waits)) = (channel(), channel());
        let call = Arc::new(Call::new(Some(Box::new(Slow(Mutex::new((said.clone(), waits)))))));
        let other = Arc::clone(&call);
        let using = thread::spawn(move || other.call(WOKEN));
        assert_eq!(heard.recv().unwrap(), "used");
        let other = Arc::clone(&call);
        let closing = thread::spawn(move || {
            other.close();
            said.send("closed").unwrap();
        });
        // Only once it has begun to close does it find no scheduler.
        while call.state().scheduler.is_some() {
            thread::yield_now();
        }
        go_on.send(()).unwrap();
        assert_eq!([heard.recv().unwrap(), heard.recv().unwrap()], ["ends", "closed"]);
        using.join().unwrap();
        closing.join().unwrap();
    }
}
