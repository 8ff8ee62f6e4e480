//! A body that one side pushes and hyper pulls, within one thread.

mod body;
mod sender;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::error::Error;
use std::rc::Rc;
use std::task::{Context, Waker};

use bytes::Bytes;
use http::HeaderMap;

use super::length::Promise;

pub use self::body::QueueBody;
pub use self::sender::BodySender;

/// A sender should pause once this many bytes wait to be pulled. A bound on memory, not on a push: one push may go past
/// it.
pub const HIGH_WATER: usize = 64 * 1024;

/// Makes an open, empty body and the sender that fills it.
pub fn body_queue() -> (BodySender, QueueBody) {
    let shared = Rc::new(RefCell::new(Shared::default()));
    let sender = BodySender { shared: Rc::clone(&shared) };
    (sender, QueueBody { shared: Some(shared) })
}

/// Nobody reads the body any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct Closed;

/// The body was aborted by its sender.
#[derive(Debug, thiserror::Error)]
#[error("the body was aborted before its end")]
pub struct BodyError {
    source: Box<dyn Error + Send + Sync>,
}

#[derive(Debug, Default)]
struct Shared {
    chunks: VecDeque<Bytes>,
    /// The sum of the chunks' lengths.
    queued: usize,
    end: End,
    /// The promise of the message's head for the body.
    promise: Promise,
    /// The promise was not kept, and the body is aborted for it.
    has_wrong_length: bool,
    /// Whether the body was dropped.
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn discard(&mut self) {
        self.chunks.clear();
        self.queued = 0;
    }
}

#[derive(Debug, Default)]
enum End {
    #[default]
    Open,
    Finished(Option<HeaderMap>),
    Aborted(BodyError),
    /// The end, whichever it was, has been pulled.
    Delivered,
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

/// Called when no borrow is held, since a waker may run anything.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
