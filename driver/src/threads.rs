//! How the parts of a driver are shared: within one thread, or between threads.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// The way in which tasks share a driver: [`OneThread`] or [`ManyThreads`].
///
/// A future of a driver is `Send` if this is [`ManyThreads`] and its [`Upstreams`](crate::Upstreams) are `Send` and `Sync`,
/// and their futures `Send`.
pub trait Threads: 'static {
    /// A pointer to something that tasks share.
    type Pointer<T: 'static>: Clone + Deref<Target = T>;

    /// A place for something that one task at a time changes.
    type Cell<T: 'static>;

    /// Puts `value` behind a pointer.
    fn share<T>(value: T) -> Self::Pointer<T>;

    /// Puts `value` into a place.
    fn cell<T>(value: T) -> Self::Cell<T>;

    /// Returns whether somebody has what is in a place, so that who asks for it would wait.
    fn is_taken<T>(cell: &Self::Cell<T>) -> bool;

    /// Hands over what is in a place. `change` must not reach for the same place again.
    fn with<T, R>(cell: &Self::Cell<T>, change: impl FnOnce(&mut T) -> R) -> R;
}

/// All tasks of a driver run on one thread, as in servers with a thread for each core: nothing is locked.
#[derive(Clone, Copy, Debug)]
pub enum OneThread {}

/// Tasks of a driver move between threads, as on a runtime that steals work: a lock is held while a plugin runs.
#[derive(Clone, Copy, Debug)]
pub enum ManyThreads {}

impl Threads for OneThread {
    type Pointer<T: 'static> = Rc<T>;
    type Cell<T: 'static> = RefCell<T>;

    fn share<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn cell<T>(value: T) -> RefCell<T> {
        RefCell::new(value)
    }

    fn is_taken<T>(cell: &RefCell<T>) -> bool {
        cell.try_borrow().is_err()
    }

    #[inline]
    fn with<T, R>(cell: &RefCell<T>, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut cell.borrow_mut())
    }
}

impl Threads for ManyThreads {
    type Pointer<T: 'static> = Arc<T>;
    type Cell<T: 'static> = Mutex<T>;

    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn cell<T>(value: T) -> Mutex<T> {
        Mutex::new(value)
    }

    fn is_taken<T>(cell: &Mutex<T>) -> bool {
        matches!(cell.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// A panic in `change` leaves what it has changed: a worker keeps its own invariants.
    fn with<T, R>(cell: &Mutex<T>, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut cell.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
