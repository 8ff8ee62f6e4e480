//! Things by ids that go stale.

use std::cell::Cell;
use std::marker::PhantomData;

use slab::Slab;

use crate::id::{Key, Slot};

/// How often an id was used whose thing had gone, in debug builds: whoever drives a worker may do so, and it does nothing.
#[derive(Debug, Default)]
pub(crate) struct Stale(Cell<u64>);

impl Stale {
    /// Counts one use.
    #[inline]
    pub(crate) fn note(&self) {
        if cfg!(debug_assertions) {
            self.0.update(|count| count + 1);
        }
    }

    /// Returns the number of uses; always 0 in release builds.
    pub(crate) fn count(&self) -> u64 {
        self.0.get()
    }
}

/// Things by ids that find nothing when the thing has gone, even if another one has its place: each has the number of its generation.
#[derive(Debug)]
pub(crate) struct Arena<K, T> {
    live: Slab<(u32, T)>,
    generation: u32,
    stale: Stale,
    key: PhantomData<fn() -> K>,
}

impl<K, T> Default for Arena<K, T> {
    fn default() -> Self {
        Self { live: Slab::new(), generation: 0, stale: Stale::default(), key: PhantomData }
    }
}

impl<K: Key, T> Arena<K, T> {
    pub(crate) fn insert(&mut self, value: T) -> K {
        self.generation = self.generation.wrapping_add(1);
        K::of(Slot { index: self.live.insert((self.generation, value)), generation: self.generation })
    }

    #[inline]
    pub(crate) fn get(&self, key: K) -> Option<&T> {
        let Slot { index, generation } = key.slot();
        match self.live.get(index) {
            Some((of, value)) if *of == generation => Some(value),
            _ => {
                self.stale.note();
                None
            }
        }
    }

    /// Returns a thing if it is there still, by an id that may be stale.
    pub(crate) fn peek(&self, key: K) -> Option<&T> {
        let Slot { index, generation } = key.slot();
        self.live.get(index).filter(|(of, _)| *of == generation).map(|(_, value)| value)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut T> {
        let Slot { index, generation } = key.slot();
        #[cfg(debug_assertions)]
        if self.live.get(index).is_none_or(|(of, _)| *of != generation) {
            self.stale.note();
        }
        self.live.get_mut(index).filter(|(of, _)| *of == generation).map(|(_, value)| value)
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<T> {
        self.get(key)?;
        self.live.try_remove(key.slot().index).map(|(_, value)| value)
    }

    /// Returns what there is, with its ids, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        self.live.iter().map(|(index, (generation, value))| (K::of(Slot { index, generation: *generation }), value))
    }

    /// Returns the same, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.live.iter_mut().map(|(_, (_, value))| value)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Returns how often a stale id was used; always 0 in release builds.
    pub(crate) fn stale(&self) -> u64 {
        self.stale.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StreamId;

    #[test]
    fn a_stale_id_finds_nothing_and_is_counted() {
        let mut arena = Arena::<StreamId, &str>::default();
        let first = arena.insert("first");
        assert_eq!((arena.remove(first), arena.stale()), (Some("first"), 0));
        let second = arena.insert("second");
        assert!(arena.peek(first).is_none() && arena.stale() == 0);
        assert_eq!(second.slot().index, first.slot().index, "the place is used again");
        assert!(arena.get(first).is_none() && arena.get_mut(first).is_none() && arena.remove(first).is_none());
        assert_eq!(arena.stale(), if cfg!(debug_assertions) { 3 } else { 0 });
        assert_eq!((arena.get(second), arena.len()), (Some(&"second"), 1));
    }
}
