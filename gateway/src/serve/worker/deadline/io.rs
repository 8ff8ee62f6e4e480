//! A client's connection that reports reads and writes to its deadlines.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Deadlines;
use crate::net::io::Stream;

/// A connection for hyper. It is shared with the guard, which may have to end it.
#[derive(Debug)]
pub(in crate::serve::worker) struct Watched {
    stream: Rc<RefCell<Stream>>,
    deadlines: Rc<Deadlines>,
    vectored: bool,
}

impl Watched {
    pub(super) fn new(stream: Rc<RefCell<Stream>>, deadlines: Rc<Deadlines>) -> Self {
        let vectored = stream.borrow().is_write_vectored();
        Self { stream, deadlines, vectored }
    }

    fn sent<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &written {
            Poll::Ready(Ok(_)) => self.deadlines.sent(true),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.deadlines.sent(false),
        }
        written
    }
}

impl AsyncRead for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buffer);
        if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.deadlines.received(bytes);
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write(cx, data);
        self.sent(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut *self.stream.borrow_mut()).poll_write_vectored(cx, data);
        self.sent(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    /// Flushes. Under TLS bytes may wait above the socket; without, nothing is left to do, and that says nothing about the socket.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.stream.borrow_mut();
        let flushed = Pin::new(&mut *stream).poll_flush(cx);
        let is_plain = matches!(*stream, Stream::Plain(_));
        drop(stream);
        if is_plain { flushed } else { self.sent(flushed) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx);
        if shut.is_pending() { self.sent(shut) } else { shut }
    }
}
