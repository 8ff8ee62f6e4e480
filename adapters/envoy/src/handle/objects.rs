//! Objects of the module that Envoy keeps.
#![expect(unsafe_code, reason = "these are pointers that Envoy gives back")]

use std::sync::Arc;

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
