//! How a chain is taken down.

use super::Inner;
use crate::id::PluginId;
use crate::spec::Chain;

impl Inner {
    /// Ends those plugins of a chain that no other one has, when the streams over them are over.
    pub(crate) fn unload(&mut self, chain: &Chain) {
        if !self.chains.remove(chain) {
            return;
        }
        let plugins: Vec<_> = self.unloaded(chain).collect();
        for plugin in plugins {
            match self.http.count_over(plugin) + self.tcp.count_over(plugin) {
                0 => self.unload_plugin(plugin),
                streams => {
                    self.vms.serve_no_more(plugin);
                    self.chains.wait(plugin, streams);
                }
            }
        }
        self.run(None);
    }

    /// Returns how many plugins of a chain that was unloaded have not ended.
    pub(crate) fn ending(&self, chain: &Chain) -> usize {
        self.unloaded(chain).filter(|plugin| self.vms.is_ending(*plugin)).count()
    }

    /// Deletes the roots of plugins of a chain that was unloaded, if they have been asked to end and have not.
    pub(crate) fn end_now(&mut self, chain: &Chain) -> usize {
        let asked: Vec<_> = self.unloaded(chain).filter_map(|plugin| self.vms.asked_root(plugin)).collect();
        asked.iter().for_each(|(vm, root)| self.vms.delete_root(*vm, *root));
        self.run(None);
        asked.len()
    }

    /// Returns the plugins of a chain that no chain has, each once.
    fn unloaded(&self, chain: &Chain) -> impl Iterator<Item = PluginId> {
        let mut plugins: Vec<_> = chain.plugins().filter(|plugin| !self.chains.has(*plugin)).collect();
        plugins.sort_unstable();
        plugins.dedup();
        plugins.into_iter()
    }

    /// Notes that a stream is about to end that plugins may wait for to be unloaded.
    pub(super) fn note_end(&mut self, plugins: Vec<PluginId>) {
        let ended: Vec<_> = plugins.into_iter().filter_map(|plugin| self.chains.release(plugin)).collect();
        ended.into_iter().for_each(|plugin| self.unload_plugin(plugin));
    }

    fn unload_plugin(&mut self, plugin: PluginId) {
        self.end_root(plugin);
        if let Some(vm) = self.vms.unload(plugin) {
            self.vms.release_later(vm);
        }
    }
}
