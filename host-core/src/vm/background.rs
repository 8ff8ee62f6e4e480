//! Callbacks that no stream waits for, and for whom they would run.

use super::Vm;
use crate::model::action::CallId;
use crate::model::context::ContextId;
use crate::resources::dns::LookupId;
use crate::resources::grpc::GrpcId;
use crate::resources::shared::Rank;

/// Something in flight whose answer a root is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pending {
    /// An HTTP callout.
    Http(CallId),
    /// A gRPC call or stream.
    Grpc(GrpcId),
    /// A lookup of a name.
    Lookup(LookupId),
}

/// The contexts that an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recipient {
    /// The root that is told of it.
    pub root: ContextId,
    /// The stream on whose account it was asked for, if that is there still.
    pub stream: Option<ContextId>,
}

impl Vm {
    /// Returns the root that is told of an answer, and the stream on whose account it asked, if that is there still. Which one that is
    /// the plugin has said: whether the stream waits is for the host to know. `None` if nothing of this id is in flight.
    pub fn told_of(&mut self, pending: Pending) -> Option<Recipient> {
        let state = self.state();
        let owner = match pending {
            Pending::Http(call) => state.calls.owner(call),
            Pending::Grpc(call) => state.grpc.owner(call),
            Pending::Lookup(lookup) => state.lookups.owner(lookup),
        }?;
        Some(Recipient { root: owner.root, stream: state.stream_of(owner) })
    }

    /// Forgets something in flight that the embedder gives up, and whose end the guest is not told.
    pub fn forget(&mut self, pending: Pending) {
        let state = self.state();
        match pending {
            Pending::Http(call) => drop(state.calls.close(call)),
            Pending::Grpc(call) => drop(state.grpc.close(call)),
            Pending::Lookup(lookup) => drop(state.lookups.close(lookup)),
        }
    }

    /// Returns the root that [`Vm::on_queue_ready`] tells next, if there is something to tell.
    pub fn told_of_queue(&mut self) -> Option<ContextId> {
        self.state().inbox.next()
    }

    /// Has other VMs told of items in queues that they have registered as well, from now on, and of those that this one has not been told of
    /// yet. To be called when another VM has taken the place of this one, or it has failed; a VM that is dropped does so by itself. It is
    /// told again if no other one is there, and if it has failed, after any other.
    pub fn retire_queues(&mut self) {
        let rank = if self.failure.is_some() { Rank::Failed } else { Rank::Drains };
        let state = self.state();
        state.store.retire(&state.inbox, rank);
    }

    /// Has others told, from now on, of items that [`Vm::on_queue_ready`] would tell the next root of: nobody is there to be told.
    pub fn skip_queue(&mut self) {
        let state = self.state();
        if let Some(root) = state.inbox.next() {
            state.forget_queues(root);
        }
    }
}
