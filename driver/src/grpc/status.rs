//! The status that a call or stream ends with.

use std::time::Duration;

use h2::Reason;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, response};
use portcullis_core::resources::GrpcEvent;

use crate::upstreams::SendError;

const CANCELLED: u32 = 1;
pub(super) const UNKNOWN: u32 = 2;
pub(super) const PERMISSION_DENIED: u32 = 7;
pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
pub(super) const UNIMPLEMENTED: u32 = 12;
pub(super) const INTERNAL: u32 = 13;
pub(super) const UNAVAILABLE: u32 = 14;
pub(super) const UNAUTHENTICATED: u32 = 16;
/// The highest status of gRPC.
const MAX: u32 = 16;

/// A gRPC status and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: u32,
    pub(super) message: String,
}

impl Status {
    /// The time is over.
    pub(super) const DEADLINE_EXCEEDED: Self = Self { code: 4, message: String::new() };

    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Reads the status in trailers, if they have one.
    ///
    /// differs: an unknown number is `UNKNOWN`, as gRPC says; Envoy passes any number to plugins.
    pub(super) fn read(trailers: &HeaderMap) -> Option<Self> {
        let code = trailers.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok());
        let code = code.filter(|code| *code <= MAX).unwrap_or(UNKNOWN);
        let message = trailers.get("grpc-message").map(|message| decode(message.as_bytes())).unwrap_or_default();
        Some(Self { code, message })
    }

    pub(super) fn into_close(self) -> GrpcEvent {
        GrpcEvent::Close { status: self.code, message: self.message }
    }
}

/// Returns the status of a stream that broke off (gRPC: PROTOCOL-HTTP2.md, "HTTP2 Transport Mapping").
pub(super) fn of_reset(error: &SendError) -> u32 {
    match error.reset {
        Some(Reason::REFUSED_STREAM) => UNAVAILABLE,
        Some(Reason::CANCEL) => CANCELLED,
        Some(Reason::ENHANCE_YOUR_CALM) => RESOURCE_EXHAUSTED,
        Some(Reason::INADEQUATE_SECURITY) => PERMISSION_DENIED,
        Some(_) => INTERNAL,
        None if error.breaks_protocol => INTERNAL,
        None => UNAVAILABLE,
    }
}

/// Returns the status for a response that is none of gRPC's (gRPC: http-grpc-status-mapping.md).
pub(super) fn of_head(parts: &response::Parts) -> Option<Status> {
    let code = match parts.status.as_u16() {
        200 => {
            let content = parts.headers.get(CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
            return (!content.starts_with(b"application/grpc"))
                .then(|| Status::new(UNKNOWN, "the upstream's answer is not application/grpc"));
        }
        400 => INTERNAL,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => UNIMPLEMENTED,
        429 | 502..=504 => UNAVAILABLE,
        _ => UNKNOWN,
    };
    Some(Status::read(&parts.headers).unwrap_or_else(|| Status::new(code, format!("HTTP status {}", parts.status))))
}

/// Formats the field `grpc-timeout`: a number of at most eight digits and a unit.
pub(super) fn timeout(timeout: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let units = [(timeout.as_millis(), 'm'), (timeout.as_secs().into(), 'S'), ((timeout.as_secs() / 60).into(), 'M')];
    let fitting = units.into_iter().find(|(number, _)| *number <= MOST);
    let (number, unit) = fitting.unwrap_or((MOST, 'H'));
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or(const { HeaderValue::from_static("0m") })
}

/// Undoes percent-encoding. What is not encoded well stays as it is.
fn decode(bytes: &[u8]) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(bytes.len()), bytes);
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_and_its_message_decoded() {
        for (code, message, expected) in [
            ("0", "", Status::new(0, "")),
            ("5", "no%20%C3%A9%zz%", Status::new(5, "no é%zz%")),
            ("17", "", Status::new(UNKNOWN, "")),
            ("x", "", Status::new(UNKNOWN, "")),
        ] {
            let field = |value| HeaderValue::from_static(value);
            let trailers = HeaderMap::from_iter([
                (http::HeaderName::from_static("grpc-status"), field(code)),
                (http::HeaderName::from_static("grpc-message"), field(message)),
            ]);
            assert_eq!(Status::read(&trailers), Some(expected));
        }
        assert_eq!(Status::read(&HeaderMap::new()), None);
    }

    #[test]
    fn a_timeout_has_eight_digits_at_most() {
        for (seconds, expected) in [(0, "0m"), (99_999, "99999000m"), (100_000, "100000S"), (1 << 40, "99999999H")] {
            assert_eq!(timeout(Duration::from_secs(seconds)), expected);
        }
    }
}
