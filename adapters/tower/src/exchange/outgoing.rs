//! The part of a response that is ready for the client.

use std::collections::VecDeque;
use std::task::Poll;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode, Version};
use http_body::Frame;
use portcullis_core::model::Body;
use portcullis_driver::body::{Promise, WrongLength};

use super::content::Content;
use crate::cut::Cut;

/// Bytes that may wait in h2 without a limit but the connection's.
const LITTLE: usize = 1 << 10;

/// Enough to keep a client busy while more is read.
const AHEAD: usize = 64 << 10;

/// A response on its way from the filter chain to the client.
#[derive(Debug, Default)]
pub struct Outgoing {
    head: Option<(StatusCode, HeaderMap)>,
    frames: VecDeque<Frame<Bytes>>,
    bytes: usize,
    /// The length that the sent head promises for the body.
    promise: Promise,
    ended: bool,
    /// No body may follow the head, so nothing that happens afterwards matters.
    ends_with_head: bool,
    /// The head has a length, and no body belongs to it.
    only_described: bool,
    /// The last byte of each large piece goes by itself.
    keeps_last_byte: bool,
    cut: Option<&'static str>,
}

impl Outgoing {
    /// Takes the head once it is there, with the length of what follows as it is by then. `version` is the client's.
    pub(crate) fn take_head(
        &mut self,
        method: &Method,
        version: Version,
        keeps_last_byte: bool,
    ) -> Poll<Result<(StatusCode, HeaderMap), Cut>> {
        match (self.head.take(), self.cut) {
            (Some((status, mut headers)), _) => {
                let content = Content::of(status, method);
                let body = (self.bytes as u64, self.ended && self.cut.is_none());
                self.keeps_last_byte = keeps_last_byte && version == Version::HTTP_2;
                self.promise = content.settle(&mut headers, body).map_or_else(Promise::default, Promise::of);
                // Of a 304 without a body hyper drops the length, over HTTP/1.
                self.only_described = content == Content::Described
                    && *method != Method::HEAD
                    && version != Version::HTTP_2
                    && headers.contains_key(CONTENT_LENGTH);
                Poll::Ready(Ok((status, headers)))
            }
            (None, Some(reason)) => Poll::Ready(Err(Cut::new(reason))),
            (None, None) => Poll::Pending,
        }
    }

    /// Takes the next piece of the body, the end, or the error for which there is none.
    pub(crate) fn take_frame(&mut self) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.withholds() {
            return Poll::Pending;
        }
        if let Some(frame) = self.frames.pop_front() {
            let frame = if self.keeps_last_byte { self.without_last_byte(frame) } else { frame };
            self.bytes -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        match self.cut {
            Some(reason) => Poll::Ready(Some(Err(Cut::new(reason)))),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Keeps back the last byte of a piece, as one of its own.
    fn without_last_byte(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > LITTLE => {
                self.frames.push_front(Frame::data(data.split_off(data.len() - 1)));
                Frame::data(data)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }

    /// Returns true if there is no piece of the body, and more may come.
    #[inline]
    pub(crate) fn is_waiting(&self) -> bool {
        (self.frames.is_empty() || self.withholds()) && !self.ended && self.cut.is_none()
    }

    /// Returns true if all of it has been taken.
    #[inline]
    pub(crate) fn is_sent(&self) -> bool {
        self.ended && self.frames.is_empty() && self.cut.is_none()
    }

    /// Returns true if hyper may take what is left for no body at all.
    #[inline]
    pub fn is_end_stream(&self) -> bool {
        self.is_sent() && !self.only_described
    }

    /// Returns true if the connection is to end before the response does.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// Returns true if its last piece is ready.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns true if more of the body may be read.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        !self.ended && (self.bytes < AHEAD || self.promise.is_kept())
    }

    /// Returns the number of body bytes that are left, once that is known.
    pub fn remaining(&self) -> Option<u64> {
        let plain = self.ended && self.cut.is_none() && self.frames.iter().all(Frame::is_data);
        (plain && !self.only_described).then_some(self.bytes as u64)
    }

    /// Sets the head, which is the end if no body may follow it.
    pub(crate) fn head(&mut self, head: (StatusCode, HeaderMap), method: &Method) {
        self.ends_with_head = Content::of(head.0, method) != Content::Whole;
        self.ended |= self.ends_with_head;
        self.head = Some(head);
    }

    /// Puts a head in place of the plugins', before any of the body is there; nothing follows it.
    pub(crate) fn replace(&mut self, status: StatusCode) {
        self.head = Some((status, HeaderMap::new()));
        self.cut = None;
        (self.ended, self.ends_with_head) = (true, true);
    }

    /// Appends to the body.
    ///
    /// # Errors
    /// The head was sent and promises less.
    pub(crate) fn data(&mut self, mut body: Body) -> Result<(), WrongLength> {
        self.promise.take(body.len())?;
        self.bytes += body.len();
        while let Some(chunk) = body.pop() {
            self.frames.push_back(Frame::data(chunk));
        }
        Ok(())
    }

    /// Appends trailers, if there are any, as the last piece.
    ///
    /// # Errors
    /// The head was sent and promises more body.
    pub(crate) fn trailers(&mut self, trailers: Option<HeaderMap>) -> Result<(), WrongLength> {
        self.promise.end()?;
        // A frame of no trailers would be sent as a block of fields that is empty.
        self.frames.extend(trailers.filter(|trailers| !trailers.is_empty()).map(Frame::trailers));
        self.ended = true;
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The head was sent and promises more body.
    pub(crate) fn end(&mut self) -> Result<(), WrongLength> {
        self.trailers(None)
    }

    /// Cuts the response before its last piece, with its connection. A response without a body is whole.
    pub(crate) fn cut(&mut self, reason: &'static str) {
        if self.ends_with_head {
            return;
        }
        if self.promise.is_kept() && !self.ended {
            self.bytes -= self.frames.pop_back().and_then(|frame| frame.into_data().ok()).map_or(0, |data| data.len());
        }
        self.cut = Some(reason);
    }

    /// Returns true if the last piece waits for the end.
    #[inline]
    fn withholds(&self) -> bool {
        self.promise.is_kept() && !self.ended && self.cut.is_none() && self.frames.len() == 1
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response whose head has gone, and said how long it is.
    fn promised(length: u64) -> Outgoing {
        let mut out = Outgoing::default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, length.into());
        out.head((StatusCode::OK, headers), &Method::GET);
        assert!(out.take_head(&Method::GET, Version::HTTP_11, true).is_ready());
        out
    }

    fn body(text: &'static str) -> Body {
        Body::from(Bytes::from_static(text.as_bytes()))
    }

    fn taken(out: &mut Outgoing) -> Option<Bytes> {
        match out.take_frame() {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        }
    }

    proptest! {
        /// Whatever comes, and whenever it is taken: a reader gets all that was promised, or less and an error.
        #[test]
        fn what_looks_whole_is_whole(
            length in 1_usize..12,
            pieces in proptest::collection::vec(0_usize..8, 0..6),
            is_cut in any::<bool>(),
            eager in any::<bool>(),
        ) {
            let mut out = promised(length as u64);
            let mut got = 0;
            let mut read = |out: &mut Outgoing| while let Some(data) = taken(out) { got += data.len() };
            let mut pushed = Ok(());
            for piece in &pieces {
                pushed = pushed.and_then(|()| out.data(Body::from(Bytes::from(vec![0; *piece]))));
                if eager {
                    read(&mut out);
                }
            }
            if is_cut || pushed.and_then(|()| out.end()).is_err() {
                out.cut("test");
            }
            read(&mut out);
            let is_whole = !is_cut && pieces.iter().sum::<usize>() == length;
            prop_assert_eq!((got == length, out.is_sent(), out.is_cut()), (is_whole, is_whole, !is_whole));
        }
    }

    #[test]
    fn the_last_promised_piece_waits_for_the_end() {
        let mut out = promised(4);
        assert_eq!((out.data(body("ab")), out.data(body("cd"))), (Ok(()), Ok(())));
        assert_eq!((taken(&mut out), taken(&mut out)), (Some("ab".into()), None));
        assert!(out.is_waiting() && out.has_room());
        assert_eq!(out.end(), Ok(()));
        assert_eq!(taken(&mut out), Some("cd".into()));
        assert!(out.is_sent());
    }

    /// Makes hyper hold back a byte alone, so that the rest has been taken when it is done.
    #[test]
    fn the_last_byte_of_a_piece_goes_apart_over_http2() {
        for (version, keeps, length, pieces) in [
            (Version::HTTP_2, true, LITTLE, vec![LITTLE]),
            (Version::HTTP_2, true, LITTLE + 1, vec![LITTLE, 1]),
            (Version::HTTP_2, false, LITTLE + 1, vec![LITTLE + 1]),
            (Version::HTTP_11, true, 4 * LITTLE, vec![4 * LITTLE]),
        ] {
            let mut out = Outgoing::default();
            out.head((StatusCode::OK, HeaderMap::new()), &Method::GET);
            assert!(out.take_head(&Method::GET, version, keeps).is_ready());
            assert_eq!((out.data(Body::from(Bytes::from(vec![7; length]))), out.end()), (Ok(()), Ok(())));
            for piece in &pieces {
                assert!(!out.is_end_stream());
                assert_eq!(taken(&mut out).map(|data| data.len()), Some(*piece), "{version:?}");
            }
            assert!(out.is_end_stream(), "the last one ends it");
        }
    }

    #[test]
    fn more_or_less_is_an_error_and_a_cut_leaves_it_incomplete() {
        let mut out = promised(4);
        assert_eq!((out.data(body("abcd")), out.data(body("e"))), (Ok(()), Err(WrongLength)));
        out.cut("test");
        assert!(matches!(out.take_frame(), Poll::Ready(Some(Err(_)))), "not a whole response");
        let mut out = promised(4);
        assert_eq!((out.data(body("abc")), out.end()), (Ok(()), Err(WrongLength)));
        assert_eq!((out.data(body("abc")), out.trailers(None)), (Err(WrongLength), Err(WrongLength)));
    }

    #[test]
    fn a_large_last_piece_does_not_stop_the_reading_of_the_end() {
        let mut out = promised(100_000);
        out.data(Body::from(Bytes::from(vec![0; 99_999]))).unwrap();
        assert!(!out.has_room());
        out.data(body("x")).unwrap();
        assert!(out.has_room());
    }
}
