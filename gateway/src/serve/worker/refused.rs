//! Requests that are answered before any plugin sees them.

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode, Version, request};

use crate::serve::worker::arrival::Arrival;
use crate::serve::worker::cut::Cut;
use crate::serve::worker::listener::ListenerState;
use portcullis::chain::convert::Refusal;

/// Answers a request that has no canonical form, and counts it.
///
/// # Errors
/// An HTTP/2 request that is malformed gets no answer: its stream is reset.
pub(super) fn answer(
    arrival: &Arrival,
    request: &request::Parts,
    refusal: Refusal,
) -> Result<Response<Option<Bytes>>, Cut> {
    tracing::debug!(client = %arrival.client.peer, reason = %refusal, "request refused");
    let (status, why) = match refusal {
        Refusal::Answer(status, why) => (status, why),
        Refusal::Malformed(why) => return Err(Cut::malformed(why)),
    };
    arrival.listener.count(status.as_u16());
    let body = Some(Bytes::from_static(why.as_bytes())).filter(|_| request.method != Method::HEAD);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, why.len().into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    } else if request.version != Version::HTTP_2 {
        // What follows may not begin where it seems to.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

impl ListenerState {
    /// Counts a response by its class.
    pub(super) fn count(&self, status: u16) {
        if let Some(counter) = self.requests.get(usize::from(status / 100).wrapping_sub(1)) {
            counter.increment(1);
        }
    }
}
