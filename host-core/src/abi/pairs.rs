//! The pairs format (spec: "Serialization"): a map of byte strings in one piece of memory.
//!
//! `u32 count`, `count × (u32 name_len, u32 value_len)`, then each name and value followed by NUL.
//! All integers are little-endian; lengths exclude the NULs; there is no padding.

use super::Status;
use crate::model::headers::Headers;

/// The most bytes a guest may hand over as pairs.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// The most entries a guest may hand over as pairs, or collect in a map.
pub(crate) const MAX_COUNT: usize = 1024;

/// Why bytes from a guest are not pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// More than 1 MiB, or more than 1024 entries.
    #[error("map is larger than 1 MiB or 1024 entries")]
    TooLarge,
    /// The lengths do not add up to the size.
    #[error("map lengths do not add up to its size")]
    Length,
    /// A name or value is not followed by NUL.
    #[error("map lacks a terminating NUL")]
    Terminator,
}

/// differs: cpp-host decodes malformed pairs as an empty map and answers Ok, which deletes all
/// headers; here the guest is told and nothing changes.
impl From<PairsError> for Status {
    fn from(_: PairsError) -> Self {
        Self::BadArgument
    }
}

/// Writes `headers` to `out`, which must be exactly [`Headers::serialized_len`] long; says whether
/// it was.
pub(crate) fn encode_into(headers: &Headers, out: &mut [u8]) -> bool {
    if headers.is_empty() {
        return out.is_empty();
    }
    let body = headers.serialized_bytes();
    let Some((head, tail)) = out.split_at_mut_checked(4 + 8 * headers.len()) else { return false };
    if tail.len() != body.len() {
        return false;
    }
    tail.copy_from_slice(body);
    let lengths = headers.lengths().flat_map(|(name, value)| [name, value]);
    let words = std::iter::once(headers.len()).chain(lengths);
    for (slot, word) in head.chunks_exact_mut(4).zip(words) {
        // A map over 4 GiB never gets here: the guest cannot allocate it.
        slot.copy_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
    }
    true
}

/// Returns how many bytes entries take; 0 if there are none.
pub(crate) fn len_of<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> usize {
    let sum: usize = entries.map(|(name, value)| 8 + name.len() + 1 + value.len() + 1).sum();
    if sum == 0 { 0 } else { 4 + sum }
}

/// Writes entries to `out`, which must be exactly [`len_of`] them long; says whether it was.
pub(crate) fn encode_entries<'a, I: Iterator<Item = (&'a [u8], &'a [u8])>>(
    entries: impl Fn() -> I,
    out: &mut [u8],
) -> bool {
    let count = entries().count();
    if len_of(entries()) != out.len() {
        return false;
    }
    let Some((head, mut tail)) = out.split_at_mut_checked(4 + 8 * count) else { return count == 0 };
    let lengths = entries().flat_map(|(name, value)| [name.len(), value.len()]);
    for (slot, word) in head.chunks_exact_mut(4).zip(std::iter::once(count).chain(lengths)) {
        slot.copy_from_slice(&u32::try_from(word).unwrap_or(u32::MAX).to_le_bytes());
    }
    for text in entries().flat_map(|(name, value)| [name, value]) {
        let Some((place, rest)) = tail.split_at_mut_checked(text.len() + 1) else { return false };
        let Some((nul, place)) = place.split_last_mut() else { return false };
        place.copy_from_slice(text);
        *nul = 0;
        tail = rest;
    }
    true
}

/// Reads pairs that a guest wrote. Nothing, a lone NUL and four NULs are the empty map.
pub(crate) fn decode(bytes: &[u8]) -> Result<Headers, PairsError> {
    if bytes.is_empty() || bytes == [0] {
        return Ok(Headers::new());
    }
    if bytes.len() > MAX_BYTES {
        return Err(PairsError::TooLarge);
    }
    let (count, rest) = split_u32(bytes).ok_or(PairsError::Length)?;
    if count > MAX_COUNT {
        return Err(PairsError::TooLarge);
    }
    let (sizes, mut data) = rest.split_at_checked(8 * count).ok_or(PairsError::Length)?;
    let mut headers = Headers::with_capacity(count, data.len());
    for entry in sizes.chunks_exact(8) {
        let (name_len, entry) = split_u32(entry).ok_or(PairsError::Length)?;
        let (value_len, _) = split_u32(entry).ok_or(PairsError::Length)?;
        let name = take_terminated(&mut data, name_len)?;
        let value = take_terminated(&mut data, value_len)?;
        headers.add(name, value);
    }
    if data.is_empty() { Ok(headers) } else { Err(PairsError::Length) }
}

fn split_u32(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}

fn take_terminated<'a>(data: &mut &'a [u8], len: usize) -> Result<&'a [u8], PairsError> {
    let (text, rest) = data.split_at_checked(len).ok_or(PairsError::Length)?;
    let (nul, rest) = rest.split_first().ok_or(PairsError::Length)?;
    *data = rest;
    if *nul == 0 { Ok(text) } else { Err(PairsError::Terminator) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDEN: [u8; 29] =
        [2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'a', 0, b'1', 0, b'b', 0, b'2', b'2', 0];

    fn encoded(headers: &Headers) -> Vec<u8> {
        let mut out = vec![0xff; headers.serialized_len()];
        assert!(encode_into(headers, &mut out));
        out
    }

    #[test]
    fn golden_bytes() {
        let headers: Headers = [("a", "1"), ("b", "22")].into_iter().collect();
        assert_eq!(encoded(&headers), GOLDEN);
        assert_eq!(decode(&GOLDEN), Ok(headers));
    }

    #[test]
    fn every_spelling_of_the_empty_map_is_read_and_none_is_written() {
        for empty in [&[][..], &[0], &[0; 4]] {
            assert_eq!(decode(empty), Ok(Headers::new()));
        }
        assert!(encoded(&Headers::new()).is_empty());
    }

    #[test]
    fn malformed_pairs_are_refused() {
        let cut = |n: usize| GOLDEN[..n].to_vec();
        let with = |at: usize, byte: u8| {
            let mut bytes = GOLDEN.to_vec();
            bytes[at] = byte;
            bytes
        };
        for n in 1..GOLDEN.len() {
            assert_eq!(decode(&cut(n)), Err(PairsError::Length), "cut at {n}");
        }
        let mut long = GOLDEN.to_vec();
        long.push(0);
        assert_eq!(decode(&long), Err(PairsError::Length));
        assert_eq!(decode(&with(21, 1)), Err(PairsError::Terminator));
        assert_eq!(decode(&with(3, 0xff)), Err(PairsError::TooLarge));
        assert_eq!(decode(&with(7, 0xff)), Err(PairsError::Length));
        assert_eq!(decode(&vec![0; MAX_BYTES + 1]), Err(PairsError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(entries in proptest::collection::vec(("[a-z:-]{0,8}", proptest::collection::vec(any::<u8>(), 0..20)), 0..20)) {
            let headers: Headers = entries.into_iter().collect();
            let bytes = encoded(&headers);
            let mut out = vec![0xff; len_of(headers.iter())];
            prop_assert!(encode_entries(|| headers.iter(), &mut out));
            prop_assert_eq!(&out, &bytes);
            prop_assert_eq!(decode(&bytes).unwrap(), headers);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(headers) = decode(&bytes) && bytes.len() > 4 {
                prop_assert_eq!(encoded(&headers).len(), bytes.len());
            }
        }
    }
}
