//! A header map in the form in which it travels to the guest.

use std::fmt;

/// An ordered list of header names and values, names in lower case.
///
/// Pseudo-headers (`:path`, `:status`) are ordinary entries. The bytes are kept as the ABI's pairs
/// format wants them (each name and value followed by a NUL), so handing the map to a guest is
/// one copy. Values may hold any byte; lengths rule.
///
/// ```
/// use portcullis_core::model::Headers;
///
/// let mut headers: Headers = [(":status", "200"), ("via", "a")].into_iter().collect();
/// headers.add(b"via", b"b");
/// assert_eq!(headers.get(b"via"), Some(&b"a"[..]));
/// assert_eq!(headers.get_all(b"via").count(), 2);
/// headers.replace(b"via", b"c");
/// assert_eq!((headers.get_str("via"), headers.len()), (Some("c"), 2));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    sizes: Vec<Size>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    name: usize,
    value: usize,
}

impl Size {
    const fn total(self) -> usize {
        self.name + self.value + 2
    }
}

impl Headers {
    /// Returns an empty map.
    pub const fn new() -> Self {
        Self { sizes: Vec::new(), bytes: Vec::new() }
    }

    /// Returns an empty map with room for `count` entries of `bytes` bytes in all.
    pub fn with_capacity(count: usize, bytes: usize) -> Self {
        Self { sizes: Vec::with_capacity(count), bytes: Vec::with_capacity(bytes + 2 * count) }
    }

    /// Returns the number of values; a repeated name counts each time.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Returns whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Returns the number of bytes that the pairs format takes (spec: serialization of maps); 0 for an empty map.
    pub fn serialized_len(&self) -> usize {
        if self.is_empty() { 0 } else { 4 + 8 * self.sizes.len() + self.bytes.len() }
    }

    /// The entries in order.
    #[inline]
    pub fn iter(&self) -> Entries<'_> {
        Entries { sizes: self.sizes.iter(), rest: &self.bytes }
    }

    /// Returns the first value of `name`, compared without regard to case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns the first value of `name` as text, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name.as_bytes()).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns all values of `name`, in order.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Adds a value behind the others.
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.sizes.push(Size { name: name.len(), value: value.len() });
        self.bytes.reserve(name.len() + value.len() + 2);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        if let Some(name) = self.bytes.get_mut(start..) {
            name.make_ascii_lowercase();
        }
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
        self.bytes.push(0);
    }

    /// Leaves exactly one value of `name`: in place of the first one, or at the end.
    pub fn replace(&mut self, name: &[u8], value: &[u8]) {
        let Some((index, offset, size)) = self.position(name, 0, 0) else {
            return self.add(name, value);
        };
        let start = offset + size.name + 1;
        self.bytes.splice(start..start + size.value, value.iter().copied());
        let size = Size { value: value.len(), ..size };
        if let Some(slot) = self.sizes.get_mut(index) {
            *slot = size;
        }
        self.remove_from(name, index + 1, offset + size.total());
    }

    /// Gives the first entry of `name` another name; says whether there is one.
    pub(crate) fn rename(&mut self, name: &[u8], new: &[u8]) -> bool {
        let Some((index, offset, size)) = self.position(name, 0, 0) else { return false };
        self.bytes.splice(offset..offset + size.name, new.iter().map(u8::to_ascii_lowercase));
        if let Some(slot) = self.sizes.get_mut(index) {
            slot.name = new.len();
        }
        true
    }

    /// Removes all values of `name`; says whether there was one.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.remove_from(name, 0, 0)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.sizes.clear();
        self.bytes.clear();
    }

    /// Returns the names' and values' bytes, each followed by NUL: the tail of the pairs format.
    pub(crate) fn serialized_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Lengths of name and value of each entry.
    pub(crate) fn lengths(&self) -> impl Iterator<Item = (usize, usize)> {
        self.sizes.iter().map(|size| (size.name, size.value))
    }

    fn remove_from(&mut self, name: &[u8], mut index: usize, mut offset: usize) -> bool {
        let mut found = false;
        while let Some((at, start, size)) = self.position(name, index, offset) {
            self.sizes.remove(at);
            self.bytes.drain(start..start + size.total());
            (index, offset, found) = (at, start, true);
        }
        found
    }

    /// Returns index, byte offset and size of the first entry of `name` at or after the given one.
    fn position(&self, name: &[u8], index: usize, mut offset: usize) -> Option<(usize, usize, Size)> {
        for (at, size) in self.sizes.iter().enumerate().skip(index) {
            let key = self.bytes.get(offset..offset + size.name)?;
            if key.eq_ignore_ascii_case(name) {
                return Some((at, offset, *size));
            }
            offset += size.total();
        }
        None
    }
}

/// Names and values of a header map, in order; some of them, if others were taken before.
#[derive(Clone, Default)]
pub struct Entries<'a> {
    sizes: std::slice::Iter<'a, Size>,
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let size = self.sizes.next()?;
        let (entry, after) = self.rest.split_at_checked(size.total())?;
        self.rest = after;
        let (name, value) = entry.split_at_checked(size.name)?;
        Some((name, value.get(1..=size.value)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.sizes.size_hint()
    }
}

impl ExactSizeIterator for Entries<'_> {}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        f.debug_list().entries(self.clone().map(|(name, value)| (text(name), text(value)))).finish()
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(entries: I) -> Self {
        let mut headers = Self::new();
        for (name, value) in entries {
            headers.add(name.as_ref(), value.as_ref());
        }
        headers
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().fmt(f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_lower_case_and_matched_without_case() {
        let mut headers = Headers::new();
        headers.add(b"X-UpPer", b"1");
        assert_eq!(headers.get(b"x-uPPER"), Some(&b"1"[..]));
        assert_eq!(headers.iter().next().unwrap().0, b"x-upper");
    }

    #[test]
    fn replace_leaves_one_value_in_the_first_place() {
        let mut headers: Headers = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("a", "")].into_iter().collect();
        headers.replace(b"A", b"longer");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [(&b"a"[..], &b"longer"[..]), (b"b", b"2"), (b"c", b"4")]);
    }

    #[test]
    fn empty_names_and_values_and_nul_bytes_survive() {
        let mut headers = Headers::new();
        headers.add(b"", b"");
        headers.add(b"k\0k", b"v\0v");
        assert_eq!(headers.get(b""), Some(&b""[..]));
        assert_eq!(headers.get(b"k\0k"), Some(&b"v\0v"[..]));
        assert!(headers.remove(b""));
        assert_eq!(headers.len(), 1);
    }

    #[derive(Clone, Debug)]
    enum Edit {
        Add(Vec<u8>, Vec<u8>),
        Replace(Vec<u8>, Vec<u8>),
        Remove(Vec<u8>),
    }

    fn edit() -> impl Strategy<Value = Edit> {
        let name = proptest::collection::vec(b'a'..=b'c', 0..2);
        let value = proptest::collection::vec(any::<u8>(), 0..4);
        prop_oneof![
            (name.clone(), value.clone()).prop_map(|(n, v)| Edit::Add(n, v)),
            (name.clone(), value).prop_map(|(n, v)| Edit::Replace(n, v)),
            name.prop_map(Edit::Remove),
        ]
    }

    proptest! {
        /// The map behaves as a plain list of pairs would.
        #[test]
        fn edits_agree_with_a_list(edits in proptest::collection::vec(edit(), 0..40)) {
            let mut headers = Headers::new();
            let mut list: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            for edit in edits {
                match edit {
                    Edit::Add(n, v) => { headers.add(&n, &v); list.push((n, v)); }
                    Edit::Remove(n) => { headers.remove(&n); list.retain(|(k, _)| *k != n); }
                    Edit::Replace(n, v) => {
                        headers.replace(&n, &v);
                        match list.iter().position(|(k, _)| *k == n) {
                            None => list.push((n, v)),
                            Some(at) => {
                                list[at].1 = v;
                                let mut index = 0;
                                list.retain(|(k, _)| { index += 1; index - 1 <= at || *k != n });
                            }
                        }
                    }
                }
                let got: Vec<_> = headers.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
                prop_assert_eq!(&got, &list);
            }
        }
    }
}
