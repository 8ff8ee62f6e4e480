//! The state of one HTTP stream in a chain.

pub(crate) mod flow;
pub(crate) mod gate;
pub(crate) mod reply;
mod sizes;

use std::collections::VecDeque;

use portcullis_core::{ContextId, Direction, SharedStreamInfo, lock};

use crate::effect::StreamEffect;
use crate::id::{PluginId, VmId};
use crate::stream::http::gate::{Item, Mode, Overflow, Stage};

/// One HTTP stream. Plugins stand in the order of the chain; a *position* is a place in the order
/// of a direction, which for responses is the reverse.
#[derive(Debug)]
pub(crate) struct HttpStream {
    pub(crate) info: SharedStreamInfo,
    pub(crate) plugins: Vec<StreamPlugin>,
    pub(crate) effects: VecDeque<StreamEffect>,
    /// How much one direction may hold in bytes.
    pub(crate) limit: usize,
    pub(crate) request: Progress,
    pub(crate) response: Progress,
    pub(crate) head_request: bool,
    pub(crate) grpc_request: bool,
    /// The response is a plugin's or the proxy's own.
    pub(crate) local_response: bool,
    /// The driver has been told that the request no longer matters.
    pub(crate) request_dropped: bool,
    /// Body bytes that have left each direction.
    pub(crate) left: [u64; 2],
}

/// One plugin in a stream.
#[derive(Debug)]
pub(crate) struct StreamPlugin {
    pub(crate) plugin: PluginId,
    /// A VM that was started again has another; none if the plugin has one for each stream and this one has none yet.
    pub(crate) vm: Option<VmId>,
    pub(crate) context: Option<ContextId>,
    pub(crate) stages: [Stage; 2],
    /// Body bytes that have come to it in each direction.
    pub(crate) entered: [u64; 2],
}

/// How far a direction has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Its headers have entered the chain.
    pub(crate) begun: bool,
    /// Its headers have left the chain.
    pub(crate) headers_out: bool,
    /// Nothing of it matters any more.
    pub(crate) done: bool,
}

impl HttpStream {
    pub(crate) fn progress(&mut self, direction: Direction) -> &mut Progress {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    /// The plugin at a position of a direction.
    pub(crate) fn index(&self, direction: Direction, position: usize) -> Option<usize> {
        match direction {
            Direction::Request => Some(position).filter(|index| *index < self.plugins.len()),
            Direction::Response => self.plugins.len().checked_sub(position + 1),
        }
    }

    /// The position of a plugin in a direction.
    pub(crate) fn position(&self, direction: Direction, index: usize) -> usize {
        match direction {
            Direction::Request => index,
            Direction::Response => self.plugins.len() - 1 - index,
        }
    }

    pub(crate) fn stage(&mut self, direction: Direction, index: usize) -> Option<&mut Stage> {
        Some(self.plugins.get_mut(index)?.stage(direction))
    }

    /// Whether bytes are read without regard to the limit: they pass, or fail the stream if they
    /// are too many.
    pub(crate) fn reads_on(&self, direction: Direction) -> bool {
        // They come to the first plugin that holds anything back, and no further.
        let plugins = (0..self.plugins.len()).filter_map(|position| self.plugins.get(self.index(direction, position)?));
        let mut stages = plugins.map(|plugin| plugin.stage_ref(direction));
        stages.find(|stage| stage.mode != Mode::Open).is_none_or(|stage| stage.overflow == Overflow::Fail)
    }

    /// An item is dropped; the log still shows the headers of a request that got no further.
    pub(crate) fn note_dropped(&self, direction: Direction, item: Item) {
        if let (Direction::Request, Item::Headers { headers, .. }) = (direction, item) {
            lock(&self.info).request_headers.get_or_insert(headers);
        }
    }
}

impl StreamPlugin {
    pub(crate) fn stage(&mut self, direction: Direction) -> &mut Stage {
        let [request, response] = &mut self.stages;
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }

    pub(crate) fn stage_ref(&self, direction: Direction) -> &Stage {
        let [request, response] = &self.stages;
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }
}
