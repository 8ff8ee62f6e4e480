//! Plugins that no stream comes to.

use crate::chain::Chain;
use crate::worker::Worker;

impl Worker {
    /// Starts those plugins of a chain again whose VMs have failed and rested and whose policy says so, as a stream would that
    /// comes to them; returns the places in the chain of those that do not work now.
    pub fn keep_up(&mut self, chain: &Chain) -> Vec<usize> {
        self.revive(chain);
        let works = |plugin: usize| {
            let vm = self.sandboxes.vms.get(self.sandboxes.vm_of(plugin));
            vm.is_some_and(|sandbox| sandbox.vm.failure().is_none())
        };
        chain.0.iter().enumerate().filter(|(_, plugin)| !works(**plugin)).map(|(place, _)| place).collect()
    }
}
