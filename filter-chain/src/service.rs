//! Plugins that no stream comes to.

use crate::spec::Chain;
use crate::worker::Worker;

impl Worker {
    /// Starts those plugins of a chain again whose VMs have failed and rested and whose policy says so, as a stream would that
    /// comes to them.
    pub fn keep_up(&mut self, chain: &Chain) {
        self.revive(chain);
    }
}
