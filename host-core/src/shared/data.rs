use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{SharedLimits, lock};
use crate::abi::Status;
use crate::capability::rate::Kept;

/// Values by key, each with the version of its last change. Keys are spread over locks, so that threads seldom wait for
/// one another's.
#[derive(Default)]
pub(super) struct Data {
    parts: [Part; PARTS],
    /// Chooses the part of a key: not by a rule that a guest could know.
    chooser: RandomState,
    keys: AtomicUsize,
    bytes: AtomicUsize,
}

/// A value.
pub(crate) struct Entry {
    value: Vec<u8>,
    cas: u32,
    /// What counts its bytes for the plugin that set it.
    pub(crate) kept: Option<Kept>,
}

/// A few for each thread that a machine runs at once.
const PARTS: usize = 32;

/// Lines of the processor's cache are handed from thread to thread whole: each part has its own.
#[derive(Default)]
#[repr(align(128))]
struct Part(Mutex<HashMap<Box<[u8]>, Entry>>);

impl Data {
    /// A value and its version, handed to `read` while nobody writes it.
    pub(super) fn get<R>(&self, key: &[u8], read: impl FnOnce(&[u8], u32) -> R) -> Option<R> {
        lock(&self.part(key)?.0).get(key).map(|entry| read(&entry.value, entry.cas))
    }

    pub(super) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        keep: impl FnOnce(Option<&mut Entry>) -> Result<Option<Kept>, Status>,
        next_cas: impl FnOnce() -> u32,
        limits: &SharedLimits,
    ) -> Result<(), Status> {
        let mut values = lock(&self.part(key).ok_or(Status::InternalFailure)?.0);
        let mut old = values.get_mut(key);
        if old.as_ref().is_some_and(|entry| cas != 0 && cas != entry.cas) {
            return Err(Status::CasMismatch);
        }
        let before = old.as_ref().map_or(0, |entry| key.len() + entry.value.len());
        let after = key.len().saturating_add(value.len());
        // Taken before it is sure that it will be used: near a limit, another thread may be refused meanwhile.
        let keys = Room::take(&self.keys, usize::from(old.is_none()), limits.keys)?;
        let bytes = Room::take(&self.bytes, after.saturating_sub(before), limits.data)?;
        let kept = keep(old.as_deref_mut())?;
        keys.use_up();
        bytes.use_up();
        match old {
            Some(entry) => {
                entry.value.clear();
                entry.value.extend_from_slice(value);
                // A value that was long once does not keep its room.
                entry.value.shrink_to(value.len().saturating_mul(2));
                (entry.cas, entry.kept) = (next_cas(), kept);
            }
            None => drop(values.insert(key.into(), Entry { value: value.to_vec(), cas: next_cas(), kept })),
        }
        self.bytes.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        Ok(())
    }

    fn part(&self, key: &[u8]) -> Option<&Part> {
        self.parts.get(usize::try_from(self.chooser.hash_one(key) >> 32).ok()? % PARTS)
    }
}

/// What was taken of a bounded number; dropped, it is given back.
struct Room<'a> {
    of: &'a AtomicUsize,
    taken: usize,
}

impl<'a> Room<'a> {
    fn take(of: &'a AtomicUsize, more: usize, limit: usize) -> Result<Self, Status> {
        if more > 0 {
            let within = |taken: usize| taken.checked_add(more).filter(|sum| *sum <= limit);
            of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).map_err(|_| Status::InternalFailure)?;
        }
        Ok(Self { of, taken: more })
    }

    fn use_up(mut self) {
        self.taken = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.of.fetch_sub(self.taken, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn what_is_refused_takes_no_room() {
        let data = Data::default();
        let limits = SharedLimits { keys: 2, data: 10, ..SharedLimits::default() };
        let set = |key: &[u8], value: &[u8], allowed: bool| {
            let keep = |_: Option<&mut Entry>| if allowed { Ok(None) } else { Err(Status::InternalFailure) };
            data.set(key, value, 0, keep, || 1, &limits)
        };
        for _ in 0..20 {
            assert_eq!(set(b"a", b"1", false), Err(Status::InternalFailure));
        }
        assert_eq!(set(b"a", b"12345678", true), Ok(()));
        assert_eq!(set(b"a", b"", false), Err(Status::InternalFailure));
        assert_eq!(set(b"b", b"1", true), Err(Status::InternalFailure), "there is one byte left");
        assert_eq!(set(b"b", b"", true), Ok(()));
        assert_eq!(set(b"c", b"", true), Err(Status::InternalFailure), "there is no key left");
        assert_eq!(set(b"a", b"1", true), Ok(()));
        assert_eq!(set(b"b", b"1234567", true), Ok(()));
    }

    #[test]
    fn threads_together_stay_within_the_limits() {
        let data = Data::default();
        let limits = SharedLimits { keys: 50, data: 500, ..SharedLimits::default() };
        let version = AtomicU32::new(0);
        let next = || version.fetch_add(1, Ordering::Relaxed) + 1;
        std::thread::scope(|scope| {
            for thread in 0..4_usize {
                let (data, limits, next) = (&data, &limits, &next);
                scope.spawn(move || {
                    for turn in 0..2000_usize {
                        let key = format!("key {}", (turn * 7 + thread) % 80);
                        let value = vec![0; (turn * 13 + thread) % 40];
                        // Every other thread is refused what it tries, smaller values included.
                        let keep = |_: Option<&mut Entry>| {
                            if thread % 2 == 0 { Ok(None) } else { Err(Status::InternalFailure) }
                        };
                        let _ = data.set(key.as_bytes(), &value, 0, keep, next, limits);
                        assert!(data.bytes.load(Ordering::Relaxed) <= 500 && data.keys.load(Ordering::Relaxed) <= 50);
                    }
                });
            }
        });
        let (mut keys, mut bytes) = (0, 0);
        for part in &data.parts {
            for (key, entry) in lock(&part.0).iter() {
                (keys, bytes) = (keys + 1, bytes + key.len() + entry.value.len());
            }
        }
        assert!(keys > 0 && keys <= 50 && bytes <= 500, "{keys} keys, {bytes} bytes");
        assert_eq!((data.keys.into_inner(), data.bytes.into_inner()), (keys, bytes));
    }
}
