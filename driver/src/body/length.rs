//! `content-length`: what a head promises about the bytes that follow it.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};

/// Reads the length that a head promises, and leaves one field there. A field that is no number, or has two of them, promises
/// nothing that two readers would understand alike, and is removed.
pub fn settle(headers: &mut HeaderMap) -> Option<u64> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next()?;
    let is_repeated = values.next().is_some();
    let length = parse(first);
    if !is_repeated && length.is_some() {
        return length;
    }
    let agree = headers.get_all(CONTENT_LENGTH).iter().all(|value| parse(value) == length);
    match length.filter(|_| agree) {
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    length.filter(|_| agree)
}

fn parse(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    let add = |length: u64, digit: &u8| length.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().try_fold(0, add))?
}

/// The body of a message is longer or shorter than its head has promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not as long as its content-length says")]
pub struct WrongLength;

/// The bytes that a head has promised and that are still to come, if it has.
///
/// The piece with the last of them is withheld until the end of the body is known: with it the message is whole for its
/// reader, who would take the beginning of a longer body for all of it.
#[derive(Debug, Default)]
pub struct Promise(Option<u64>);

impl Promise {
    /// Bytes that are still to come.
    pub fn of(left: u64) -> Self {
        Self(Some(left))
    }

    /// Counts received bytes.
    ///
    /// # Errors
    /// These are more than were promised.
    pub fn take(&mut self, bytes: usize) -> Result<(), WrongLength> {
        if let Some(left) = &mut self.0 {
            *left = left.checked_sub(bytes as u64).ok_or(WrongLength)?;
        }
        Ok(())
    }

    /// Notes the end of the body.
    ///
    /// # Errors
    /// More bytes were promised.
    pub fn end(&self) -> Result<(), WrongLength> {
        if self.0.is_none_or(|left| left == 0) { Ok(()) } else { Err(WrongLength) }
    }

    /// Returns true if all promised bytes were received, so that the last of them wait for the end.
    pub fn is_kept(&self) -> bool {
        self.0 == Some(0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_left_or_none() {
        for (values, expected) in [
            (&[][..], None),
            (&["0"], Some(0)),
            (&["12"], Some(12)),
            (&["12", "12"], Some(12)),
            (&["12", "012"], Some(12)),
            (&["18446744073709551615"], Some(u64::MAX)),
            (&["18446744073709551616"], None),
            (&["12", "13"], None),
            (&["12", "x"], None),
            (&["x", "x"], None),
            (&["12, 12"], None),
            (&[""], None),
            (&["+1"], None),
            (&["-1"], None),
            (&["1 "], None),
            (&["0x1"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            assert_eq!(settle(&mut headers), expected, "{values:?}");
            let left: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().map(|value| value.to_str().unwrap()).collect();
            let kept = expected.map(|length| length.to_string());
            assert_eq!(left, kept.as_deref().into_iter().collect::<Vec<_>>(), "{values:?}");
        }
    }

    #[test]
    fn a_promise_is_kept_by_exactly_so_many_bytes() {
        let mut none = Promise::default();
        assert_eq!((none.take(9), none.end(), none.is_kept()), (Ok(()), Ok(()), false));
        let mut four = Promise::of(4);
        assert_eq!((four.take(3), four.end(), four.is_kept()), (Ok(()), Err(WrongLength), false));
        assert_eq!((four.take(1), four.end(), four.is_kept()), (Ok(()), Ok(()), true));
        assert_eq!(four.take(1), Err(WrongLength));
        assert_eq!(Promise::of(4).take(5), Err(WrongLength));
    }
}
