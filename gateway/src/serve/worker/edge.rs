//! Headers for facts about a request that only the gateway knows: its client, its scheme and its id.

use std::net::IpAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use portcullis::system::SystemClock;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Random bytes for ids, so that not every request asks the system.
#[derive(Debug)]
pub(crate) struct RequestIds {
    bytes: [u8; Self::SIZE],
    used: usize,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { bytes: [0; Self::SIZE], used: Self::SIZE }
    }
}

impl RequestIds {
    const SIZE: usize = 1024;

    /// Returns a UUID of version 4 (RFC 9562) as text; none if the system has no random bytes.
    fn next(&mut self) -> Option<[u8; 36]> {
        if self.used >= Self::SIZE {
            SystemClock::random(&mut self.bytes).ok()?;
            self.used = 0;
        }
        let bytes = self.bytes.get(self.used..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        self.used += size_of_val(&bytes);
        Some(uuid(bytes))
    }
}

/// Sets `x-request-id` and `x-forwarded-proto`, and appends the client to `x-forwarded-for`. In a gateway behind another
/// proxy (`use_remote_address: false`), the former two are set only if they are missing.
pub(crate) fn stamp(headers: &mut HeaderMap, client: IpAddr, is_tls: bool, is_edge: bool, ids: &mut RequestIds) {
    if is_edge || !headers.contains_key(REQUEST_ID) {
        match ids.next().map(|id| HeaderValue::from_bytes(&id)) {
            Some(Ok(id)) => drop(headers.insert(REQUEST_ID, id)),
            _ => drop(headers.remove(REQUEST_ID)),
        }
    }
    if is_edge || !headers.contains_key(FORWARDED_PROTO) {
        let scheme = if is_tls { "https" } else { "http" };
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    if is_edge && let Some(chain) = forwarded_for(headers, client) {
        headers.insert(FORWARDED_FOR, chain);
    }
}

/// Returns `x-forwarded-for` in one line, with the client appended.
fn forwarded_for(headers: &HeaderMap, client: IpAddr) -> Option<HeaderValue> {
    let mut chain = Vec::new();
    for line in headers.get_all(FORWARDED_FOR).iter().filter(|line| !line.is_empty()) {
        chain.extend_from_slice(line.as_bytes());
        chain.push(b',');
    }
    chain.extend_from_slice(client.to_canonical().to_string().as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(chain)).ok()
}

fn uuid(mut bytes: [u8; 16]) -> [u8; 36] {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut digits = bytes.into_iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    std::array::from_fn(|at| match at {
        8 | 13 | 18 | 23 => b'-',
        _ => digits.next().unwrap_or(b'0'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_and_no_two_are_alike() {
        let bytes = std::array::from_fn(|index| u8::try_from(index * 17).unwrap_or_default());
        assert_eq!(uuid(bytes).escape_ascii().to_string(), "00112233-4455-4677-8899-aabbccddeeff");
        let mut ids = RequestIds::default();
        let made: std::collections::HashSet<_> = (0..200).filter_map(|_| ids.next()).collect();
        assert_eq!(made.len(), 200);
    }
}
