//! Envoy's objects behind safe functions. The only code that calls Envoy.
//!
//! A handle is made of what Envoy gives to a hook, for the length of the hook, on the thread of the hook. All that is borrowed from it is
//! Envoy's until then, or until the next setter, which takes the handle for itself.
#![expect(unsafe_code, reason = "these are calls of Envoy's functions")]

mod config;
mod connection;
mod lists;
mod objects;
mod properties;
mod stream;

use portcullis::abi::LogLevel;

pub(crate) use self::config::Config;
pub(crate) use self::connection::Connection;
pub(crate) use self::objects::{Known, shared};
pub(crate) use self::stream::Stream;
use crate::abi::{self, Callbacks, OwnBytes};
use crate::envoy::{Log, one_line};
use crate::process::Loaded;

/// The plugins of routes.
pub(crate) static ROUTES: Known<Loaded> = Known::new();

/// Envoy's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyLog(&'static Callbacks);

impl EnvoyLog {
    /// Returns Envoy's log; `None` where there is no Envoy.
    pub(crate) fn get() -> Option<Self> {
        abi::callbacks().map(Self)
    }
}

impl Log for EnvoyLog {
    fn is_enabled(&self, level: LogLevel) -> bool {
        // SAFETY: any thread may; it takes a number.
        unsafe { (self.0.log_enabled)(level as u32) }
    }

    fn write(&self, level: LogLevel, line: &[u8]) {
        let line = one_line(line);
        // SAFETY: any thread may, and the line lasts for the call.
        unsafe { (self.0.log)(level as u32, OwnBytes::of(&line)) };
    }
}

/// Returns the number of Envoy's workers. For the main thread, while a configuration is made.
pub(crate) fn concurrency() -> usize {
    // SAFETY: no argument; the number was set before anything is configured.
    abi::callbacks().map_or(1, |envoy| unsafe { (envoy.get_concurrency)() } as usize).max(1)
}
