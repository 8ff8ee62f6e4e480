//! Objects of the module that Envoy keeps.
#![expect(unsafe_code, reason = "these are pointers that Envoy gives back")]

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Returns what a hook has made with `Arc::into_raw` for Envoy to keep; `None` for null.
///
/// # Safety
/// `at` is null or was made so, and Envoy keeps it while this runs.
pub(crate) unsafe fn shared<T>(at: *const T) -> Option<Arc<T>> {
    if at.is_null() {
        return None;
    }
    // SAFETY: see above. The count is ours to raise, since Envoy has one.
    unsafe {
        Arc::increment_strong_count(at);
        Some(Arc::from_raw(at))
    }
}

/// Objects that Envoy keeps and may mix with those of others: what it gives back is looked up by its address, and never read unknown.
#[derive(Debug)]
pub(crate) struct Known<T>(RwLock<BTreeMap<usize, Arc<T>>>);

impl<T> Known<T> {
    pub(crate) const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// Returns what Envoy is to keep.
    pub(crate) fn keep(&self, object: Arc<T>) -> *const T {
        let at = Arc::as_ptr(&object);
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(at.addr(), object);
        at
    }

    /// Returns the object that Envoy keeps at an address; `None` if it is no object of this library.
    pub(crate) fn get(&self, at: *const T) -> Option<Arc<T>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&at.addr()).cloned()
    }

    /// Forgets an object that Envoy keeps no more.
    pub(crate) fn forget(&self, at: *const T) {
        // Dropped without the lock: its plugins end with it.
        let object = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&at.addr());
        drop(object);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_library_has_made_is_unknown() {
        let known = Known::new();
        let at = known.keep(Arc::new(5));
        assert_eq!(known.get(at).as_deref(), Some(&5));
        assert_eq!(known.get(&6), None);
        known.forget(&6);
        known.forget(at);
        assert_eq!(known.get(at), None);
    }
}
