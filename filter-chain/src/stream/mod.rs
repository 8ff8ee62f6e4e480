//! Streams of one kind: what is on its way between their plugins, and in which order.

pub(crate) mod http;
pub(crate) mod tcp;

use std::collections::VecDeque;

use portcullis_core::model::Direction;

use crate::arena::Arena;
use crate::id::{Key, PluginId};

/// Something on its way to a position of a stream. Plugins stand in the order of the chain; a *position* is a place in the order of a
/// direction, which for responses is the reverse.
#[derive(Debug)]
pub(crate) struct Work<K, T> {
    pub(crate) stream: K,
    pub(crate) direction: Direction,
    pub(crate) position: usize,
    pub(crate) item: T,
}

/// A plugin that a stream comes to without a VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lacking<K> {
    pub(crate) stream: K,
    pub(crate) index: usize,
    pub(crate) plugin: PluginId,
    /// The number of the client's connection.
    pub(crate) connection: u64,
}

/// The streams of one kind, and what is due in them.
#[derive(Debug)]
pub(crate) struct Streams<K, S, T> {
    live: Arena<K, S>,
    work: VecDeque<Work<K, T>>,
    /// Streams, and the indices of plugins in them, whose VM has failed.
    orphans: VecDeque<(K, usize)>,
    /// Streams that have effects since they were last taken.
    touched: Vec<K>,
}

impl<K: Key, S, T> Default for Streams<K, S, T> {
    fn default() -> Self {
        Self { live: Arena::default(), work: VecDeque::new(), orphans: VecDeque::new(), touched: Vec::new() }
    }
}

impl<K: Key + Eq, S, T> Streams<K, S, T> {
    pub(crate) fn open(&mut self, stream: S) -> K {
        self.live.insert(stream)
    }

    pub(crate) fn close(&mut self, id: K) -> Option<S> {
        self.live.remove(id)
    }

    /// Returns a stream; none if it is over.
    #[inline]
    pub(crate) fn get(&self, id: K) -> Option<&S> {
        self.live.get(id)
    }

    /// Returns a stream, to be changed; none if it is over.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: K) -> Option<&mut S> {
        self.live.get_mut(id)
    }

    /// Returns a stream that is open: what is on its way in it, and its contexts, go before it does.
    #[inline]
    pub(crate) fn known(&self, id: K) -> Option<&S> {
        let stream = self.live.get(id);
        debug_assert!(stream.is_some(), "a stream is over that something is on its way in, or that a VM knows");
        stream
    }

    /// Returns the same, to be changed.
    #[inline]
    pub(crate) fn known_mut(&mut self, id: K) -> Option<&mut S> {
        let stream = self.live.get_mut(id);
        debug_assert!(stream.is_some(), "a stream is over that something is on its way in, or that a VM knows");
        stream
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &S> {
        self.live.iter().map(|(_, stream)| stream)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Returns how often the id of a stream that is over was used, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        self.live.stale()
    }

    /// Puts something on its way behind all that is.
    pub(crate) fn push_back(&mut self, stream: K, direction: Direction, position: usize, item: T) {
        self.work.push_back(Work { stream, direction, position, item });
    }

    /// Puts something on its way before all that is.
    pub(crate) fn push_front(&mut self, stream: K, direction: Direction, position: usize, item: T) {
        self.work.push_front(Work { stream, direction, position, item });
    }

    /// Puts items, each with the position that it goes to, on their way from a position: before all
    /// that is behind them, after all that is ahead. An item is at its end before the next begins.
    pub(crate) fn send(
        &mut self,
        stream: K,
        direction: Direction,
        from: usize,
        items: impl IntoIterator<Item = (usize, T)>,
    ) {
        let is_ahead = |work: &Work<K, T>| work.stream == stream && work.direction == direction && work.position > from;
        let first = self.work.iter().rposition(is_ahead).map_or(0, |last| last + 1);
        for (offset, (position, item)) in items.into_iter().enumerate() {
            self.work.insert(first + offset, Work { stream, direction, position, item });
        }
    }

    /// Returns what is next on its way.
    #[inline]
    pub(crate) fn peek(&self) -> Option<&Work<K, T>> {
        self.work.front()
    }

    /// Takes what is next on its way.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Work<K, T>> {
        self.work.pop_front()
    }

    /// Notes that the VM of a plugin in a stream has failed.
    pub(crate) fn orphan(&mut self, id: K, index: usize) {
        self.orphans.push_back((id, index));
    }

    /// Takes the oldest of what [`Self::orphan`] has noted.
    #[inline]
    pub(crate) fn next_orphan(&mut self) -> Option<(K, usize)> {
        self.orphans.pop_front()
    }

    /// Notes that a stream has effects.
    pub(crate) fn touch(&mut self, id: K) {
        if !self.touched.contains(&id) {
            self.touched.push(id);
        }
    }

    /// Takes the streams that have effects since the last call.
    pub(crate) fn take_touched(&mut self) -> impl Iterator<Item = K> {
        self.touched.drain(..)
    }
}

/// Returns the index of the plugin at a position of a direction, of so many plugins.
#[inline]
pub(crate) fn index_at(direction: Direction, position: usize, count: usize) -> Option<usize> {
    match direction {
        Direction::Request => Some(position).filter(|index| *index < count),
        Direction::Response => count.checked_sub(position + 1),
    }
}

/// Returns the position of a plugin in a direction. The order is turned round twice.
#[inline]
pub(crate) fn position_of(direction: Direction, index: usize, count: usize) -> usize {
    debug_assert!(index < count, "plugin {index} of {count}");
    match direction {
        Direction::Request => index,
        Direction::Response => count.saturating_sub(index + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StreamId;

    #[test]
    fn a_position_and_an_index_are_each_others_reverse() {
        for direction in [Direction::Request, Direction::Response] {
            assert!((0..4).all(|index| index_at(direction, position_of(direction, index, 4), 4) == Some(index)));
            assert_eq!((index_at(direction, 4, 4), index_at(direction, 0, 0)), (None, None));
        }
        assert_eq!(index_at(Direction::Response, 0, 4), Some(3));
    }

    #[test]
    fn items_go_behind_what_is_ahead_of_them_and_before_the_rest() {
        let mut streams = Streams::<StreamId, (), &str>::default();
        let (one, other) = (streams.open(()), streams.open(()));
        streams.push_back(one, Direction::Request, 2, "ahead");
        streams.push_back(other, Direction::Request, 3, "another's");
        streams.push_back(one, Direction::Response, 3, "the other way");
        streams.push_back(one, Direction::Request, 0, "behind");
        streams.send(one, Direction::Request, 1, [(2, "first"), (2, "second")]);
        let order: Vec<_> = std::iter::from_fn(|| streams.next()).map(|work| work.item).collect();
        assert_eq!(order, ["ahead", "first", "second", "another's", "the other way", "behind"]);
    }
}
