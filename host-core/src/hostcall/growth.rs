//! The bound on what a plugin may add to a header map: no more than it could set at once.
//!
//! Counted is what the plugin sees, and what it has added under names that it may not read. What its rules hide counts for
//! nothing: else the bound would tell how many hidden entries there are, and how long they are. A map is bounded
//! nevertheless: by what came, and by as much again for each plugin that may not see all of it.
//!
//! A write with rules looks at every entry of the map, and at every pattern of the list for each. Entries are what came, and 1024 for
//! each plugin that adds unseen; patterns are the operator's, and one takes at most a pass over the name for each part between stars.
//! Where 10 plugins have filled the map, and a list has 20 patterns, that is some 200,000 comparisons, mostly of a first byte; the
//! deadline of the callback bounds how many such calls there are. Without rules the sums are at hand, and one pass finds the name.

use std::collections::{HashMap, HashSet};

use crate::abi::{MapType, Status, pairs};
use crate::model::authority;
use crate::model::headers::Headers;
use crate::rights::Rule;

/// Entries that a plugin has added to a map under names that it may not read, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unseen(HashMap<Box<[u8]>, Tally>);

/// Entries, and their bytes in the pairs format.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    count: usize,
    bytes: usize,
}

/// A write that fits.
#[must_use]
pub(super) struct Growth {
    is_hidden: bool,
    replaces: bool,
    bytes: usize,
}

/// Checks that an entry fits into a map that rules let a plugin see in part.
///
/// # Errors
/// `BadArgument`: the map would have more entries or bytes than a guest may hand over.
#[cold]
pub(super) fn check(
    (headers, unseen): (Option<&Headers>, Option<&Unseen>),
    rule: &Rule,
    map: MapType,
    key: &[u8],
    value: &[u8],
    replaces: bool,
) -> Result<Growth, Status> {
    let (bytes, is_hidden) = (entry_len(key, value), !rule.shows(map, key));
    let mut all = headers.map_or_else(Tally::default, |headers| Tally::seen(headers, map, rule));
    unseen.into_iter().flat_map(|unseen| unseen.0.values()).for_each(|own| all.add(*own));
    if replaces && is_hidden {
        let own = unseen.and_then(|unseen| unseen.0.get(key.to_ascii_lowercase().as_slice()));
        all.remove(own.copied().unwrap_or_default());
    } else if replaces {
        let old = headers.into_iter().flat_map(|headers| headers.get_all(key));
        old.for_each(|old| all.remove(Tally { count: 1, bytes: entry_len(key, old) }));
    }
    all.fits(bytes).then_some(Growth { is_hidden, replaces, bytes }).ok_or(Status::BadArgument)
}

/// Checks that an entry fits into a map that a plugin sees all of.
///
/// # Errors
/// As [`check`].
#[inline]
pub(super) fn check_all(headers: Option<&Headers>, key: &[u8], value: &[u8], replaces: bool) -> Result<(), Status> {
    let mut all = headers.map_or_else(Tally::default, Tally::of_map);
    for old in headers.iter().filter(|_| replaces).flat_map(|map| map.get_all(key)) {
        all.remove(Tally { count: 1, bytes: entry_len(key, old) });
    }
    all.fits(entry_len(key, value)).then_some(()).ok_or(Status::BadArgument)
}

impl Growth {
    /// Notes the entry that has been written, under a name in lower case.
    #[inline]
    pub(super) fn done(self, unseen: &mut Option<Box<Unseen>>, key: &[u8]) {
        if self.is_hidden {
            let names = &mut unseen.get_or_insert_default().0;
            let own = names.entry(key.to_ascii_lowercase().into()).or_default();
            if self.replaces {
                *own = Tally::default();
            }
            own.add(Tally { count: 1, bytes: self.bytes });
        }
    }
}

/// Notes that a name was removed.
#[inline]
pub(super) fn removed(unseen: &mut Option<Box<Unseen>>, key: &[u8]) {
    if let Some(unseen) = unseen {
        unseen.0.remove(key.to_ascii_lowercase().as_slice());
    }
}

/// Checks that a map that is set whole, by a plugin that does not see all of it, fits with what the plugin has added unseen under
/// names that the new map does not have; returns what it has added from then on.
///
/// # Errors
/// As [`check`].
pub(super) fn check_whole(
    unseen: Option<&Unseen>,
    map: MapType,
    new: &Headers,
    rule: &Rule,
    named: &HashSet<&[u8]>,
) -> Result<Option<Box<Unseen>>, Status> {
    let mut after = unseen.cloned().unwrap_or_default();
    after.0.retain(|name, _| !named.contains(&**name));
    let mut all = Tally::of_map(new);
    after.0.values().for_each(|own| all.add(*own));
    if all.count > pairs::MAX_COUNT || all.serialized_len() > pairs::MAX_BYTES {
        return Err(Status::BadArgument);
    }
    for (name, value) in new.iter().filter(|(name, _)| !rule.shows(map, name)) {
        let own = after.0.entry(authority::name(map, name).into()).or_default();
        own.add(Tally { count: 1, bytes: entry_len(name, value) });
    }
    Ok((!after.0.is_empty()).then(|| Box::new(after)))
}

impl Tally {
    fn of_map(headers: &Headers) -> Self {
        // Without the number at the start.
        Self { count: headers.len(), bytes: headers.serialized_len().saturating_sub(4) }
    }

    fn seen(headers: &Headers, map: MapType, rule: &Rule) -> Self {
        let mut all = Self::default();
        for (name, value) in headers.iter().filter(|(name, _)| rule.shows(map, name)) {
            all.add(Self { count: 1, bytes: entry_len(name, value) });
        }
        all
    }

    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    fn remove(&mut self, less: Self) {
        self.count = self.count.saturating_sub(less.count);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }

    /// Returns whether there is room for one more entry.
    const fn fits(self, bytes: usize) -> bool {
        self.count < pairs::MAX_COUNT && self.serialized_len() + bytes <= pairs::MAX_BYTES
    }

    const fn serialized_len(self) -> usize {
        if self.count == 0 { 0 } else { 4 + self.bytes }
    }
}

/// Bytes of an entry in the pairs format.
const fn entry_len(key: &[u8], value: &[u8]) -> usize {
    8 + key.len() + 1 + value.len() + 1
}
