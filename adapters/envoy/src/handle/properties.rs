//! Properties that Envoy is asked for when a plugin asks.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis::model::Attributes;

use crate::abi::{self, Callbacks};
use crate::attributes::{self, Kept, Source};
use crate::envoy::StreamAttributes;

thread_local! {
    /// The stream or connection whose hook this thread is in.
    static CURRENT: Cell<Option<Current>> = const { Cell::new(None) };
}

/// A stream or a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Current {
    Stream(abi::Stream),
    Connection(abi::Connection),
}

/// Notes that this thread is in a hook, until it is dropped. Hooks run within others: each leaves what it found.
#[derive(Debug)]
pub(super) struct Entered(Option<Current>);

impl Entered {
    pub(super) fn new(current: Current) -> Self {
        Self(CURRENT.replace(Some(current)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Calls its third argument with what it makes of the second.
type Ask<T> = fn(&'static Callbacks, T, &mut dyn FnMut(&dyn Source));

/// Properties of a stream or connection. Envoy is asked within its hooks; else the copies are.
struct FromEnvoy<T> {
    /// None once it is over: Envoy may give another one the same address.
    raw: Mutex<Option<T>>,
    current: fn(T) -> Current,
    ask: Ask<T>,
    kept: Mutex<Kept>,
}

/// Returns the properties of a stream or a connection. `ask` is called within its hooks alone.
pub(super) fn properties<T: Copy + Send + 'static>(
    raw: T,
    current: fn(T) -> Current,
    ask: Ask<T>,
) -> Arc<dyn StreamAttributes> {
    Arc::new(FromEnvoy { raw: Mutex::new(Some(raw)), current, ask, kept: Mutex::default() })
}

impl<T: Copy> FromEnvoy<T> {
    /// Calls `ask` if this thread is in a hook of the stream or connection.
    fn ask<R>(&self, ask: impl FnOnce(&dyn Source) -> R) -> Option<R> {
        let raw = (*self.raw.lock().unwrap_or_else(PoisonError::into_inner))?;
        let envoy = abi::callbacks().filter(|_| CURRENT.get() == Some((self.current)(raw)))?;
        let (mut ask, mut answer) = (Some(ask), None);
        (self.ask)(envoy, raw, &mut |source| answer = ask.take().map(|ask| ask(source)));
        answer
    }
}

impl<T: Copy + Send> Attributes for FromEnvoy<T> {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let asked = self.ask(|source| attributes::read(source, path, out));
        asked.unwrap_or_else(|| self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(path, out))
    }
}

impl<T: Copy + Send> StreamAttributes for FromEnvoy<T> {
    fn keep(&self) {
        if let Some(kept) = self.ask(|source| Kept::of(source)) {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        }
    }

    fn close(&self) {
        *self.raw.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl<T> fmt::Debug for FromEnvoy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FromEnvoy")
    }
}
