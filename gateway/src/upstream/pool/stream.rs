//! A connection with an upstream, plain or TLS.

use std::cell::OnceCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls_fault::TlsFault;

/// A connection with an upstream.
#[derive(Debug)]
pub struct UpstreamStream(Transport);

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

#[derive(Debug)]
struct Tls {
    stream: TlsStream<TcpStream>,
    fault: Fault,
    has_identity: bool,
    has_read: bool,
}

/// The fault by which TLS has ended a connection, for who has not seen the error itself: one of HTTP does not have it, and with TLS
/// 1.3 a server refuses a client certificate behind the handshake. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Fault(Option<Rc<Noted>>);

type Teller = Box<dyn Fn(&TlsFault)>;

#[derive(Default)]
struct Noted {
    fault: OnceCell<TlsFault>,
    /// Hears of the fault.
    teller: OnceCell<Teller>,
}

impl Fault {
    /// Returns the fault, if there is one.
    pub(super) fn get(&self) -> Option<&TlsFault> {
        self.0.as_ref()?.fault.get()
    }

    fn set(&self, fault: TlsFault) {
        if let Some(noted) = &self.0
            && noted.fault.set(fault).is_ok()
            && let Some((teller, fault)) = noted.teller.get().zip(noted.fault.get())
        {
            teller(fault);
        }
    }
}

impl fmt::Debug for Noted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Noted").field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl UpstreamStream {
    pub(super) fn plain(tcp: TcpStream) -> Self {
        Self(Transport::Plain(tcp))
    }

    pub(super) fn tls(stream: TlsStream<TcpStream>, has_identity: bool) -> Self {
        let fault = Fault(Some(Rc::default()));
        Self(Transport::Tls(Box::new(Tls { stream, fault, has_identity, has_read: false })))
    }

    /// Returns where its fault is found, if there comes to be one.
    pub(super) fn fault(&self) -> Fault {
        match &self.0 {
            Transport::Plain(_) => Fault::default(),
            Transport::Tls(tls) => tls.fault.clone(),
        }
    }

    /// Has a fault told that comes behind the handshake, where nobody else would look for it.
    pub(super) fn tell_fault(&self, teller: impl Fn(&TlsFault) + 'static) {
        if let Transport::Tls(tls) = &self.0
            && let Some(noted) = &tls.fault.0
        {
            let _ = noted.teller.set(Box::new(teller));
        }
    }

    /// Returns the socket beneath.
    pub fn tcp(&self) -> &TcpStream {
        match &self.0 {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.stream.get_ref().0,
        }
    }
}

impl Tls {
    fn note(&self, error: &io::Error) {
        if let Some(fault) = TlsFault::of(error, self.has_identity) {
            self.fault.set(fault);
        }
    }

    /// Returns the outcome of a write. When the server has refused our certificate and closed, a write fails before anybody reads
    /// the alert that says why.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            self.note(error);
            if !self.has_read {
                let mut byte = [0];
                if let Poll::Ready(Err(alert)) = Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut byte))
                {
                    self.note(&alert);
                }
            }
        }
        outcome
    }
}

impl AsyncRead for UpstreamStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Transport::Tls(tls) => {
                let outcome = Pin::new(&mut tls.stream).poll_read(cx, buffer);
                match &outcome {
                    Poll::Ready(Ok(())) => tls.has_read = true,
                    Poll::Ready(Err(error)) => tls.note(error),
                    Poll::Pending => {}
                }
                outcome
            }
        }
    }
}

impl AsyncWrite for UpstreamStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Transport::Tls(tls) => {
                let outcome = Pin::new(&mut tls.stream).poll_write(cx, data);
                tls.written(outcome, cx)
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Transport::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, data),
            Transport::Tls(tls) => {
                let outcome = Pin::new(&mut tls.stream).poll_write_vectored(cx, data);
                tls.written(outcome, cx)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.0 {
            Transport::Plain(tcp) => tcp.is_write_vectored(),
            Transport::Tls(tls) => tls.stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Transport::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Transport::Tls(tls) => {
                let outcome = Pin::new(&mut tls.stream).poll_flush(cx);
                tls.written(outcome, cx)
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
