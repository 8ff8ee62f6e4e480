//! The chains of a worker, and plugins that wait for streams to be unloaded.

use crate::arena::Stale;
use crate::id::PluginId;
use crate::spec::Chain;

/// Chains that have been loaded and not unloaded, and the plugins that are to be unloaded.
#[derive(Debug, Default)]
pub(super) struct Chains {
    loaded: Vec<Chain>,
    /// Plugins that no chain has any more, and on how many open streams each waits.
    unloading: Vec<(PluginId, usize)>,
    stale: Stale,
}

impl Chains {
    /// Adds a chain that has been loaded.
    pub(super) fn add(&mut self, chain: Chain) {
        self.forget_dropped();
        self.loaded.push(chain);
    }

    /// Removes a chain; says whether it was there. One that was unloaded before, or is another worker's, is not.
    pub(super) fn remove(&mut self, chain: &Chain) -> bool {
        let Some(index) = self.loaded.iter().position(|loaded| loaded.is(chain)) else {
            self.stale.note();
            return false;
        };
        self.loaded.swap_remove(index);
        self.forget_dropped();
        true
    }

    /// Says whether a plugin is in a chain.
    pub(super) fn has(&self, plugin: PluginId) -> bool {
        self.loaded.iter().any(|chain| chain.plugins().any(|of| of == plugin))
    }

    /// Notes that a plugin waits for this many streams to be unloaded.
    pub(super) fn wait(&mut self, plugin: PluginId, streams: usize) {
        debug_assert!(streams > 0, "a plugin without streams is unloaded at once");
        // It may have waited before, been loaded again, and be unloaded again: all of its streams are counted now.
        self.unloading.retain(|(of, _)| *of != plugin);
        self.unloading.push((plugin, streams));
    }

    /// Says whether a plugin waits for its streams to be over.
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        !self.unloading.is_empty()
    }

    /// Notes that a stream over a plugin is over; returns the plugin if it was the last, and no chain has the plugin again.
    pub(super) fn release(&mut self, plugin: PluginId) -> Option<PluginId> {
        let (index, (_, streams)) = self.unloading.iter_mut().enumerate().find(|(_, (of, _))| *of == plugin)?;
        *streams = streams.saturating_sub(1);
        let last = (*streams == 0).then(|| self.unloading.swap_remove(index).0)?;
        (!self.has(last)).then_some(last)
    }

    /// Returns how many chains there are, and plugins that wait to be unloaded.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.loaded.len() + self.unloading.len()
    }

    /// Returns how often a chain was unloaded that was not there, in debug builds.
    pub(super) fn stale(&self) -> u64 {
        self.stale.count()
    }

    /// Forgets chains that nobody can open a stream over any more, nor unload. Their plugins stay for chains that are loaded later.
    fn forget_dropped(&mut self) {
        self.loaded.retain(|loaded| !loaded.is_dropped());
    }
}
