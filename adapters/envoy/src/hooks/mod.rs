//! The hooks that Envoy calls, and nothing else: each makes safe values of what Envoy gives, and lets no panic out.
#![expect(unsafe_code, reason = "these are the functions that Envoy calls, with pointers of its own and of ours")]

#[cfg(test)]
/// Holds hooks to their types, and lists these.
macro_rules! declared {
    ($( $hook:ident: fn($($type:ty),*) $(-> $result:ty)?; )*) => {
        /// The name and the declaration of each.
        const DECLARED: &[(&str, &str)] = &[ $( (stringify!($hook), stringify!(fn($($type),*) $(-> $result)?)), )* ];
        $( const _: unsafe extern "C" fn($($type),*) $(-> $result)? = super::$hook; )*
    };
}

mod http;
mod network;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::{ffi, ptr};

use bytes::Bytes;
use portcullis::abi::LogLevel;
use portcullis::model::Headers;

use crate::abi::{self, EnvoyBytes, EnvoyHeader};
use crate::envoy::Log;
use crate::handle::{self, EnvoyLog};
use crate::own_log::{self, OwnLog};
use crate::process::{Process, Refused};
use crate::tracing_log;

/// Runs a hook. If it panics, Envoy gets `otherwise`, and the log a line; what the panic said stands on standard error.
fn guard<R>(hook: &str, otherwise: R, run: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let line = format!("portcullis: the hook {hook} panicked; report the line on standard error");
        // The log itself may be what panics.
        let _ = catch_unwind(|| EnvoyLog::get().inspect(|log| log.write(LogLevel::Critical, line.as_bytes())));
        otherwise
    })
}

/// Returns the parts of which a process has one. Made with the first configuration, on the main thread.
fn process() -> Result<Arc<Process>, Refused> {
    static PROCESS: Mutex<Option<Arc<Process>>> = Mutex::new(None);
    let mut process = PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(process) = &*process {
        return Ok(Arc::clone(process));
    }
    let envoy = EnvoyLog::get().ok_or(Refused::NoEnvoy)?;
    let log: Arc<dyn Log> = match std::env::var(own_log::CHOICE).as_deref() {
        Ok("stderr") => Arc::new(OwnLog::new(envoy, std::io::stderr())?),
        _ => Arc::new(envoy),
    };
    tracing_log::install(Arc::clone(&log));
    let made = Arc::new(Process::new(handle::concurrency(), log)?);
    *process = Some(Arc::clone(&made));
    Ok(made)
}

/// Makes what Envoy keeps of a configuration; null if it is refused.
fn configured<T>(make: impl FnOnce(&Arc<Process>) -> Result<T, Refused>) -> *const T {
    made(make).map_or(ptr::null(), Arc::into_raw)
}

/// Makes a part of a configuration. A refusal is logged, and Envoy refuses the configuration then.
fn made<T>(make: impl FnOnce(&Arc<Process>) -> Result<T, Refused>) -> Option<Arc<T>> {
    match process().and_then(|process| make(&process)) {
        Ok(made) => Some(Arc::new(made)),
        Err(refused) => {
            if let Some(log) = EnvoyLog::get() {
                log.write(LogLevel::Error, format!("portcullis: {refused}").as_bytes());
            }
            None
        }
    }
}

/// Returns the name of a filter, for messages.
fn filter(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Takes back what [`configured`] has made.
///
/// # Safety
/// `at` is null or was made by [`configured`], and is not used any more.
unsafe fn drop_configured<T>(at: *const T) {
    if !at.is_null() {
        // SAFETY: see above.
        drop(unsafe { Arc::from_raw(at) });
    }
}

/// Copies the headers of a hook.
///
/// # Safety
/// They are what Envoy has given to the hook that runs.
unsafe fn copy(headers: *const EnvoyHeader, count: usize) -> Headers {
    // SAFETY: see above.
    unsafe { abi::array(headers, count).iter().map(|header| header.get()).collect() }
}

/// Copies the data of a hook.
///
/// # Safety
/// They are what Envoy has given to the hook that runs.
unsafe fn joined(data: *const EnvoyBytes, count: usize) -> Bytes {
    let mut all = Vec::new();
    // SAFETY: see above.
    unsafe { abi::array(data, count).iter().for_each(|data| all.extend_from_slice(data.get())) };
    all.into()
}

/// Tells Envoy the version of the ABI, once this process has shown that it has all callbacks.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const ffi::c_char {
    guard("program_init", ptr::null(), || match abi::load() {
        Ok(()) => abi::VERSION.as_ptr(),
        Err(name) => {
            // There is no log without Envoy's callbacks.
            eprintln!("portcullis: this Envoy has no {name}; use the Envoy that docs/envoy.md names, or a newer one");
            ptr::null()
        }
    })
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::*;

    #[test]
    fn a_panic_goes_no_further_than_its_hook() {
        // Without the hook of panics, so that no line is printed.
        assert_eq!(guard("a_hook", 5, || resume_unwind(Box::new(()))), 5);
        assert_eq!(guard("a_hook", 5, || 6), 6);
    }

    #[test]
    fn what_envoy_keeps_lasts_as_long_as_envoy_or_a_stream_has_it() {
        let kept = Arc::into_raw(Arc::new(String::from("kept")));
        // SAFETY: it was made so just now, and is dropped once.
        unsafe {
            let stream = handle::shared(kept);
            drop_configured(kept);
            assert_eq!(stream.as_deref().map(String::as_str), Some("kept"));
            assert!(handle::shared(ptr::null::<String>()).is_none());
            drop_configured(ptr::null::<String>());
        }
    }
}
