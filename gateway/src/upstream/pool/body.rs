//! The body of an upstream's response.

use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::endpoint::Endpoint;
use super::error::UpstreamError;
use super::h1::Connection;
use super::link::Link;
use super::server::Addresses;

/// The body of an upstream's response. Read to its end, it gives its HTTP/1.1 connection back to the pool; dropped
/// before, it closes the connection or resets the HTTP/2 stream.
#[derive(Debug)]
pub struct UpstreamBody {
    incoming: Incoming,
    endpoint: Rc<Endpoint>,
    addresses: Addresses,
    /// The HTTP/1.1 connection, while the body still occupies it.
    lease: Option<(Rc<Link>, Connection)>,
}

impl UpstreamBody {
    pub(super) fn new(
        incoming: Incoming,
        endpoint: Rc<Endpoint>,
        addresses: Addresses,
        lease: Option<(Rc<Link>, Connection)>,
    ) -> Self {
        let mut body = Self { incoming, endpoint, addresses, lease };
        if body.incoming.is_end_stream() {
            body.release();
        }
        body
    }

    /// Returns the endpoint that answered, as configured.
    pub fn endpoint(&self) -> &str {
        self.endpoint.server().name()
    }

    /// Returns the endpoint's address.
    pub fn remote_addr(&self) -> SocketAddr {
        self.addresses.remote
    }

    /// Returns our own address on the connection.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.local
    }

    fn release(&mut self) {
        if let Some((link, connection)) = self.lease.take() {
            link.put_back(connection);
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                // A reader may stop at the last byte of a known length, or at the trailers, and never ask for the end.
                if frame.is_trailers() || this.incoming.is_end_stream() {
                    this.release();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.lease = None;
                let error = UpstreamError::http(this.endpoint.server().name(), error);
                this.endpoint.server().failed(&error);
                Some(Err(error))
            }
            None => {
                this.release();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
