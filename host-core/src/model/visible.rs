//! A header map as far as a plugin may see it.

use crate::abi::{MapType, pairs};
use crate::model::authority;
use crate::model::headers::Headers;
use crate::rights::Rule;

/// A header map as far as a plugin may see it: what its rules hide is in no value, pair, size or count.
#[derive(Clone, Copy)]
pub(crate) struct Visible<'a> {
    pub(crate) headers: &'a Headers,
    pub(crate) map: MapType,
    pub(crate) rule: Option<&'a Rule>,
}

impl<'a> Visible<'a> {
    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        match self.rule {
            None => self.headers.len(),
            Some(_) => self.iter().count(),
        }
    }

    /// Returns the number of bytes as pairs.
    pub(crate) fn serialized_len(&self) -> usize {
        match self.rule {
            None => self.headers.serialized_len(),
            Some(_) => pairs::len_of(self.iter()),
        }
    }

    /// Writes it as pairs; says whether that was the size of `out`.
    pub(crate) fn encode_into(&self, out: &mut [u8]) -> bool {
        match self.rule {
            None => pairs::encode_into(self.headers, out),
            Some(_) => pairs::encode_entries(|| self.iter(), out),
        }
    }

    /// Appends it to `out`, as pairs.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if let Some(rule) = self.rule {
            rule.learn_all_headers(self.map);
        }
        let start = out.len();
        out.resize(start + self.serialized_len(), 0);
        if let Some(place) = out.get_mut(start..) {
            self.encode_into(place);
        }
    }

    /// Returns the first value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        let is_authority = authority::is_named(self.map, name);
        let value = if is_authority { authority::get(self.headers) } else { self.headers.get(name) };
        value.filter(|_| self.rule.is_none_or(|rule| rule.allows_header(self.map, name)))
    }

    /// Returns the entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let Self { headers, map, rule } = *self;
        headers.iter().filter(move |(name, _)| rule.is_none_or(|rule| rule.shows(map, name)))
    }
}
