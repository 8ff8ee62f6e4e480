//! `Expect: 100-continue` (RFC 9110, section 10.1.1): a client that waits for `100 Continue` before it sends its body.
//!
//! hyper sends `100 Continue` when the body is first read, if no response has begun. So the body is first read when
//!
//! | the request's head | `100 Continue` |
//! |---|---|
//! | has passed all plugins | sent |
//! | is held by a plugin that receives the body meanwhile (`allow_on_headers_stop_iteration`) | sent |
//! | is held by another plugin | when that plugin continues it |
//! | was answered, by a plugin or the proxy | never |
//!
//! The proxy meets the expectation itself, so neither plugins nor upstreams see the field; a field that a plugin adds is
//! forwarded. Over HTTP/2 hyper sends no interim responses: a client waits for as long as it likes, as it has to with every server
//! that does not know the field.
//!
//! differs: Envoy sends `100 Continue` before any filter has seen the request, and forwards other expectations.

use http::header::EXPECT;
use http::{StatusCode, Version, request};

use super::Refusal;

/// Takes the expectations out of a request's head, for a proxy that meets them itself: a server such as hyper's sends `100 Continue` when
/// the body is first read. Returns true if the client waits for that.
///
/// # Errors
/// Another expectation, which no server would meet.
pub fn take_expectation(parts: &mut request::Parts) -> Result<bool, Refusal> {
    if !parts.headers.contains_key(EXPECT) {
        return Ok(false);
    }
    // HTTP/1.0 has no interim responses; there the field is ignored.
    let is_heard = parts.version != Version::HTTP_10;
    let values = parts.headers.get_all(EXPECT);
    let members = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut members = members.filter(|member| is_heard && !member.is_empty()).peekable();
    let waits = parts.version == Version::HTTP_11 && members.peek().is_some();
    if !members.all(|member| member.eq_ignore_ascii_case(b"100-continue")) {
        return Err(Refusal::Answer(StatusCode::EXPECTATION_FAILED, "no expectation but 100-continue is supported"));
    }
    parts.headers.remove(EXPECT);
    Ok(waits)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_100_continue_is_expected() {
        for (version, fields, expected) in [
            (Version::HTTP_11, &[][..], Some(false)),
            (Version::HTTP_11, &["100-continue"], Some(true)),
            (Version::HTTP_11, &["100-Continue, 100-continue"], Some(true)),
            (Version::HTTP_11, &["100-continue", ""], Some(true)),
            (Version::HTTP_11, &["", ","], Some(false)),
            (Version::HTTP_11, &["x"], None),
            (Version::HTTP_11, &["100-continue, x"], None),
            (Version::HTTP_11, &["100-continue", "x"], None),
            (Version::HTTP_11, &["100-continue;q=1"], None),
            (Version::HTTP_10, &["100-continue"], Some(false)),
            (Version::HTTP_10, &["x"], Some(false)),
            (Version::HTTP_2, &["100-continue"], Some(false)),
            (Version::HTTP_2, &["x"], None),
        ] {
            let (mut parts, ()) = http::Request::new(()).into_parts();
            parts.version = version;
            for value in fields {
                parts.headers.append(EXPECT, value.parse().unwrap());
            }
            assert_eq!(take_expectation(&mut parts).ok(), expected, "{version:?} {fields:?}");
            assert!(expected.is_none() || !parts.headers.contains_key(EXPECT));
        }
    }
}
