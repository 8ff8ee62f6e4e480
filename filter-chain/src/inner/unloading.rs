//! Plugins that are to be unloaded and wait for streams.

use crate::id::PluginId;

/// Plugins that no chain has any more, and on how many open streams each waits.
#[derive(Debug, Default)]
pub(super) struct Unloading(Vec<(PluginId, usize)>);

impl Unloading {
    /// Notes that a plugin waits for this many streams.
    pub(super) fn wait(&mut self, plugin: PluginId, streams: usize) {
        debug_assert!(streams > 0, "a plugin without streams is unloaded at once");
        // It may have waited before, been loaded again, and be unloaded again: all of its streams are counted now.
        self.0.retain(|(of, _)| *of != plugin);
        self.0.push((plugin, streams));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes that a stream over a plugin is over; returns the plugin if it was the last.
    pub(super) fn release(&mut self, plugin: PluginId) -> Option<PluginId> {
        let (index, (_, streams)) = self.0.iter_mut().enumerate().find(|(_, (of, _))| *of == plugin)?;
        *streams = streams.saturating_sub(1);
        (*streams == 0).then(|| self.0.swap_remove(index).0)
    }
}
