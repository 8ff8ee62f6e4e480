//! Headers and bodies.

use portcullis_core::model::{Body, CallResponse, Headers};

/// The pairs format, written independently of the crate.
pub(crate) fn pairs(headers: &Headers) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for (name, value) in headers.iter() {
        bytes.extend([word(name.len()), word(value.len())].concat());
    }
    for (name, value) in headers.iter() {
        bytes.extend([name, b"\0", value, b"\0"].concat());
    }
    bytes
}

pub(crate) fn get(path: &str) -> Headers {
    [(":method", "GET"), (":path", path), (":authority", "a.test"), ("x-id", "7"), ("x-id", "8"), ("empty", "")]
        .into_iter()
        .collect()
}

pub(crate) fn ok() -> Headers {
    [(":status", "200"), ("server", "s")].into_iter().collect()
}

pub(crate) fn trailers() -> Headers {
    [("t", "1")].into_iter().collect()
}

/// `hello`, in two chunks.
pub(crate) fn body() -> Body {
    let mut body = Body::from(bytes::Bytes::from_static(b"hel"));
    body.push(bytes::Bytes::from_static(b"lo"));
    body
}

pub(crate) fn call_response() -> CallResponse {
    CallResponse::default().with_headers(ok()).with_body(body()).with_trailers(trailers())
}
