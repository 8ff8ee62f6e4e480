//! The state that both ends of a body share.

use std::collections::VecDeque;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use http::HeaderMap;

use super::length::Promise;

/// A sender should pause once this many bytes wait to be pulled. A bound on memory, not on a push: one push may go past
/// it.
pub const HIGH_WATER: usize = 64 * 1024;

/// Nobody reads the body any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct Closed;

/// The body was aborted by its sender.
#[derive(Debug, thiserror::Error)]
#[error("the body was aborted before its end")]
pub struct BodyError {
    pub(super) source: Box<dyn Error + Send + Sync>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) chunks: VecDeque<Bytes>,
    /// The sum of the chunks' lengths.
    pub(super) queued: usize,
    pub(super) end: End,
    /// The promise of the message's head for the body.
    pub(super) promise: Promise,
    /// The promise was not kept, and the body is aborted for it.
    pub(super) has_wrong_length: bool,
    /// True if the body was dropped.
    pub(super) closed: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// The state behind a lock, which is held for no longer than a change takes, and never while a task is woken.
#[derive(Debug, Default)]
pub(super) struct Locked(Mutex<Shared>);

impl Locked {
    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(super) fn discard(&mut self) {
        self.chunks.clear();
        self.queued = 0;
    }
}

#[derive(Debug, Default)]
pub(super) enum End {
    #[default]
    Open,
    Finished(Option<HeaderMap>),
    Aborted(BodyError),
    /// The end, whichever it was, has been pulled.
    Delivered,
}

pub(super) fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Wakes a task. Called when no lock is held, since a waker may run anything.
pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
