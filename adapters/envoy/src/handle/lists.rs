//! Lists that are lent to Envoy for a call.

use portcullis::model::Headers;

use crate::abi::{OwnBytes, OwnHeader};

/// The time limit of requests: none, since the driver gives those up that take too long.
pub(super) const NO_LIMIT: u64 = 0;

pub(super) fn texts<'a>(texts: &[&'a str]) -> Vec<OwnBytes<'a>> {
    texts.iter().map(|text| OwnBytes::of(text.as_bytes())).collect()
}

pub(super) fn list(headers: &Headers) -> Vec<OwnHeader<'_>> {
    headers.iter().map(|(name, value)| OwnHeader::of(name, value)).collect()
}
