//! The opening of connections with one endpoint, of which ALPN may decide the protocol.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::time::Instant;

use super::error::UpstreamError;
use super::server::{Connected, Server};
use super::tls_fault::TlsFault;

/// The source of connections of one endpoint and server name.
#[derive(Debug)]
pub(super) struct Source<'a> {
    server: &'a Server,
    name: Option<&'a ServerName<'static>>,
    crossing: Option<&'a Crossing>,
}

/// A connection that turned out to be of the other protocol than the one that it was opened for.
#[derive(Debug, Default)]
pub(super) struct Crossing(Rc<RefCell<Option<(Connected, Instant)>>>);

/// The time that a connection is kept for its request, which is on the way to it unless it was given up.
const NEW: Duration = Duration::from_secs(1);

impl Crossing {
    /// Keeps a connection for the next request of its protocol, if that comes soon.
    fn put(&self, connected: Connected) {
        let since = Instant::now();
        self.0.replace(Some((connected, since)));
        let kept = Rc::downgrade(&self.0);
        tokio::task::spawn_local(async move {
            tokio::time::sleep(NEW).await;
            if let Some(kept) = kept.upgrade() {
                kept.borrow_mut().take_if(|(_, own)| *own == since);
            }
        });
    }

    /// Takes the connection, if its protocol is this one and it is new.
    fn take(&self, http2: bool) -> Option<Connected> {
        let (connected, since) = self.0.borrow_mut().take_if(|(connected, _)| connected.agreed_http2 == Some(http2))?;
        (since.elapsed() < NEW).then_some(connected)
    }
}

impl<'a> Source<'a> {
    /// Makes a source. With `crossing`, a connection of the other protocol is kept there.
    pub(super) fn new(
        server: &'a Server,
        name: Option<&'a ServerName<'static>>,
        crossing: Option<&'a Crossing>,
    ) -> Self {
        Self { server, name, crossing }
    }

    /// Returns the server that they lead to.
    pub(super) fn server(&self) -> &'a Server {
        self.server
    }

    /// Opens a connection of a protocol.
    ///
    /// # Errors
    /// No connection came about, or one of another protocol, which ALPN has decided.
    pub(super) async fn open(&self, http2: bool) -> Result<Connected, UpstreamError> {
        if let Some(connected) = self.crossing.and_then(|crossing| crossing.take(http2)) {
            return Ok(connected);
        }
        let connected = self.server.connect(self.name).await?;
        if connected.agreed_http2.is_none_or(|agreed| agreed == http2) {
            return Ok(connected);
        }
        if let Some(crossing) = self.crossing {
            crossing.put(connected);
        }
        let wanted = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        Err(UpstreamError::tls(self.server.name(), TlsFault::OtherProtocol { wanted }))
    }
}
