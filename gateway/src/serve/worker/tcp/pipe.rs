//! One side of a TCP stream: a socket, and what waits to be written to it.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use portcullis::model::Body;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::net::transport::Io;

/// Number of waiting bytes from which on nothing is read from the other side.
pub(super) const HIGH_WATER: usize = 256 << 10;

/// One side.
pub(super) struct Pipe {
    /// None before it is connected and after it is closed.
    pub(super) io: Option<Box<dyn Io>>,
    waiting: VecDeque<Bytes>,
    waiting_len: usize,
    dirty: bool,
    /// True if nothing follows what waits.
    pub(super) ending: bool,
    /// All has been written, and its end.
    pub(super) ended: bool,
    /// Its peer has sent everything.
    pub(super) read_all: bool,
    /// The last time that it was connected, read or written.
    pub(super) moved: Instant,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            io: None,
            waiting: VecDeque::new(),
            waiting_len: 0,
            dirty: false,
            ending: false,
            ended: false,
            read_all: false,
            moved: Instant::now(),
        }
    }
}

impl Pipe {
    /// Creates a connected pipe.
    pub(super) fn new(io: Box<dyn Io>) -> Self {
        Self { io: Some(io), ..Self::default() }
    }

    /// Takes data to write.
    pub(super) fn push(&mut self, mut data: Body, end: bool) {
        if self.ending {
            return;
        }
        while let Some(chunk) = data.pop() {
            self.waiting_len += chunk.len();
            self.waiting.push_back(chunk);
        }
        self.ending = end;
    }

    /// Returns true if the other side should be read.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_len < HIGH_WATER
    }

    /// Writes what waits, and then the end. Ready once, when the end has been written; else an error, or
    /// nothing to do now.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = self.io.as_mut().filter(|_| !self.ended) else { return Poll::Pending };
        while let Some(chunk) = self.waiting.front_mut() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, chunk))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.dirty = true;
            self.moved = Instant::now();
            self.waiting_len -= written;
            chunk.advance(written);
            if chunk.is_empty() {
                self.waiting.pop_front();
            }
        }
        if self.ending {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        if self.dirty {
            ready!(Pin::new(&mut *io).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Pending
    }

    /// Reads the received bytes; empty at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<Bytes>> {
        let Some(io) = self.io.as_mut().filter(|_| !self.read_all) else { return Poll::Pending };
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        self.moved = Instant::now();
        Poll::Ready(Ok(Bytes::copy_from_slice(buffer.filled())))
    }

    /// Closes it: what waits is dropped.
    pub(super) fn close(&mut self) {
        (self.io, self.ending, self.ended, self.read_all) = (None, true, true, true);
        self.waiting.clear();
        self.waiting_len = 0;
    }

    /// Closes it with a reset.
    pub(super) fn reset(&mut self) {
        if let Some(io) = &self.io {
            io.reset();
        }
        self.close();
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::advance;

    use super::*;

    /// Bytes that the peer takes count, not only those that it sends.
    #[tokio::test(start_paused = true)]
    async fn what_is_written_or_read_has_moved() {
        let (near, mut far) = tokio::io::duplex(4);
        let mut pipe = Pipe::new(Box::new(near));
        let written = async |pipe: &mut Pipe| {
            advance(Duration::from_secs(1)).await;
            poll_fn(|cx| Poll::Ready(pipe.poll_write(cx).is_pending())).await
        };
        pipe.push(Body::from(Bytes::from_static(b"12345678")), false);
        assert!(written(&mut pipe).await);
        let first = Instant::now();
        assert_eq!(pipe.moved, first);
        assert!(written(&mut pipe).await);
        assert_eq!(pipe.moved, first, "the peer has taken nothing");
        far.read_exact(&mut [0; 4]).await.unwrap();
        assert!(written(&mut pipe).await);
        assert_eq!(pipe.moved, Instant::now());
        far.write_all(b"x").await.unwrap();
        advance(Duration::from_secs(1)).await;
        let read = poll_fn(|cx| pipe.poll_read(cx, &mut [0; 8])).await.unwrap();
        assert_eq!((&read[..], pipe.moved), (&b"x"[..], Instant::now()));
    }
}
