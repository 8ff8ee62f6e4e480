//! Upkeep of VMs: they are recycled when they are due, and end when they have lingered ([`recycling`](super::recycling)); those that have
//! failed are started again when they have rested.

use std::time::Duration;

use portcullis_core::abi::LogLevel;
use portcullis_core::model::ContextId;

use super::Vms;
use super::instance::VmInstance;
use super::recycling::{MOST_OLD, Reason};
use crate::id::{AnyStreamId, PluginId, VmId};

impl Vms {
    /// Notes that the memory of a VM has passed its bound.
    pub(crate) fn note_memory(&mut self, vm: VmId, bytes: usize) {
        self.pass(vm, Reason::Memory(bytes));
    }

    /// Notes that a VM has passed a bound: it is to be recycled.
    #[cold]
    pub(super) fn pass(&mut self, vm: VmId, reason: Reason) {
        // A VM of one stream goes with it, and the place of one that drains has been taken.
        let Some(instance) = self.table.get_mut(vm).filter(|instance| instance.is_active()) else { return };
        if instance.has_failed() {
            return;
        }
        let now = instance.now();
        let early = instance.recycling_mut().pass(reason, now);
        let due = instance.recycling().due();
        let message = early.map(|left| {
            let words = instance.recycling().words(reason);
            format!("{words} soon after its start: it is recycled in {left:?} at the earliest; raise vm_config.recycle")
        });
        self.upkeep.set(vm, due);
        if let Some(message) = message {
            self.tell_of_vm(vm, LogLevel::Warn, &message);
        }
    }

    /// Notes when something is to be done about a VM: it has been started now, or has failed.
    pub(super) fn watch(&mut self, vm: VmId) {
        let due = self.table.get(vm).filter(|instance| instance.is_active()).and_then(|instance| {
            match instance.has_failed() {
                true if self.reloads(vm) && !self.is_shut_down(vm) => instance.restart().starts_again(),
                true => None,
                false => instance.recycling().due(),
            }
        });
        self.upkeep.set(vm, due);
    }

    /// Notes anew when something is to be done about a VM about which nothing could be done.
    pub(crate) fn look_again(&mut self, vm: VmId) {
        self.watch(vm);
    }

    /// Returns the plugin by which a VM that has failed is started again.
    pub(crate) fn failed_member(&self, vm: VmId) -> Option<PluginId> {
        self.payer(vm).filter(|_| self.has_failed(vm))
    }

    /// Returns the VM about which something is to be done next, and when.
    pub(crate) fn next_upkeep(&self) -> Option<(Duration, VmId)> {
        self.upkeep.next()
    }

    /// Returns the plugin that pays for the time that is spent on a VM; none where nothing is started.
    pub(crate) fn payer(&self, vm: VmId) -> Option<PluginId> {
        self.plugins.of(vm).find(|(_, loaded)| !loaded.is_left()).map(|(plugin, _)| plugin)
    }

    /// Says whether a VM was recycled.
    pub(crate) fn was_recycled(&self, vm: VmId) -> bool {
        self.table.get(vm).is_some_and(|instance| instance.recycling().was_recycled())
    }

    /// Starts another VM in the place of one that is due; says whether it runs. The old roots go on, for the streams that are there, without
    /// ticks: those would be twice as many as the plugin has asked for, for as long as a VM may linger.
    pub(crate) fn recycle(&mut self, old: VmId) -> bool {
        let works = |instance: &VmInstance| instance.is_active() && !instance.has_failed();
        // What has failed meanwhile is started again when it has rested.
        if !self.table.get(old).is_some_and(works) || self.is_shut_down(old) {
            self.upkeep.set(old, None);
            return false;
        }
        if self.waits_for_old(old) {
            return false;
        }
        let replaced = self.replace(old);
        let Some(instance) = self.table.known_mut(old) else { return false };
        let (now, backoff, reason) = (instance.now(), instance.spec().reload, instance.recycling().reason());
        let words = instance.recycling().words(reason).to_string();
        match replaced {
            Ok(successor) => {
                instance.recycling_mut().replaced(now);
                let (due, streams, linger) =
                    (instance.recycling().due(), instance.owners().count(), instance.recycling().linger());
                self.upkeep.set(old, due);
                let Some((new, left)) = successor else { return false };
                for left in left {
                    self.plugins.insert(left.without_ticks());
                }
                let stay = match streams {
                    0 => String::new(),
                    streams => format!("; {streams} streams end in the old one, within {linger:?} (recycle.linger)"),
                };
                self.tell_of_vm(new, LogLevel::Info, &format!("its VM was recycled, since {words}{stay}"));
                self.collect(new);
                true
            }
            Err(error) => {
                let (rest, is_first) = instance.recycling_mut().refuse(now, backoff);
                let due = instance.recycling().due();
                self.upkeep.set(old, due);
                if is_first {
                    let message = format!(
                        "its VM is to be recycled, since {words}, and stays: another one does not start: {error}; correct what the plugin \
                         needs for its start, or remove vm_config.recycle; tried again in {rest:?}, then less often"
                    );
                    self.tell_of_vm(old, LogLevel::Error, &message);
                }
                false
            }
        }
    }

    /// Has a VM wait that is due, if as many that were recycled are there as may be; says whether it waits.
    fn waits_for_old(&mut self, vm: VmId) -> bool {
        let Some(instance) = self.table.get(vm) else { return false };
        let old = |other: &VmInstance| other.recycling().was_recycled() && is_of_sandbox(other, instance);
        let ends: Vec<_> =
            self.table.iter().filter(|(_, other)| old(other)).map(|(_, old)| old.recycling().due()).collect();
        let first = ends.iter().flatten().min().copied().filter(|_| ends.len() >= MOST_OLD);
        let Some(instance) = self.table.known_mut(vm) else { return false };
        let Some(until) = first else {
            instance.recycling_mut().wait_no_more();
            return false;
        };
        let (is_first, reason) = (instance.recycling_mut().wait(until), instance.recycling().reason());
        if is_first {
            let words = instance.recycling().words(reason);
            let message = format!(
                "its VM is to be recycled, since {words}, and stays until one of the {} has ended that were before it: raise the bounds of \
                 recycle, or lower recycle.linger",
                ends.len()
            );
            self.tell_of_vm(vm, LogLevel::Warn, &message);
        }
        self.upkeep.set(vm, Some(until));
        true
    }

    /// Has VMs looked at anew that wait for one to go that was recycled, which has gone.
    pub(super) fn note_gone(&mut self, gone: &VmInstance) {
        if !gone.recycling().was_recycled() {
            return;
        }
        let waits = |other: &VmInstance| other.is_active() && is_of_sandbox(other, gone);
        let waiting: Vec<_> = self.table.iter().filter(|(_, other)| waits(other)).map(|(vm, _)| vm).collect();
        for vm in waiting {
            if let Some(instance) = self.table.known_mut(vm) {
                instance.recycling_mut().wait_no_more();
            }
            self.watch(vm);
        }
    }

    /// Begins to end a VM that has lingered, and tells the operator what becomes of its streams; false if that was done before, so that
    /// it goes now.
    pub(crate) fn begin_end(&mut self, vm: VmId) -> bool {
        let Some(instance) = self.table.known_mut(vm) else { return false };
        let now = instance.now();
        let is_first = instance.recycling_mut().end(now);
        let due = instance.recycling().due();
        self.upkeep.set(vm, due);
        if is_first {
            self.tell_end(vm);
        }
        is_first
    }

    fn tell_end(&self, vm: VmId) {
        let Some(instance) = self.table.get(vm) else { return };
        let (streams, linger) = (instance.owners().count(), instance.recycling().linger());
        if streams == 0 {
            return;
        }
        let message = format!(
            "{streams} streams are answered by the failure policy, since {linger:?} have passed since its VM was recycled; raise \
             recycle.linger"
        );
        self.tell_of_vm(vm, LogLevel::Warn, &message);
    }

    /// Returns the streams that have contexts in a VM, with the indices of their plugins, in the order of their ids.
    pub(crate) fn owners_in_order(&self, vm: VmId) -> Vec<(AnyStreamId, usize)> {
        let mut owners = self.owners(vm);
        owners.sort_unstable();
        owners
    }

    /// Ends the roots of a VM that goes now: those that have not been asked to end are, and none is waited for.
    pub(crate) fn end_roots(&mut self, vm: VmId) {
        let left = |(plugin, loaded): (PluginId, &super::plugins::LoadedPlugin)| (plugin, loaded.root());
        let roots: Vec<(PluginId, ContextId)> =
            self.plugins.of(vm).filter(|(_, loaded)| !loaded.has_ended()).map(left).collect();
        for (plugin, root) in roots {
            self.end_root(plugin);
            self.delete_root(vm, root);
        }
    }
}

/// Says whether two VMs are of one sandbox.
fn is_of_sandbox(vm: &VmInstance, other: &VmInstance) -> bool {
    vm.key() == other.key() && vm.spec().isolated == other.spec().isolated
}
