//! `content-length`: a body is held to what its head says, since whoever reads the message finds its end by it.
//!
//! | the head leaves | `content-length` |
//! |---|---|
//! | with the whole body | that of the body |
//! | before the end of a body that was changed already | removed |
//! | before the end of any other | as it is; the stream is cut if the body is longer or shorter |
//! | of a response that has no body and tells of another's (HEAD, 204, 304) | as it is |
//!
//! A message that came with a wrong length, by another filter's doing, passes as it came.

use portcullis::model::Headers;

use crate::envoy::{Http, Map};

const NAME: &[u8] = b"content-length";

/// The length of a message's body: said, come and gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Length {
    /// The length that the head had when it came.
    came: Option<u64>,
    /// The length that the head has left with, where more of the body follows.
    promised: Option<u64>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Length {
    /// Begins it with the head that has come.
    pub(super) fn begin(&mut self, headers: &Headers) {
        self.came = read(headers);
    }

    /// Counts bytes that have come.
    pub(super) fn receive(&mut self, bytes: usize) {
        self.bytes_in = self.bytes_in.saturating_add(bytes as u64);
    }

    /// Makes the head agree with what leaves with it: so many bytes, which may be all, while plugins hold so many others.
    pub(super) fn settle(&mut self, headers: &mut Headers, bytes: usize, is_whole: bool, held: usize) {
        if headers.get(NAME).is_none() {
            return;
        }
        let (body, length) = (bytes as u64, read(headers));
        if is_whole {
            if length != Some(body) {
                headers.remove(NAME);
                headers.add(NAME, body.to_string().as_bytes());
            }
            return;
        }
        let was_changed = held == 0 && body != self.bytes_in;
        self.promised = length.filter(|length| !was_changed && body <= *length);
        if self.promised.is_none() {
            headers.remove(NAME);
        }
    }

    /// Counts bytes that leave; returns whether they may, as far as the head has left.
    pub(super) fn leave(&mut self, bytes: usize, end: bool) -> bool {
        self.bytes_out = self.bytes_out.saturating_add(bytes as u64);
        let Some(promised) = self.promised else { return true };
        let came_wrong = self.came == self.promised;
        if self.bytes_out > promised {
            return came_wrong && self.bytes_in > promised;
        }
        !end || self.bytes_out == promised || (came_wrong && self.bytes_in != promised)
    }
}

/// Returns whether the head of a response tells of a body that does not follow.
pub(super) fn tells_of_another(envoy: &dyn Http, headers: &Headers) -> bool {
    let is_bodiless = |status: &str| matches!(status, "204" | "304") || status.starts_with('1');
    let request = envoy.entries(Map::RequestHeaders).unwrap_or_default();
    headers.get_str(":status").is_some_and(is_bodiless)
        || request.iter().any(|(name, value)| *name == b":method" && *value == b"HEAD")
}

/// Returns the length that a head says, if it says one.
fn read(headers: &Headers) -> Option<u64> {
    let mut values = headers.get_all(NAME);
    let value = values.next().filter(|_| values.next().is_none())?;
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(values: &[&str]) -> Headers {
        values.iter().map(|value| ("content-length", *value)).collect()
    }

    #[test]
    fn a_head_says_what_leaves_with_it() {
        for (values, bytes, is_whole, held, expected) in [
            (&["4"][..], 4, true, 0, Some("4")),
            (&["4"], 6, true, 0, Some("6")),
            (&["4", "9"], 4, true, 0, Some("4")),
            (&[], 4, true, 0, None),
            (&["4"], 2, false, 0, Some("4")),
            (&["4"], 3, false, 0, None),
            (&["4"], 0, false, 2, Some("4")),
            (&["4"], 5, false, 2, None),
            (&["+4"], 2, false, 0, None),
            (&["4", "9"], 2, false, 0, None),
        ] {
            let (mut length, mut headers) = (Length::default(), head(values));
            length.receive(2);
            length.settle(&mut headers, bytes, is_whole, held);
            assert_eq!(headers.get_str("content-length"), expected, "{values:?} {bytes} {is_whole} {held}");
            assert!(headers.get_all(b"content-length").count() <= 1);
        }
    }

    #[test]
    fn a_body_is_held_to_its_head() {
        for (came, promised, received, left, may) in [
            (4, "4", 4, 4, true),
            (4, "4", 4, 5, false),
            (4, "4", 4, 3, false),
            (4, "3", 4, 4, false),
            (4, "3", 4, 3, true),
            (4, "4", 3, 3, true),
            (4, "4", 5, 5, true),
        ] {
            let mut length = Length { came: Some(came), ..Length::default() };
            length.settle(&mut head(&[promised]), 0, false, 0);
            length.receive(received);
            assert_eq!(length.leave(left, true), may, "{came} {promised} {received} {left}");
        }
    }
}
