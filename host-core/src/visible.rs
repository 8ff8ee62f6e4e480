//! A header map as far as a plugin may see it.

use crate::abi::{MapType, pairs};
use crate::capability::Rule;
use crate::headers::Headers;

/// A header map as far as a plugin may see it: what its rules hide is in no value, pair, size or count.
pub(crate) struct Visible<'a> {
    pub(crate) headers: &'a Headers,
    pub(crate) map: MapType,
    pub(crate) rule: Option<&'a Rule>,
}

impl Visible<'_> {
    /// How many values.
    pub(crate) fn len(&self) -> usize {
        match self.rule {
            None => self.headers.len(),
            Some(_) => self.iter().count(),
        }
    }

    /// How many bytes as pairs.
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

    /// The first value of a name.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers.get(name).filter(|_| self.shows(name))
    }

    /// The entries in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.iter().filter(|(name, _)| self.shows(name))
    }

    fn shows(&self, name: &[u8]) -> bool {
        self.rule.is_none_or(|rule| rule.shows(self.map, name))
    }
}
