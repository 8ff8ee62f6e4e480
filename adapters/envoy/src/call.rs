//! Calls of filters from other threads.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Wake;

use crate::envoy::Scheduler;

/// The number of the scheduler's event that says that a stream may have effects.
pub(crate) const WOKEN: u64 = 0;

/// Calls a filter on its own thread; from any thread, until the filter closes it.
#[derive(Debug)]
pub(crate) struct Call(Mutex<Option<Box<dyn Scheduler>>>);

impl Call {
    pub(crate) fn new(scheduler: Box<dyn Scheduler>) -> Self {
        Self(Mutex::new(Some(scheduler)))
    }

    /// Asks for a call.
    pub(crate) fn call(&self) {
        if let Some(scheduler) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            scheduler.commit(WOKEN);
        }
    }

    /// Ends it. The scheduler goes on the filter's thread, while that has its dispatcher.
    pub(crate) fn close(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.call();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.call();
    }
}
