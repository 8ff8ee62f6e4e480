//! The VMs about which something is to be done at some time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::VmId;

/// The VMs that are due at some time, most often few.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    due: BTreeMap<VmId, Duration>,
    touched: bool,
}

impl Upkeep {
    /// Notes when something is to be done about a VM.
    pub(super) fn set(&mut self, vm: VmId, due: Option<Duration>) {
        let before = match due {
            Some(due) => self.due.insert(vm, due),
            None => self.due.remove(&vm),
        };
        self.touched |= before != due;
    }

    /// Returns whether what [`Self::next`] says may have changed since the last call.
    #[inline]
    pub(super) fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.touched)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    /// Returns the VM that is due first, and when.
    pub(super) fn next(&self) -> Option<(Duration, VmId)> {
        self.due.iter().map(|(vm, due)| (*due, *vm)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vm_that_is_due_first_comes_first_and_changes_are_noted() {
        let at = Duration::from_secs;
        let (mut upkeep, one) = (Upkeep::default(), VmId::NONE.next());
        let other = one.next();
        upkeep.set(one, Some(at(5)));
        upkeep.set(other, Some(at(3)));
        assert!(upkeep.next() == Some((at(3), other)) && upkeep.take_touched() && !upkeep.take_touched());
        upkeep.set(other, Some(at(3)));
        assert!(!upkeep.take_touched());
        upkeep.set(other, None);
        assert!(upkeep.next() == Some((at(5), one)) && upkeep.take_touched());
        upkeep.set(one, None);
        assert_eq!((upkeep.next(), upkeep.due.len()), (None, 0));
    }
}
