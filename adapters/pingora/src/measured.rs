//! A body that is held to the length that its head has promised.

use bytes::Bytes;
use portcullis_core::model::Body;
use portcullis_driver::body::{Promise, WrongLength};

use crate::heads::whole;

/// Passes a body. Over HTTP/1 it withholds the piece with the last of the promised bytes until the end is known: with it the message is whole
/// for its reader, who would take the beginning of a longer body for all of it.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    promise: Promise,
    withholds: bool,
    withheld: Body,
    /// No body may be sent.
    is_bare: bool,
}

impl Measured {
    pub(crate) fn new(promised: Option<u64>, withholds: bool) -> Self {
        Self { promise: promised.map_or_else(Promise::default, Promise::of), withholds, ..Self::default() }
    }

    /// Passes nothing: no body follows the head.
    pub(crate) fn bare() -> Self {
        Self { is_bare: true, ..Self::default() }
    }

    /// Passes a piece; returns what may be sent.
    ///
    /// # Errors
    /// The body is longer than promised, or ends before.
    pub(crate) fn pass(&mut self, piece: Bytes, end: bool) -> Result<Bytes, WrongLength> {
        if self.is_bare {
            return Ok(Bytes::new());
        }
        self.promise.take(piece.len())?;
        if end {
            self.promise.end()?;
        } else if self.withholds && self.promise.is_kept() {
            self.withheld.push(piece);
            return Ok(Bytes::new());
        }
        if self.withheld.is_empty() {
            return Ok(piece);
        }
        self.withheld.push(piece);
        Ok(whole(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(measured: &mut Measured, piece: &'static str, end: bool) -> Result<Bytes, WrongLength> {
        measured.pass(piece.into(), end)
    }

    #[test]
    fn the_last_piece_waits_for_the_end() {
        let mut four = Measured::new(Some(4), true);
        assert_eq!(pass(&mut four, "ab", false), Ok("ab".into()));
        assert_eq!(pass(&mut four, "cd", false), Ok("".into()));
        assert_eq!(pass(&mut four, "", false), Ok("".into()));
        assert_eq!(pass(&mut four, "", true), Ok("cd".into()));
        assert_eq!(pass(&mut Measured::new(Some(4), false), "abcd", false), Ok("abcd".into()));
    }

    #[test]
    fn more_and_less_are_errors_before_the_message_looks_whole() {
        let mut four = Measured::new(Some(4), true);
        assert_eq!(pass(&mut four, "abcd", false), Ok("".into()));
        assert_eq!(pass(&mut four, "e", false), Err(WrongLength));
        assert_eq!(pass(&mut Measured::new(Some(4), true), "abc", true), Err(WrongLength));
        assert_eq!(pass(&mut Measured::new(None, true), "abc", true), Ok("abc".into()));
        assert_eq!(pass(&mut Measured::bare(), "abc", true), Ok("".into()));
    }
}
