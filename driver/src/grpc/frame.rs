//! Messages in their frames: a flag, a length of four bytes, the message.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::status::{self, Status};

const HEADER: usize = 5;

/// Frames a message without compression: its header, and the message as it is.
pub(super) fn encode(message: Bytes) -> [Bytes; 2] {
    let [a, b, c, d] = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [Bytes::copy_from_slice(&[0, a, b, c, d]), message]
}

/// Takes messages out of a body that comes in pieces.
#[derive(Debug)]
pub(super) struct Decoder {
    max: usize,
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Decoder {
    /// Creates a decoder of messages of at most `max` bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { max, pieces: VecDeque::new(), len: 0 }
    }

    /// Returns the number of bytes that are of no complete message yet.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        self.pieces.push_back(piece);
    }

    /// Takes the next complete message.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if self.len < HEADER {
            return Ok(None);
        }
        let mut header = self.pieces.iter().flatten();
        let mut byte = || header.next().copied().unwrap_or_default();
        let compressed = byte() != 0;
        let len = u32::from_be_bytes([byte(), byte(), byte(), byte()]) as usize;
        if compressed {
            return Err(Status::new(status::INTERNAL, "the upstream compressed a message, which was not offered"));
        }
        if len > self.max {
            let message = format!("a message of {len} bytes is more than the limit of {}", self.max);
            return Err(Status::new(status::RESOURCE_EXHAUSTED, message));
        }
        if self.len - HEADER < len {
            return Ok(None);
        }
        self.take(HEADER);
        Ok(Some(self.take(len)))
    }

    /// Ends the messages.
    pub(super) fn finish(&self) -> Result<(), Status> {
        if self.len == 0 { Ok(()) } else { Err(Status::new(status::INTERNAL, "the upstream's last message broke off")) }
    }

    /// Takes bytes that are there; without a copy if they are in one piece.
    fn take(&mut self, len: usize) -> Bytes {
        self.len -= len;
        let mut taken = BytesMut::new();
        while taken.len() < len {
            let Some(mut piece) = self.pieces.pop_front() else { break };
            let part = piece.split_to(piece.len().min(len - taken.len()));
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
            if part.len() == len {
                return part;
            }
            taken.extend_from_slice(&part);
        }
        taken.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(body: &[u8], size: usize) -> Vec<Bytes> {
        let (mut decoder, mut messages) = (Decoder::new(1000), Vec::new());
        for piece in body.chunks(size) {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Ok(Some(message)) = decoder.next() {
                messages.push(message);
            }
        }
        assert_eq!(decoder.finish(), Ok(()));
        messages
    }

    #[test]
    fn messages_come_back_however_the_body_is_cut() {
        let messages = [Bytes::new(), Bytes::from("one"), Bytes::from(vec![7; 1000])];
        let body: Vec<u8> = messages.iter().cloned().flat_map(encode).flatten().collect();
        for size in 1..=body.len() {
            assert_eq!(decoded(&body, size), messages, "{size}");
        }
    }

    #[test]
    fn what_is_too_long_compressed_or_broken_off_is_an_error() {
        let next = |bytes: &'static [u8]| {
            let mut decoder = Decoder::new(10);
            decoder.push(Bytes::from_static(bytes));
            decoder.next().map_err(|status| status.code)
        };
        assert_eq!(next(b"\0\0\0\0\x0b"), Err(status::RESOURCE_EXHAUSTED));
        assert_eq!(next(b"\x01\0\0\0\0"), Err(status::INTERNAL));
        assert_eq!(next(b"\0\0\0\0\x0a"), Ok(None));
        let mut decoder = Decoder::new(10);
        decoder.push(Bytes::from_static(b"\0"));
        assert_eq!(decoder.finish().map_err(|status| status.code), Err(status::INTERNAL));
    }
}
