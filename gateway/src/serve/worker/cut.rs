//! Messages that break off.

use std::error::Error;
use std::io;

/// The response cannot be completed: the connection is closed or the stream reset.
#[derive(Debug, thiserror::Error)]
#[error("the response was cut: {reason}")]
pub(crate) struct Cut {
    reason: &'static str,
    /// The error code that an HTTP/2 stream is reset with, if it matters.
    #[source]
    code: Option<h2::Error>,
}

impl Cut {
    pub(super) const fn new(reason: &'static str) -> Self {
        Self { reason, code: None }
    }

    /// Cuts a message of a client that broke the protocol: the stream is reset with PROTOCOL_ERROR.
    pub(super) fn malformed(reason: &'static str) -> Self {
        Self { reason, code: Some(h2::Reason::PROTOCOL_ERROR.into()) }
    }
}

impl From<portcullis_tower::Cut> for Cut {
    fn from(cut: portcullis_tower::Cut) -> Self {
        Self::new(cut.reason())
    }
}

/// Returns true if a client's body is not what HTTP/1 allows, as opposed to one that broke off.
pub(super) fn is_malformed(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData);
        }
        cause = error.source();
    }
    false
}
