//! The stack of threads that run guests.

use portcullis::PluginSpec;

/// Returns the bytes of stack that a thread needs which runs these plugins: the stack of the guests, and twice as much for the host that
/// they call.
pub fn size<'a>(plugins: impl Iterator<Item = &'a PluginSpec>) -> usize {
    const HOST: usize = 1 << 20;
    HOST + 3 * plugins.map(|plugin| plugin.vm.limits.stack).max().unwrap_or_default()
}
