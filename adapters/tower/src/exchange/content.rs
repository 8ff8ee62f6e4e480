//! The content of a response, by its status and the client's method (RFC 9110, sections 6.4.1, 8.6 and 15.3.6), regardless of
//! the fields of plugins and upstreams:
//!
//! | status | method | body | `content-length` |
//! |---|---|---|---|
//! | 101 | any | none: a tunnel follows | none |
//! | 2xx | CONNECT | the same | none |
//! | 204 | any | none | none |
//! | 205 | any | none | 0 |
//! | 304 | any | none | as it is, if it is a number: that of the body that GET would get |
//! | others | HEAD | none | the same |
//! | others | others | the whole | the body's, if it is known; else as it is, and the body is held to it |
//!
//! A body that is not sent is not read either: the response ends with its head.

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};
use portcullis_driver::body as length;

/// The content behind the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// No body, and the head has no length.
    None,
    /// No body, and the head has the length 0.
    Empty,
    /// No body; the head describes another response's.
    Described,
    /// The body.
    Whole,
}

impl Content {
    pub(crate) fn of(status: StatusCode, method: &Method) -> Self {
        match status {
            StatusCode::SWITCHING_PROTOCOLS | StatusCode::NO_CONTENT => Self::None,
            _ if *method == Method::CONNECT && status.is_success() => Self::None,
            StatusCode::RESET_CONTENT => Self::Empty,
            StatusCode::NOT_MODIFIED => Self::Described,
            _ if *method == Method::HEAD => Self::Described,
            _ => Self::Whole,
        }
    }

    /// Makes the `content-length` of a head agree with what follows. `body` is the length of the body as far as it has come,
    /// and whether that is all of it. Returns the length that the rest of a body is held to.
    pub(crate) fn settle(self, headers: &mut HeaderMap, (body, is_whole): (u64, bool)) -> Option<u64> {
        match self {
            Self::None => drop(headers.remove(CONTENT_LENGTH)),
            Self::Empty => drop(headers.insert(CONTENT_LENGTH, 0.into())),
            Self::Described => drop(length::settle(headers)),
            Self::Whole => {
                let length = length::settle(headers)?;
                if is_whole {
                    if length != body {
                        headers.insert(CONTENT_LENGTH, body.into());
                    }
                    return None;
                }
                // hyper ends a response of no bytes with its head, whatever may follow.
                let left = length.checked_sub(body).filter(|_| length != 0);
                if left.is_none() {
                    headers.remove(CONTENT_LENGTH);
                }
                return left;
            }
        }
        None
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_what_follows() {
        const GET: &str = "GET";
        const HEAD: &str = "HEAD";
        for (status, method, came, body, expected, held) in [
            (101, GET, "4", (0, true), None, None),
            (200, "CONNECT", "4", (0, true), None, None),
            (407, "CONNECT", "4", (4, true), Some("4"), None),
            (204, GET, "4", (4, true), None, None),
            (204, HEAD, "4", (0, true), None, None),
            (205, GET, "4", (4, true), Some("0"), None),
            (205, HEAD, "4", (4, true), Some("0"), None),
            (304, GET, "4", (0, true), Some("4"), None),
            (304, GET, "x", (0, true), None, None),
            (200, HEAD, "4", (0, true), Some("4"), None),
            (200, HEAD, "x", (0, true), None, None),
            (200, GET, "4", (5, true), Some("5"), None),
            (200, GET, "4", (0, true), Some("0"), None),
            (200, GET, "x", (5, true), None, None),
            (200, GET, "4", (1, false), Some("4"), Some(3)),
            (200, GET, "4", (4, false), Some("4"), Some(0)),
            (200, GET, "4", (5, false), None, None),
            (200, GET, "0", (0, false), None, None),
            (200, "POST", "4", (1, false), Some("4"), Some(3)),
            (404, GET, "4", (1, false), Some("4"), Some(3)),
        ] {
            let content = Content::of(StatusCode::from_u16(status).unwrap(), &method.parse().unwrap());
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, came.parse().unwrap());
            assert_eq!(content.settle(&mut headers, body), held, "{status} {method} {came} {body:?}");
            let told = headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap());
            assert_eq!(told, expected, "{status} {method} {came} {body:?}");
            assert_eq!(Content::of(StatusCode::OK, &Method::GET).settle(&mut HeaderMap::new(), (4, false)), None);
        }
    }
}
