//! The stack of threads that run guests.

use portcullis::PluginSpec;
use portcullis::model::Limits;

/// Returns the bytes of stack that a thread needs which runs these plugins, and any with default limits: the stack of the guests, and twice
/// as much for the host that they call.
pub fn size<'a>(plugins: impl Iterator<Item = &'a PluginSpec>) -> usize {
    const HOST: usize = 1 << 20;
    // A thread that starts without plugins may get some by a reload.
    let least = Limits::default().stack;
    HOST + 3 * plugins.map(|plugin| plugin.vm.limits.stack).fold(least, usize::max)
}
