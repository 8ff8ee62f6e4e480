//! The state of one HTTP stream in a chain.

use std::collections::VecDeque;

use portcullis_core::{ContextId, Direction, SharedStreamInfo};

use crate::effect::StreamEffect;
use crate::stage::Stage;

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
}

/// One plugin in a stream.
#[derive(Debug)]
pub(crate) struct StreamPlugin {
    /// Index among the worker's plugins.
    pub(crate) plugin: usize,
    /// Index among the worker's VMs; a restarted VM has another.
    pub(crate) vm: usize,
    pub(crate) context: Option<ContextId>,
    pub(crate) stages: [Stage; 2],
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
