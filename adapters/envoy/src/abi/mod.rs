//! The C ABI of Envoy's dynamic modules: types, and the callbacks that this crate uses.
//!
//! Envoy's executable exports the callbacks, and [`Callbacks::load`] looks them up once, when the module is loaded. So nothing is left to
//! the dynamic linker: a callback that an Envoy lacks is named in a message, and tests need no Envoy to be linked. Enums are numbers here,
//! because a later Envoy may have more members (`abi/1.40.txt` says where which one stands).
#![expect(unsafe_code, reason = "addresses of symbols become functions")]

mod callbacks;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(crate) mod table;
mod types;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::OnceLock;

pub(crate) use self::callbacks::Callbacks;
pub(crate) use self::types::{
    Config, ConfigScheduler, Connection, ConnectionScheduler, EnvoyBytes, EnvoyHeader, NetworkConfig, OwnBytes,
    OwnHeader, Stream, StreamScheduler, Timing, array,
};

/// The version of the ABI that Envoy 1.40 has.
pub(crate) const VERSION: &CStr = c"v0.2.0";

static CALLBACKS: OnceLock<Callbacks> = OnceLock::new();

/// Looks up Envoy's callbacks.
///
/// # Errors
/// The name of the first that this process does not have.
pub(crate) fn load() -> Result<(), &'static str> {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }
    let callbacks = Callbacks::load(|name| {
        // SAFETY: the name ends with a zero byte; null as the handle means all that the executable exports (RTLD_DEFAULT).
        unsafe { dlsym(ptr::null_mut(), name.as_ptr()) }
    })?;
    let _ = CALLBACKS.set(callbacks);
    Ok(())
}

/// Returns Envoy's callbacks; `None` where there is no Envoy.
pub(crate) fn callbacks() -> Option<&'static Callbacks> {
    CALLBACKS.get()
}
