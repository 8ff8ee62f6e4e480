use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a panic elsewhere, which leaves shared state whole: every change is one step.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
