//! The context of a request.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use portcullis_driver::Upstreams;

use crate::held::Handle;
use crate::measured::Measured;
use crate::stream::Stream;

/// The most bytes of a request's body that are kept for another attempt, as in Pingora.
pub(crate) const MOST_KEPT: usize = 64 << 10;

/// The context of a request: the proxy's own, and its stream through the plugins.
pub struct Context<C, U: Upstreams> {
    /// The context that the proxy has made.
    pub inner: C,
    /// None before the plugins have been given the request.
    pub(crate) stream: Option<Arc<Stream<U>>>,
    pub(crate) upload: Upload,
    /// The request's body comes out of the chain before it comes to the hooks.
    pub(crate) is_upload_held: bool,
    /// The session that has taken the place of Pingora's.
    pub(crate) held: Option<Handle>,
    /// The plugins' answer has been sent.
    pub(crate) is_answered: bool,
}

impl<C, U: Upstreams> Context<C, U> {
    pub(crate) fn new(inner: C) -> Self {
        Self { inner, stream: None, upload: Upload::default(), is_upload_held: false, held: None, is_answered: false }
    }
}

impl<C, U: Upstreams> std::fmt::Debug for Context<C, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// A request's body on its way through the hooks. Pingora gives each attempt all of it that came so far; the plugins see it once.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) measured: Measured,
    /// The number of the attempt, from 1, and of the one whose body has begun.
    attempt: u32,
    begun: u32,
    /// Bytes that plugins have been given.
    fed: usize,
    sent: Kept,
}

impl Upload {
    /// Notes that an upstream is about to be chosen.
    pub(crate) fn attempt(&mut self) {
        self.attempt = self.attempt.saturating_add(1);
    }

    /// Takes a piece of the client's body; returns what of it is new to the plugins, and what has to be sent before anything else.
    pub(crate) fn take(&mut self, piece: Bytes) -> (Bytes, Bytes) {
        let is_again = self.attempt > self.begun && self.begun > 0;
        self.begun = self.attempt;
        let (mut fresh, mut before) = (piece, Bytes::new());
        if is_again {
            fresh = fresh.split_off(self.fed.min(fresh.len()));
            before = self.sent.bytes();
        }
        self.fed += fresh.len();
        (fresh, before)
    }

    /// Notes what was sent.
    pub(crate) fn keep(&mut self, sent: &[u8]) {
        self.sent.keep(sent);
    }

    /// Returns whether another attempt could be given all that was sent.
    pub(crate) fn can_repeat(&self) -> bool {
        !self.sent.is_too_long
    }
}

/// Bytes that are kept for another attempt, if they are not too many.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes: BytesMut,
    is_too_long: bool,
}

impl Kept {
    pub(crate) fn keep(&mut self, sent: &[u8]) {
        if self.is_too_long || self.bytes.len() + sent.len() > MOST_KEPT {
            (self.bytes, self.is_too_long) = (BytesMut::new(), true);
        } else {
            self.bytes.extend_from_slice(sent);
        }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.bytes)
    }

    pub(crate) fn is_too_long(&self) -> bool {
        self.is_too_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_see_a_body_once_and_each_attempt_all_that_was_sent() {
        let mut upload = Upload::default();
        upload.attempt();
        assert_eq!(upload.take("ab".into()), ("ab".into(), "".into()));
        upload.keep(b"AB");
        assert_eq!(upload.take("c".into()), ("c".into(), "".into()));
        upload.keep(b"C");
        upload.attempt();
        assert_eq!(upload.take("abcd".into()), ("d".into(), "ABC".into()), "one byte came that plugins have not seen");
        upload.keep(b"D");
        assert_eq!(upload.take("e".into()), ("e".into(), "".into()));
        upload.attempt();
        upload.attempt();
        assert_eq!(upload.take("abcde".into()), ("".into(), "ABCD".into()));
        assert!(upload.can_repeat());
        upload.keep(&[0; MOST_KEPT]);
        assert!(!upload.can_repeat());
    }
}
