//! The VMs of a plugin that has one for each stream, by the connections that have them. When all places are taken, the one to spare is looked
//! up and not searched for: a client that is refused must not cost time that grows with the places of others.

use std::collections::{BTreeSet, HashMap};

use crate::id::VmId;

/// The [`connection_id`](portcullis_core::model::StreamInfo::connection_id) of a stream whose connection is not known: nothing is beside it.
pub(super) const UNKNOWN: u64 = 0;

/// The VMs of a plugin that has one for each stream, by the connections of their streams.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// VMs whose stream is over. Numbers of VMs go up, so the least is the oldest.
    over: BTreeSet<VmId>,
    /// The others of connections that have a number, with that.
    held: BTreeSet<(u64, VmId)>,
    /// How many of these a connection has.
    counts: HashMap<u64, usize>,
    /// The same, by how many.
    ranks: BTreeSet<(usize, u64)>,
}

impl Places {
    /// Notes a VM for a stream of a connection.
    pub(super) fn begin(&mut self, vm: VmId, connection: u64) {
        if connection != UNKNOWN && self.held.insert((connection, vm)) {
            self.change(connection, 1);
        }
    }

    /// Notes that the stream of a VM is over.
    pub(super) fn over(&mut self, vm: VmId, connection: u64) {
        self.leave(vm, connection);
        self.over.insert(vm);
    }

    /// Notes that a VM has gone.
    pub(super) fn freed(&mut self, vm: VmId, connection: u64) {
        if !self.over.remove(&vm) {
            self.leave(vm, connection);
        }
    }

    /// Returns the VM that a stream of a connection gets the place of: the oldest whose stream is over, else the oldest of the connection
    /// that has most, if it has at least two more than this one.
    pub(super) fn to_spare(&self, connection: u64) -> Option<VmId> {
        if let Some(vm) = self.over.first() {
            return Some(*vm);
        }
        let own = self.counts.get(&connection).copied().unwrap_or(0);
        let (count, most) = self.ranks.last().copied()?;
        if count > own + 1 { self.of(most).next() } else { None }
    }

    /// Returns the VMs of a connection whose streams are not over, the oldest first; none if it has no number.
    pub(super) fn of(&self, connection: u64) -> impl Iterator<Item = VmId> {
        self.held.range((connection, VmId::NONE)..=(connection, VmId::LAST)).map(|(_, vm)| *vm)
    }

    fn leave(&mut self, vm: VmId, connection: u64) {
        if self.held.remove(&(connection, vm)) {
            self.change(connection, -1);
        }
    }

    fn change(&mut self, connection: u64, by: isize) {
        let count = self.counts.entry(connection).or_default();
        self.ranks.remove(&(*count, connection));
        *count = count.saturating_add_signed(by);
        match *count {
            0 => drop(self.counts.remove(&connection)),
            count => drop(self.ranks.insert((count, connection))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(number: usize) -> VmId {
        (0..number).fold(VmId::NONE, |vm, _| vm.next())
    }

    #[test]
    fn the_oldest_of_who_has_most_is_to_spare_for_who_has_two_fewer() {
        let mut places = Places::default();
        for (number, connection) in [(1, 7), (2, 8), (3, 8), (4, UNKNOWN), (5, UNKNOWN), (6, UNKNOWN)] {
            places.begin(vm(number), connection);
        }
        assert_eq!((places.to_spare(9), places.to_spare(UNKNOWN)), (Some(vm(2)), Some(vm(2))));
        assert_eq!((places.to_spare(7), places.to_spare(8)), (None, None));
        assert_eq!(places.of(8).collect::<Vec<_>>(), [vm(2), vm(3)]);
        assert_eq!(places.of(UNKNOWN).count(), 0);
        places.freed(vm(2), 8);
        assert_eq!(places.to_spare(9), None, "each has one");
    }

    #[test]
    fn what_is_over_is_to_spare_first_for_everybody() {
        let mut places = Places::default();
        (1..5).for_each(|number| places.begin(vm(number), 7));
        places.over(vm(4), 7);
        places.over(vm(3), 7);
        assert_eq!((places.to_spare(7), places.to_spare(8)), (Some(vm(3)), Some(vm(3))));
        places.freed(vm(3), 7);
        places.freed(vm(4), 7);
        assert_eq!((places.to_spare(7), places.to_spare(8)), (None, Some(vm(1))));
        places.freed(vm(1), 7);
        places.freed(vm(2), 7);
        assert!(places.held.is_empty() && places.counts.is_empty() && places.ranks.is_empty(), "{places:?}");
    }
}
