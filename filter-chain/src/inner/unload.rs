//! How a chain is taken down.

use super::Inner;
use crate::id::PluginId;
use crate::spec::Chain;

impl Inner {
    /// Ends those plugins of a chain that no other one has, when the streams over them are over.
    pub(crate) fn unload(&mut self, chain: &Chain) {
        let Some(index) = self.chains.iter().position(|loaded| loaded.is(chain)) else {
            // Unloaded before, or another worker's.
            return self.stale_chains.note();
        };
        self.chains.swap_remove(index);
        self.forget_dropped_chains();
        let mut plugins: Vec<_> = chain.plugins().filter(|plugin| !self.is_loaded(*plugin)).collect();
        plugins.sort_unstable();
        plugins.dedup();
        for plugin in plugins {
            match self.http.count_over(plugin) + self.tcp.count_over(plugin) {
                0 => self.unload_plugin(plugin),
                streams => self.unloading.wait(plugin, streams),
            }
        }
        self.run(None);
    }

    /// Forgets chains that nobody can open a stream over any more, nor unload. Their plugins stay for chains that are loaded later.
    pub(super) fn forget_dropped_chains(&mut self) {
        self.chains.retain(|loaded| !loaded.is_dropped());
    }

    /// Notes that a stream is about to end that a plugin may wait for to be unloaded.
    pub(super) fn note_end(&mut self, plugins: impl Iterator<Item = PluginId>) {
        let ended: Vec<_> = plugins.filter_map(|plugin| self.unloading.release(plugin)).collect();
        for plugin in ended {
            // A chain that was loaded meanwhile may have it again.
            if !self.is_loaded(plugin) {
                self.unload_plugin(plugin);
            }
        }
    }

    /// Says whether a plugin waits for its streams to be over.
    #[inline]
    pub(super) fn is_unloading(&self) -> bool {
        !self.unloading.is_empty()
    }

    fn is_loaded(&self, plugin: PluginId) -> bool {
        self.chains.iter().any(|chain| chain.plugins().any(|of| of == plugin))
    }

    fn unload_plugin(&mut self, plugin: PluginId) {
        self.end_root(plugin);
        if let Some(vm) = self.vms.unload(plugin) {
            self.vms.release_later(vm);
        }
    }
}
