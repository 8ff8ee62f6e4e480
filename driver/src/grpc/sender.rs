//! The sender of messages of a gRPC call or stream.

use bytes::Bytes;

use super::frame::encode;
use crate::body::BodySender;

/// Sends the messages of a call or stream. What waits for the upstream is bounded by the VM's limits. Dropping it gives up
/// what has not been sent.
#[derive(Debug)]
pub(crate) struct Sender(BodySender);

impl Sender {
    /// Sends into a body.
    pub(super) const fn new(body: BodySender) -> Self {
        Self(body)
    }

    /// Sends a message, maybe the last.
    pub(crate) fn send(&self, message: Bytes, end: bool) {
        for part in encode(message) {
            self.0.push(part);
        }
        if end {
            self.finish();
        }
    }

    /// Ends the messages.
    pub(crate) fn finish(&self) {
        self.0.finish(None);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.cancel(h2::Error::from(h2::Reason::CANCEL));
    }
}
