//! How messages pass the plugins.

use std::time::Duration;

/// Settings of a [`Plugged`](crate::Plugged) proxy.
///
/// ```
/// use portcullis_pingora::{BodyMode, Options};
///
/// let options = Options::default().with_response_body(BodyMode::Buffer).with_buffer_limit(4 << 20);
/// assert_eq!(options.request_body, BodyMode::Buffer);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The bytes of a body that the plugins of a stream may hold, in each direction; 1 MiB by default. A plugin that buffers more
    /// gets its stream answered with 413, or 500 for a response.
    pub buffer_limit: usize,
    /// The treatment of a request whose head a plugin holds until it has seen the body; [`BodyMode::Buffer`] by default.
    pub request_body: BodyMode,
    /// The treatment of a response whose head a plugin holds until it has seen the body; [`BodyMode::Stream`] by default.
    pub response_body: BodyMode,
    /// Time that plugins may hold a part of a message, also for callouts; 60 seconds by default. Then their failure policies decide.
    pub pause_limit: Duration,
}

/// The treatment of a message whose head a plugin holds until it has seen the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMode {
    /// The head goes before the body, as in Pingora's own hooks. A plugin that holds the head, and waits for no callout, is overruled
    /// by its failure policy. Nothing is put between Pingora and the client.
    Stream,
    /// The body is read while the head is held. Between Pingora and the client is then a session of our own, which is what the
    /// proxy's hooks see (`Session::as_http1` and `as_http2` answer `None`, `set_keepalive` does nothing):
    /// for a request from the moment that a plugin has held its head until it had seen of the body; for a response always.
    Buffer,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            buffer_limit: 1 << 20,
            request_body: BodyMode::Buffer,
            response_body: BodyMode::Stream,
            pause_limit: Duration::from_secs(60),
        }
    }
}

impl Options {
    /// Sets [`Options::buffer_limit`].
    #[must_use]
    pub fn with_buffer_limit(self, bytes: usize) -> Self {
        Self { buffer_limit: bytes, ..self }
    }

    /// Sets [`Options::request_body`].
    #[must_use]
    pub fn with_request_body(self, mode: BodyMode) -> Self {
        Self { request_body: mode, ..self }
    }

    /// Sets [`Options::response_body`].
    #[must_use]
    pub fn with_response_body(self, mode: BodyMode) -> Self {
        Self { response_body: mode, ..self }
    }

    /// Sets [`Options::pause_limit`].
    #[must_use]
    pub fn with_pause_limit(self, limit: Duration) -> Self {
        Self { pause_limit: limit, ..self }
    }
}
