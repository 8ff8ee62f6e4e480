//! The connection that a request arrived on, as far as its server tells.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::model::{Attributes, StreamInfo};

/// The connection that a request arrived on, for the properties `source`, `destination` and `connection` of plugins.
///
/// A server that knows it inserts one into each request's extensions, before the request gets to the
/// [`PluginService`](crate::PluginService). Without one these properties are not found, the scheme that plugins see is
/// `http`, and each request is taken for a client by itself where plugins share what they have between clients.
///
/// ```
/// use portcullis_tower::ConnectionInfo;
///
/// let mut request = http::Request::new(());
/// let client = ([192, 0, 2, 7], 50_000).into();
/// request.extensions_mut().insert(ConnectionInfo::new(client).with_tls("TLSv1.3", Some("example.com")));
/// ```
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    source: SocketAddr,
    destination: Option<SocketAddr>,
    id: u64,
    tls: Option<Arc<Tls>>,
    attributes: Option<Arc<dyn Attributes>>,
}

#[derive(Debug)]
struct Tls {
    version: String,
    server_name: Option<String>,
}

impl ConnectionInfo {
    /// Creates the description of a plain connection from a client's address.
    #[must_use]
    pub fn new(source: SocketAddr) -> Self {
        Self { source, destination: None, id: 0, tls: None, attributes: None }
    }

    /// Sets the address that the client connected to.
    #[must_use]
    pub fn with_destination(mut self, destination: SocketAddr) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Sets the connection's number, which no other connection of the process has; 0 for none.
    #[must_use]
    pub fn with_id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }

    /// Sets that the client uses TLS: of this version, such as `TLSv1.3`, and asking for this name. The scheme that plugins
    /// see is `https` then.
    #[must_use]
    pub fn with_tls(mut self, version: &str, server_name: Option<&str>) -> Self {
        let server_name = server_name.map(str::to_owned);
        self.tls = Some(Arc::new(Tls { version: version.to_owned(), server_name }));
        self
    }

    /// Sets what is asked for other properties of the connection, such as its certificates.
    #[must_use]
    pub fn with_attributes(mut self, attributes: Arc<dyn Attributes>) -> Self {
        self.attributes = Some(attributes);
        self
    }

    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    pub(crate) fn uses_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Writes it into what plugins read.
    pub(crate) fn describe(&self, info: &mut StreamInfo) {
        info.source = Some(self.source);
        info.destination = self.destination;
        info.connection_id = self.id;
        info.attributes.clone_from(&self.attributes);
        if let Some(tls) = &self.tls {
            info.tls_version = Some(tls.version.clone());
            info.server_name.clone_from(&tls.server_name);
        }
    }
}
