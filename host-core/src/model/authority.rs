//! `host` is another name of `:authority` among a request's headers: one value, two names, as in Envoy. Maps have it under
//! the latter; where an embedder put the former, it is found by either.

use crate::abi::MapType;
use crate::model::headers::Headers;

/// The name that maps have it under.
pub(crate) const AUTHORITY: &[u8] = b":authority";
/// The other one.
pub(crate) const HOST: &[u8] = b"host";

/// Returns whether `name` is one of the two names, in a map where they are one.
#[inline]
pub(crate) fn is_named(map: MapType, name: &[u8]) -> bool {
    map == MapType::RequestHeaders && is_either(name)
}

/// Returns whether `name` is one of the two names.
#[inline]
pub(crate) fn is_either(name: &[u8]) -> bool {
    // Nearly all that are asked for are told apart by length, first byte, or being exactly the name.
    match name.len() {
        4 => name == HOST || name.eq_ignore_ascii_case(HOST),
        10 => name == AUTHORITY || name.first() == Some(&b':') && name.eq_ignore_ascii_case(AUTHORITY),
        _ => false,
    }
}

/// Returns the name under which maps have it.
pub(crate) fn name(map: MapType, name: &[u8]) -> &[u8] {
    if is_named(map, name) { AUTHORITY } else { name }
}

/// Returns the value.
pub(crate) fn get(headers: &Headers) -> Option<&[u8]> {
    headers.get(AUTHORITY).or_else(|| headers.get(HOST))
}

/// Sets the value, in the place of the one there was.
///
/// differs: Envoy adds a second value behind a comma, which makes a host of neither.
pub(crate) fn set(headers: &mut Headers, value: &[u8]) {
    if headers.get(HOST).is_some() {
        name_once(headers);
    }
    headers.replace(AUTHORITY, value);
}

/// Leaves the value under one name, in a map in which an embedder put the other one.
#[cold]
fn name_once(headers: &mut Headers) {
    if headers.get(AUTHORITY).is_none() {
        headers.rename(HOST, AUTHORITY);
    }
    headers.remove(HOST);
}

/// Removes the value.
pub(crate) fn remove(headers: &mut Headers) {
    headers.remove(AUTHORITY);
    headers.remove(HOST);
}

/// Merges the values of both names in a map that was set whole into one; the last of them counts.
pub(crate) fn merged(headers: Headers) -> Headers {
    let mut values = headers.iter().filter(|(name, _)| is_either(name));
    let is_plain = values.next().is_none_or(|(name, _)| name == AUTHORITY) && values.next().is_none();
    drop(values);
    if is_plain {
        return headers;
    }
    // A guest chooses how many there are, so each is looked at once.
    let mut last = headers.iter().filter(|(name, _)| is_either(name)).last();
    let mut merged = Headers::with_capacity(headers.len(), headers.serialized_len());
    for (name, value) in headers.iter() {
        if !is_either(name) {
            merged.add(name, value);
        } else if let Some((_, value)) = last.take() {
            merged.add(AUTHORITY, value);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> Headers {
        entries.iter().copied().collect()
    }

    #[test]
    fn either_name_finds_and_sets_the_one_value() {
        assert!(is_either(b"HOST") && is_either(b":Authority") && !is_either(b"hos") && !is_either(b"x-hostname"));
        assert!(!is_named(MapType::ResponseHeaders, b"host"));
        for before in [&[(":authority", "a"), ("x", "1")][..], &[("host", "a"), ("x", "1")]] {
            let mut headers = map(before);
            assert_eq!(get(&headers), Some(&b"a"[..]));
            set(&mut headers, b"longer");
            assert_eq!(headers, map(&[(":authority", "longer"), ("x", "1")]));
            remove(&mut headers);
            assert_eq!(headers, map(&[("x", "1")]));
            set(&mut headers, b"b");
            assert_eq!(headers, map(&[("x", "1"), (":authority", "b")]));
        }
    }

    #[test]
    fn a_map_with_both_names_has_the_last_value() {
        assert_eq!(
            merged(map(&[(":authority", "a"), ("x", "1"), ("Host", "b")])),
            map(&[(":authority", "b"), ("x", "1")])
        );
        assert_eq!(merged(map(&[("host", "a"), ("x", "1")])), map(&[(":authority", "a"), ("x", "1")]));
        let both = map(&[("x", "1"), (":authority", "a")]);
        assert_eq!(merged(both.clone()), both);
    }
}
