//! One accepted connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A connection from a client.
#[derive(Debug)]
pub enum Stream {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Under TLS. Boxed, because the state is far larger than a socket.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Information about an established connection; plugins see it as properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The result of the TLS handshake, if TLS is used.
    pub tls: Option<Arc<TlsInfo>>,
}

/// The result of a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsInfo {
    /// The version as Envoy writes it: `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The application protocol: `h2`, `http/1.1`, or none when the client offered none.
    pub alpn: Option<String>,
    /// The server name that the client asked for.
    pub sni: Option<String>,
}

impl Stream {
    /// Performs the server's side of the TLS handshake within a limit; zero is none.
    ///
    /// # Errors
    /// The errors of the connection and of TLS, and of a client that is not done in time.
    pub async fn accept_tls(tcp: TcpStream, config: Arc<ServerConfig>, limit: Duration) -> io::Result<Self> {
        let handshake = TlsAcceptor::from(config).accept(tcp);
        if limit.is_zero() {
            return Ok(Self::Tls(Box::new(handshake.await?)));
        }
        match timeout(limit, handshake).await {
            Ok(done) => Ok(Self::Tls(Box::new(done?))),
            Err(_) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "the client did not finish the TLS handshake in time"))
            }
        }
    }

    /// Collects what is known. Fails when the client has already gone.
    pub fn info(&self) -> io::Result<ConnectionInfo> {
        let tcp = self.tcp();
        Ok(ConnectionInfo {
            peer: tcp.peer_addr()?,
            local: tcp.local_addr()?,
            tls: match self {
                Self::Plain(_) => None,
                Self::Tls(stream) => Some(Arc::new(tls_info(stream))),
            },
        })
    }

    /// Wraps it for hyper.
    pub fn into_hyper(self) -> TokioIo<Self> {
        TokioIo::new(self)
    }

    /// Returns the socket beneath.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, data),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

fn tls_info(stream: &TlsStream<TcpStream>) -> TlsInfo {
    let (_, session) = stream.get_ref();
    TlsInfo {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        sni: session.server_name().map(str::to_owned),
    }
}
