//! The ABI's header maps, as bytes that may be one: where its names and values lie.

use std::ops::Range;

/// The most entries that a map is looked for.
const MAX_COUNT: usize = 4096;

/// Returns the ranges of name and value of each entry; `None` if the bytes are no map, or an empty one.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let (count, sizes) = word(bytes)?;
    if count == 0 || count > MAX_COUNT {
        return None;
    }
    let sizes = sizes.get(..count * 8)?;
    let mut at = 4 + sizes.len();
    let mut take = |len: usize| {
        let range = at..at.checked_add(len)?;
        at = range.end.checked_add(1)?;
        (*bytes.get(range.end)? == 0).then_some(range)
    };
    let mut entries = Vec::with_capacity(count);
    for size in sizes.chunks_exact(8) {
        let (name, rest) = word(size)?;
        let (value, _) = word(rest)?;
        entries.push((take(name)?, take(value)?));
    }
    (at == bytes.len()).then_some(entries)
}

/// Encodes the map of these entries.
pub(super) fn encode(entries: &[(String, String)]) -> Option<Vec<u8>> {
    let word = |len: usize| Some(u32::try_from(len).ok()?.to_le_bytes());
    let mut bytes = word(entries.len())?.to_vec();
    for (name, value) in entries {
        bytes.extend(word(name.len())?);
        bytes.extend(word(value.len())?);
    }
    for text in entries.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    Some(bytes)
}

fn word(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*word)).ok()?, rest))
}
