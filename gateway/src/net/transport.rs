//! Transports of TCP streams.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

use super::io::Stream;
use crate::upstream::pool::UpstreamStream;

/// A connection of either side.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin {
    /// Makes the connection end with a reset when it is dropped.
    fn reset(&self);
}

impl Io for TcpStream {
    fn reset(&self) {
        // What cannot be reset ends as it would otherwise.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Io for Stream {
    fn reset(&self) {
        self.tcp().reset();
    }
}

impl Io for UpstreamStream {
    fn reset(&self) {
        self.tcp().reset();
    }
}

/// The echo has nobody who would see a reset.
impl Io for DuplexStream {
    fn reset(&self) {}
}
