//! Who changes the length of a body.

use portcullis_core::Direction;

use crate::id::{PluginId, StreamId};
use crate::stream::http::HttpStream;
use crate::stream::http::gate::Item;
use crate::worker::Worker;

impl HttpStream {
    /// Counts body bytes that come to a plugin, or leave the chain.
    pub(crate) fn count(&mut self, direction: Direction, plugin: Option<usize>, item: &Item) {
        let Item::Data { body, .. } = item else { return };
        let counts = match plugin {
            None => Some(&mut self.left),
            Some(index) => self.plugins.get_mut(index).map(|plugin| &mut plugin.entered),
        };
        if let Some(count) = counts.map(|counts| of(counts, direction)) {
            *count += body.len() as u64;
        }
    }
}

impl Worker {
    /// Names the plugins of a stream that have made a body of a direction longer or shorter than it came to them. Names all
    /// of them if none has: then one of them has changed what the headers say of the length.
    pub fn resized(&mut self, stream: StreamId, direction: Direction) -> Vec<String> {
        let Some(state) = self.streams.get_mut(stream) else { return Vec::new() };
        let mut resized = Vec::new();
        let mut after = *of(&mut state.left, direction);
        for position in (0..state.plugins.len()).rev() {
            let index = state.index(direction, position);
            let Some(plugin) = index.and_then(|index| state.plugins.get_mut(index)) else { continue };
            let came = *of(&mut plugin.entered, direction);
            let lent = self.sandboxes.vms.get_mut(plugin.vm).zip(plugin.context);
            let lent = lent.and_then(|(sandbox, context)| sandbox.vm.stream(context));
            let held = lent.map_or(0, |lent| lent.body_len(direction) as u64);
            if came != after.saturating_add(held) {
                resized.push(plugin.plugin);
            }
            after = came.saturating_add(plugin.stage_ref(direction).unseen.len() as u64);
        }
        if resized.is_empty() {
            resized.extend(state.plugins.iter().map(|plugin| plugin.plugin));
        }
        let name =
            |plugin: PluginId| self.sandboxes.plugins.get(plugin.index()).map(|loaded| loaded.plugin.name.clone());
        resized.into_iter().filter_map(name).collect()
    }
}

fn of(counts: &mut [u64; 2], direction: Direction) -> &mut u64 {
    let [request, response] = counts;
    match direction {
        Direction::Request => request,
        Direction::Response => response,
    }
}
