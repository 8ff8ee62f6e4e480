//! Values that are bound to the thread that made them.

use std::mem::ManuallyDrop;
use std::thread::{self, ThreadId};

thread_local! {
    /// The id of this thread, which is looked up once: [`thread::current`] counts references.
    static HERE: ThreadId = thread::current().id();
}

/// A value that is used on the thread that made it alone. Another thread can hold it, and leaks it when it drops it.
pub(crate) struct Bound<T> {
    home: ThreadId,
    value: ManuallyDrop<T>,
}

#[allow(unsafe_code, reason = "wasmer's stores are not Send, whatever is done with them")]
// SAFETY: the value is private, and every way to it here, its drop included, is closed on other threads than the one that made it
// (ids of threads are not given twice). So another thread moves its bytes and does no more; that the value is not Sync stays as it is.
unsafe impl<T> Send for Bound<T> {}

impl<T> Bound<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { home: HERE.with(|here| *here), value: ManuallyDrop::new(value) }
    }

    /// Returns the value.
    ///
    /// # Panics
    /// This is another thread: the embedder has moved a guest whose engine says that it does not move.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        if !self.is_home() {
            moved();
        }
        &mut self.value
    }

    #[inline]
    fn is_home(&self) -> bool {
        HERE.with(|here| *here == self.home)
    }
}

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        if self.is_home() {
            #[allow(unsafe_code, reason = "the value is dropped on one thread alone")]
            // SAFETY: the value is not used again, since this is its drop, and has not been dropped before.
            unsafe {
                ManuallyDrop::drop(&mut self.value);
            }
        }
    }
}

#[cold]
fn moved() -> ! {
    panic!(
        "a guest of wasmer was called on another thread than the one that made it, and cannot be (EngineFeatures::moves is false): keep its \
         worker on one thread, or use another engine"
    )
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_value_is_reached_and_dropped_at_home_alone() {
        let value = Rc::new(());
        let mut here = Bound::new(Rc::clone(&value));
        assert_eq!(Rc::strong_count(here.get_mut()), 2);
        drop(here);
        assert_eq!(Rc::strong_count(&value), 1);
        let mut moved = Bound::new(Rc::clone(&value));
        let called = thread::spawn(move || {
            let call = std::panic::AssertUnwindSafe(|| drop(Rc::clone(moved.get_mut())));
            std::panic::catch_unwind(call).is_ok()
        });
        assert!(matches!(called.join(), Ok(false)), "called elsewhere");
        assert_eq!(Rc::strong_count(&value), 2, "leaked elsewhere");
    }
}
