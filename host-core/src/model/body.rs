//! Body bytes on their way through a plugin.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

/// A body or a part of one, as a queue of chunks; chunks are shared, not copied.
///
/// ```
/// use bytes::Bytes;
/// use portcullis_core::model::Body;
///
/// let mut body = Body::from(Bytes::from_static(b"hello, "));
/// body.push(Bytes::from_static(b"world"));
/// assert_eq!(body.pop().as_deref(), Some(&b"hello, "[..]));
/// assert_eq!(body.to_bytes(), "world");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Body {
    chunks: VecDeque<Bytes>,
    len: usize,
}

impl Body {
    /// Returns an empty body.
    pub const fn new() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }

    /// Returns the length in bytes.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Appends all of another body.
    pub fn append(&mut self, mut other: Self) {
        self.len += other.len;
        self.chunks.append(&mut other.chunks);
    }

    /// Takes the first chunk.
    pub fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        Some(chunk)
    }

    /// Returns all bytes in one piece.
    pub fn to_bytes(&self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.front().cloned().unwrap_or_default(),
            _ => {
                let mut all = Vec::with_capacity(self.len);
                self.chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
                all.into()
            }
        }
    }

    /// Copies the bytes from `start` on into `out`; says whether there were enough.
    pub(crate) fn copy_to(&self, mut start: usize, mut out: &mut [u8]) -> bool {
        for chunk in &self.chunks {
            let Some(from) = chunk.get(start..) else {
                start -= chunk.len();
                continue;
            };
            start = 0;
            let count = from.len().min(out.len());
            let (Some(source), Some((target, rest))) = (from.get(..count), out.split_at_mut_checked(count)) else {
                return false;
            };
            target.copy_from_slice(source);
            out = rest;
            if out.is_empty() {
                break;
            }
        }
        out.is_empty()
    }

    /// Puts `data` in place of the `size` bytes from `start` on (spec: `proxy_set_buffer_bytes`).
    /// A range beyond the end is cut to it.
    pub(crate) fn splice(&mut self, start: usize, size: usize, data: Bytes) {
        let start = start.min(self.len);
        let size = size.min(self.len - start);
        let mut tail = self.split_off(start);
        tail.drop_front(size);
        self.push(data);
        self.append(tail);
    }

    fn split_off(&mut self, at: usize) -> Self {
        let mut head = Self::new();
        while head.len < at
            && let Some(mut chunk) = self.pop()
        {
            if head.len + chunk.len() > at {
                let rest = chunk.split_off(at - head.len);
                self.len += rest.len();
                self.chunks.push_front(rest);
            }
            head.push(chunk);
        }
        std::mem::replace(self, head)
    }

    fn drop_front(&mut self, mut count: usize) {
        while count > 0
            && let Some(mut chunk) = self.pop()
        {
            let cut = count.min(chunk.len());
            chunk.advance(cut);
            count -= cut;
            if !chunk.is_empty() {
                self.len += chunk.len();
                self.chunks.push_front(chunk);
            }
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        let mut body = Self::new();
        body.push(bytes);
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn body(chunks: &[Vec<u8>]) -> Body {
        let mut body = Body::new();
        chunks.iter().for_each(|chunk| body.push(chunk.clone().into()));
        body
    }

    proptest! {
        #[test]
        fn splice_agrees_with_a_vector(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..5),
            start in 0usize..30, size in 0usize..30, data in proptest::collection::vec(any::<u8>(), 0..5),
        ) {
            let mut expected = chunks.concat();
            let from = start.min(expected.len());
            let to = from + size.min(expected.len() - from);
            expected.splice(from..to, data.iter().copied());
            let mut body = body(&chunks);
            body.splice(start, size, data.into());
            prop_assert_eq!(body.len(), expected.len());
            prop_assert_eq!(&body.to_bytes()[..], &expected[..]);
        }

        #[test]
        fn copy_agrees_with_a_slice(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..5), 0..5),
            start in 0usize..30, len in 0usize..30,
        ) {
            let all = chunks.concat();
            let mut out = vec![0; len];
            let copied = body(&chunks).copy_to(start, &mut out);
            prop_assert_eq!(copied, len == 0 || start + len <= all.len());
            if copied && len > 0 {
                prop_assert_eq!(&out[..], &all[start..start + len]);
            }
        }
    }
}
