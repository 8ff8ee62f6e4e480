//! A [`StreamInfo`] that the embedder and the plugins of a stream share.

use std::sync::{Arc, Mutex, PoisonError};
#[cfg(debug_assertions)]
use std::thread::{self, ThreadId};

use crate::model::stream_info::StreamInfo;

/// A [`StreamInfo`] that the embedder and the plugins of a stream share; a clone is another handle of the same one.
///
/// All of a stream runs on one thread at a time, so the lock inside is never contended. No guard of it leaves
/// [`with`](Self::with), so none can be held across a call into a worker or a VM, which take the lock, too.
///
/// ```
/// use portcullis_core::model::{SharedStreamInfo, StreamInfo};
///
/// let info = SharedStreamInfo::from(StreamInfo::default());
/// info.with(|info| info.response_code = Some(204));
/// assert_eq!(info.with(|info| info.response_code), Some(204));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SharedStreamInfo(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    info: Mutex<StreamInfo>,
    /// The thread that is in `with`.
    #[cfg(debug_assertions)]
    entered: Mutex<Option<ThreadId>>,
}

impl SharedStreamInfo {
    /// Calls `access` with the information, and returns what it returns.
    ///
    /// `access` reads and writes fields, and nothing else: if it calls a worker or a VM that has the stream, or `with` of the
    /// same stream, the thread waits for itself for ever. A panic in `access` does not make the information unreadable.
    ///
    /// # Panics
    /// Panics with debug assertions where the thread would wait for itself.
    #[inline]
    pub fn with<R>(&self, access: impl FnOnce(&mut StreamInfo) -> R) -> R {
        #[cfg(debug_assertions)]
        let _entered = Entered::new(&self.0.entered);
        access(&mut self.0.info.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl From<StreamInfo> for SharedStreamInfo {
    #[inline]
    fn from(info: StreamInfo) -> Self {
        Self(Arc::new(Shared { info: Mutex::new(info), ..Shared::default() }))
    }
}

/// Notes that a thread is in `with`, until it is dropped.
#[cfg(debug_assertions)]
struct Entered<'s>(&'s Mutex<Option<ThreadId>>);

#[cfg(debug_assertions)]
impl<'s> Entered<'s> {
    fn new(entered: &'s Mutex<Option<ThreadId>>) -> Self {
        let this = Some(thread::current().id());
        let other = entered.lock().unwrap_or_else(PoisonError::into_inner).replace(thread::current().id());
        assert!(other != this, "SharedStreamInfo::with was called by its own closure; call workers and VMs after it");
        Self(entered)
    }
}

#[cfg(debug_assertions)]
impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use super::*;

    #[test]
    fn handles_are_of_one_stream() {
        let info = StreamInfo::default().into_shared();
        let other = info.clone();
        other.with(|info| info.request_size += 7);
        assert_eq!(info.with(|info| info.request_size), 7);
    }

    #[test]
    fn a_panic_leaves_the_information_readable() {
        let info = SharedStreamInfo::default();
        let panicking = AssertUnwindSafe(|| {
            info.with(|info| {
                info.id = 1;
                // Without the hook, so that no line of a panic is printed.
                resume_unwind(Box::new(()));
            });
        });
        assert!(catch_unwind(panicking).is_err());
        assert_eq!(info.with(|info| info.id), 1);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "by its own closure")]
    fn a_thread_does_not_wait_for_itself() {
        let info = SharedStreamInfo::default();
        info.with(|_| info.with(|_| {}));
    }
}
