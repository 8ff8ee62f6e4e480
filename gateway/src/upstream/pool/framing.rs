//! The framing of an HTTP/1.1 response: the end of its body, as its head says.

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};

/// The framing that a head describes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The end of the body is said once.
    Plain,
    /// The end of the body is said twice: the body is read by its transfer coding, and its connection not used again (RFC 9112, section 6.3).
    Doubtful,
}

/// The body is in a transfer coding other than `chunked`, which hyper leaves in place and whose name is not forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnknownCoding;

/// Leaves one statement of where the body ends: `transfer-encoding` alone, or one `content-length` of one number.
///
/// # Errors
/// A coding besides `chunked` is named.
pub(super) fn settle(headers: &mut HeaderMap) -> Result<Framing, UnknownCoding> {
    if headers.contains_key(TRANSFER_ENCODING) {
        if !is_chunked_alone(headers) {
            return Err(UnknownCoding);
        }
        let had_length = headers.remove(CONTENT_LENGTH).is_some();
        return Ok(if had_length { Framing::Doubtful } else { Framing::Plain });
    }
    // hyper has refused lengths that differ.
    if let Some(length) = repeated_length(headers) {
        headers.insert(CONTENT_LENGTH, length);
    }
    Ok(Framing::Plain)
}

fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut codings = tokens(headers, TRANSFER_ENCODING);
    codings.next().is_some_and(|only| only.eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

fn repeated_length(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lengths = tokens(headers, CONTENT_LENGTH);
    let length = lengths.next()?;
    lengths.next().and_then(|_| HeaderValue::from_bytes(length).ok())
}

fn tokens(headers: &HeaderMap, name: http::HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_is_left() {
        for (fields, expected, left) in [
            (&[][..], Ok(Framing::Plain), &[][..]),
            (&[("content-length", "3")], Ok(Framing::Plain), &["content-length: 3"]),
            (&[("content-length", "3"), ("content-length", "3")], Ok(Framing::Plain), &["content-length: 3"]),
            (&[("content-length", "3, 3")], Ok(Framing::Plain), &["content-length: 3"]),
            (&[("transfer-encoding", "Chunked")], Ok(Framing::Plain), &["transfer-encoding: Chunked"]),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "3")],
                Ok(Framing::Doubtful),
                &["transfer-encoding: chunked"],
            ),
            (&[("transfer-encoding", "gzip, chunked")], Err(UnknownCoding), &["transfer-encoding: gzip, chunked"]),
            (&[("transfer-encoding", "gzip")], Err(UnknownCoding), &["transfer-encoding: gzip"]),
            (&[("transfer-encoding", "")], Err(UnknownCoding), &["transfer-encoding: "]),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(settle(&mut headers), expected, "{fields:?}");
            let text =
                |(name, value): (&http::HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().unwrap_or("?"));
            assert_eq!(headers.iter().map(text).collect::<Vec<_>>(), left);
        }
    }
}
