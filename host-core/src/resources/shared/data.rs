use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use super::left::{Gone, LeftEntry};
use super::lock::lock;
use crate::abi::Status;
use crate::model::limits::Limits;
use crate::rights::rate::Kept;
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// Values by key, each with the version of its last change. Keys are spread over locks, so that threads seldom wait for
/// one another's.
#[derive(Default)]
pub(super) struct Data {
    parts: [Part; PARTS],
    /// Chooses the part of a key: not by a rule that a guest could know.
    chooser: RandomState,
}

/// A value.
pub(crate) struct Entry {
    value: Vec<u8>,
    cas: u32,
    /// Key and value, paid for by the sandbox that wrote the value.
    charge: Charge,
    /// The count of its bytes for the plugin that set it.
    pub(crate) kept: Option<Kept>,
}

/// Bytes that a value may keep beyond its length, so that one whose length varies a little is not moved each time. The budget counts
/// lengths; this much is a part of [`Limits::ENTRY_COST`].
const SPARE: usize = 32;

/// A few for each thread that a machine runs at once.
const PARTS: usize = 32;

/// Lines of the processor's cache are handed from thread to thread whole: each part has its own.
#[derive(Default)]
#[repr(align(128))]
struct Part(Mutex<HashMap<Box<[u8]>, Entry>>);

impl Data {
    /// Passes a value and its version to `read` while nobody writes it.
    pub(super) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8], u32) -> R) -> Option<R> {
        lock(&self.part(key)?.0).get(key).map(|entry| read(&entry.value, entry.cas))
    }

    /// Sets a value at the cost of `payer`; who paid for the value that it replaces gets that back. A change that is refused leaves
    /// everything as it was.
    pub(super) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        payer: &Arc<ByteBudget>,
        keep: impl FnOnce(Option<&mut Entry>) -> Result<Option<Kept>, Status>,
        next_cas: impl FnOnce() -> u32,
    ) -> Result<(), Status> {
        if key.len() > Limits::LONGEST_KEY {
            return Err(Status::InternalFailure);
        }
        let mut values = lock(&self.part(key).ok_or(Status::InternalFailure)?.0);
        let mut old = values.get_mut(key);
        if old.as_ref().is_some_and(|entry| cas != 0 && cas != entry.cas) {
            return Err(Status::CasMismatch);
        }
        let cost = Limits::ENTRY_COST.saturating_add(key.len()).saturating_add(value.len());
        let change = payer.change(old.as_ref().map(|entry| &entry.charge), cost).ok_or(Status::InternalFailure)?;
        let kept = keep(old.as_deref_mut())?;
        match old {
            Some(entry) => {
                change.replace(&mut entry.charge);
                entry.value.clear();
                entry.value.reserve_exact(value.len());
                entry.value.extend_from_slice(value);
                entry.value.shrink_to(value.len().saturating_add(SPARE));
                (entry.cas, entry.kept) = (next_cas(), kept);
            }
            None => {
                let charge = change.whole().ok_or(Status::InternalFailure)?;
                values.insert(key.into(), Entry { value: value.to_vec(), cas: next_cas(), charge, kept });
            }
        }
        Ok(())
    }

    /// Returns the entries that sandboxes have left that have gone.
    pub(super) fn charged(&self, gone: &Gone) -> Vec<LeftEntry> {
        let mut left = Vec::new();
        for part in &self.parts {
            let values = lock(&part.0);
            let of_part = values.iter().filter(|(_, entry)| gone.pay_for(&entry.charge));
            left.extend(of_part.map(|(key, entry)| LeftEntry {
                key: key.clone(),
                cas: entry.cas,
                bytes: entry.charge.bytes(),
            }));
        }
        left
    }

    /// Removes an entry that was left, unless it has been set since; returns the bytes that are freed.
    pub(super) fn remove(&self, left: &LeftEntry) -> usize {
        let Some(part) = self.part(&left.key) else { return 0 };
        let mut values = lock(&part.0);
        if values.get(&left.key).is_none_or(|entry| entry.cas != left.cas) {
            return 0;
        }
        values.remove(&left.key).map_or(0, |_| left.bytes)
    }

    /// Returns the bytes that are charged to a budget.
    #[cfg(test)]
    pub(super) fn charged_to(&self, payer: &Arc<ByteBudget>) -> usize {
        let of = |part: &Part| {
            let values = lock(&part.0);
            let charged = values.iter().filter(|(_, entry)| entry.charge.is_of(payer));
            charged.map(|(key, entry)| Limits::ENTRY_COST + key.len() + entry.value.len()).sum::<usize>()
        };
        self.parts.iter().map(of).sum()
    }

    fn part(&self, key: &[u8]) -> Option<&Part> {
        self.parts.get(usize::try_from(self.chooser.hash_one(key) >> 32).ok()? % PARTS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const COST: usize = Limits::ENTRY_COST;

    #[test]
    fn what_is_refused_takes_no_room() {
        let (data, payer) = (Data::default(), ByteBudget::new(2 * COST + 10));
        let set = |key: &[u8], value: &[u8], allowed: bool| {
            let keep = |_: Option<&mut Entry>| if allowed { Ok(None) } else { Err(Status::InternalFailure) };
            data.set(key, value, 0, &payer, keep, || 1)
        };
        for _ in 0..20 {
            assert_eq!(set(b"a", b"1", false), Err(Status::InternalFailure));
        }
        assert_eq!(set(b"a", b"12345678", true), Ok(()));
        assert_eq!(set(b"a", b"", false), Err(Status::InternalFailure));
        assert_eq!(set(b"b", b"1", true), Err(Status::InternalFailure), "there is room for a key of one byte");
        assert_eq!(set(b"b", b"", true), Ok(()));
        assert_eq!(set(b"c", b"", true), Err(Status::InternalFailure), "there is none for another key");
        assert_eq!(set(b"a", b"1", true), Ok(()));
        assert_eq!(set(b"b", b"1234567", true), Ok(()));
        assert_eq!((payer.taken(), data.charged_to(&payer)), (2 * COST + 10, 2 * COST + 10));
        drop(data);
        assert_eq!(payer.taken(), 0);
    }

    #[test]
    fn who_overwrites_pays_and_who_had_paid_gets_it_back() {
        let (data, one, other) = (Data::default(), ByteBudget::new(COST + 5), ByteBudget::new(COST + 3));
        let set = |value: &[u8], payer: &Arc<ByteBudget>| data.set(b"k", value, 0, payer, |_| Ok(None), || 1);
        assert_eq!(set(b"1234", &one), Ok(()));
        assert_eq!(set(b"123", &other), Err(Status::InternalFailure), "it has less");
        assert_eq!((one.taken(), other.taken()), (COST + 5, 0), "and nothing has changed");
        assert_eq!(set(b"12", &other), Ok(()));
        assert_eq!((one.taken(), other.taken()), (0, COST + 3));
        assert_eq!(set(b"", &one), Ok(()));
        assert_eq!((one.taken(), other.taken()), (COST + 1, 0));
    }

    #[test]
    fn a_value_that_was_long_gives_back_its_room() {
        let (data, payer) = (Data::default(), ByteBudget::new(1 << 20));
        let capacity = || {
            let part =
                data.part(b"k").and_then(|part| lock(&part.0).get(&b"k"[..]).map(|entry| entry.value.capacity()));
            part.unwrap_or_default()
        };
        for len in [1000, 999, 990, 600, 300, 1000, 1, 0] {
            assert_eq!(data.set(b"k", &vec![0; len], 0, &payer, |_| Ok(None), || 1), Ok(()));
            assert!((len..=len + SPARE).contains(&capacity()), "{} for {len}", capacity());
        }
    }

    #[test]
    fn a_key_has_a_longest_length() {
        let (data, payer) = (Data::default(), ByteBudget::new(1 << 20));
        let mut key = vec![b'k'; Limits::LONGEST_KEY];
        assert_eq!(data.set(&key, b"", 0, &payer, |_| Ok(None), || 1), Ok(()));
        key.push(b'k');
        assert_eq!(data.set(&key, b"", 0, &payer, |_| Ok(None), || 1), Err(Status::InternalFailure));
    }

    #[test]
    fn threads_together_stay_within_the_budget() {
        const MOST: usize = 40 * COST;
        let (data, payer, version) = (Data::default(), ByteBudget::new(MOST), AtomicU32::new(0));
        let next = || version.fetch_add(1, Ordering::Relaxed) + 1;
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (data, payer, next) = (&data, &payer, &next);
                scope.spawn(move || {
                    for turn in 0..2000_usize {
                        let key = format!("key {}", (turn * 7 + thread) % 80);
                        let value = vec![0; (turn * 13 + thread) % 40];
                        // Every other thread is refused what it tries, smaller values included.
                        let keep = |_: Option<&mut Entry>| {
                            if thread % 2 == 0 { Ok(None) } else { Err(Status::InternalFailure) }
                        };
                        let _ = data.set(key.as_bytes(), &value, 0, payer, keep, next);
                    }
                });
            }
        });
        let held = data.charged_to(&payer);
        assert!(held > 0 && held <= MOST, "{held} bytes");
        assert_eq!(payer.taken(), held);
    }
}
