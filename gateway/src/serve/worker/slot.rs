//! The place where the connections of a post find the listener that their requests come to.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::serve::seats::State;
use crate::serve::worker::context::Context;
use crate::serve::worker::drain::{Closing, Ending};
use crate::serve::worker::generation::Stay;
use crate::serve::worker::listener::ListenerState;

/// Where the connections of a post find the listener that their requests come to.
pub(super) struct Slot {
    state: RefCell<Rc<ListenerState>>,
    /// Tells each connection to end.
    closing: Closing,
}

impl Slot {
    pub(super) fn new(state: Rc<ListenerState>, context: &Context) -> Rc<Self> {
        Rc::new(Self { state: RefCell::new(state), closing: context.ends.add() })
    }

    /// Has requests meet the listener of another generation from now on.
    pub(super) fn renew(&self, state: Rc<ListenerState>) {
        self.state.replace(state);
    }

    /// Returns the end of the listener.
    pub(super) fn closing(&self) -> &Closing {
        &self.closing
    }

    /// Returns the listener of the current generation.
    #[inline]
    pub(super) fn state(&self) -> Rc<ListenerState> {
        Rc::clone(&self.state.borrow())
    }

    /// Begins a request or stream: it belongs to the current generation. To be called at once before its stream is opened, since the
    /// plugins of a generation may end as soon as it is an old one without streams.
    #[inline]
    pub(super) fn stay(&self) -> Stay {
        Stay::begin(self.state())
    }

    /// Returns the end of the listener as a connection sees it.
    pub(super) fn ending(&self, standing: &Arc<State>) -> Ending {
        self.closing.of(standing)
    }
}
