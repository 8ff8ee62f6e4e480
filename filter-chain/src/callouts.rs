//! Callouts in flight: HTTP and gRPC callouts and lookups of names, each with the VM that waits for it.

use std::collections::{BTreeSet, HashMap};

use portcullis_core::resources::GrpcId;
use portcullis_core::vm::Pending;

use crate::arena::Stale;
use crate::id::{AnyStreamId, CalloutId, VmId};

/// All callouts of a worker that are in flight.
#[derive(Debug)]
pub(crate) struct Callouts {
    last: CalloutId,
    in_flight: HashMap<CalloutId, InFlight>,
    /// The callouts that end with a stream, by the stream.
    with_streams: HashMap<AnyStreamId, Vec<CalloutId>>,
    /// The same by VM, as its guests name them.
    of_vms: HashMap<VmId, OfVm>,
    grpc: HashMap<(VmId, GrpcId), CalloutId>,
    stale: Stale,
}

/// A callout in flight.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    vm: VmId,
    pending: Pending,
    /// The stream that it ends with.
    ends_with: Option<AnyStreamId>,
}

/// The callouts of one VM.
#[derive(Debug, Default)]
struct OfVm {
    ids: BTreeSet<CalloutId>,
    /// How many of them end by themselves.
    pending: usize,
}

impl Default for Callouts {
    fn default() -> Self {
        Self {
            last: CalloutId::NONE,
            in_flight: HashMap::new(),
            with_streams: HashMap::new(),
            of_vms: HashMap::new(),
            grpc: HashMap::new(),
            stale: Stale::default(),
        }
    }
}

impl Callouts {
    /// Notes that a callout of a VM begins, which ends with a stream, or with none; returns its id.
    pub(crate) fn begin(&mut self, vm: VmId, pending: Pending, ends_with: Option<AnyStreamId>) -> CalloutId {
        self.last = self.last.next();
        self.in_flight.insert(self.last, InFlight { vm, pending, ends_with });
        if let Some(stream) = ends_with {
            self.with_streams.entry(stream).or_default().push(self.last);
        }
        let of_vm = self.of_vms.entry(vm).or_default();
        of_vm.ids.insert(self.last);
        of_vm.pending += usize::from(ends_by_itself(pending));
        if let Pending::Grpc(call) = pending {
            self.grpc.insert((vm, call), self.last);
        }
        self.last
    }

    /// Returns the VM that waits for a callout, and its name there; `None` if it is not in flight.
    pub(crate) fn get(&self, id: CalloutId) -> Option<(VmId, Pending)> {
        let found = self.in_flight.get(&id).map(|callout| (callout.vm, callout.pending));
        if found.is_none() {
            self.stale.note();
        }
        found
    }

    /// Returns how often the id of a callout was used that had ended or was cancelled, in debug builds.
    pub(crate) fn stale(&self) -> u64 {
        self.stale.count()
    }

    /// Notes that a callout has ended, or is given up; returns the VM that waited for it, and its name there.
    pub(crate) fn end(&mut self, id: CalloutId) -> Option<(VmId, Pending)> {
        let InFlight { vm, pending, ends_with } = self.in_flight.remove(&id)?;
        if let Some(stream) = ends_with
            && let Some(ids) = self.with_streams.get_mut(&stream)
        {
            ids.retain(|of| *of != id);
            if ids.is_empty() {
                self.with_streams.remove(&stream);
            }
        }
        debug_assert!(self.of_vms.contains_key(&vm), "a callout is in both maps or in none");
        if let Some(of_vm) = self.of_vms.get_mut(&vm) {
            debug_assert!(of_vm.ids.contains(&id), "a callout is in both maps or in none");
            of_vm.ids.remove(&id);
            of_vm.pending -= usize::from(ends_by_itself(pending));
            if of_vm.ids.is_empty() {
                self.of_vms.remove(&vm);
            }
        }
        if let Pending::Grpc(call) = pending {
            self.grpc.remove(&(vm, call));
        }
        Some((vm, pending))
    }

    /// Returns the id of a gRPC callout of a VM that is in flight.
    pub(crate) fn of_grpc(&self, vm: VmId, call: GrpcId) -> Option<CalloutId> {
        self.grpc.get(&(vm, call)).copied()
    }

    /// Returns the id of a callout of a VM that is in flight, by its name there.
    pub(crate) fn find(&self, vm: VmId, pending: Pending) -> Option<CalloutId> {
        if let Pending::Grpc(call) = pending {
            return self.of_grpc(vm, call);
        }
        let mut ids = self.of_vms.get(&vm)?.ids.iter().copied();
        ids.find(|id| self.in_flight.get(id).is_some_and(|callout| callout.pending == pending))
    }

    /// Returns the callouts that end with a stream, the oldest first.
    pub(crate) fn with_stream(&self, stream: AnyStreamId) -> Vec<CalloutId> {
        if self.with_streams.is_empty() {
            return Vec::new();
        }
        self.with_streams.get(&stream).cloned().unwrap_or_default()
    }

    /// Returns the callouts that a VM has in flight, the oldest first.
    pub(crate) fn of_vm(&self, vm: VmId) -> Vec<CalloutId> {
        self.of_vms.get(&vm).into_iter().flat_map(|of_vm| &of_vm.ids).copied().collect()
    }

    /// Returns how many callouts there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.with_streams.len().max(self.in_flight.len()).max(self.of_vms.len()).max(self.grpc.len())
    }

    /// Returns how many callouts a VM has in flight that end by themselves.
    pub(crate) fn pending(&self, vm: VmId) -> usize {
        self.of_vms.get(&vm).map_or(0, |of_vm| of_vm.pending)
    }
}

/// A gRPC stream may last for ever.
fn ends_by_itself(pending: Pending) -> bool {
    !matches!(pending, Pending::Grpc(call) if !call.is_call())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ConnectionId, Key, Slot, StreamId};
    use portcullis_core::model::CallId;

    const CALL: Pending = Pending::Grpc(GrpcId(1));
    const STREAM: Pending = Pending::Grpc(GrpcId(2));

    #[test]
    fn each_callout_counts_for_its_vm_until_it_ends_and_a_grpc_stream_never_does() {
        let (vm, other) = (VmId::NONE.next(), VmId::LAST);
        let mut callouts = Callouts::default();
        let ids = [Pending::Http(CallId(1)), CALL, STREAM].map(|pending| callouts.begin(vm, pending, None));
        let same = callouts.begin(other, CALL, None);
        assert_eq!((callouts.pending(vm), callouts.pending(other)), (2, 1));
        assert_eq!((callouts.of_grpc(vm, GrpcId(1)), callouts.of_grpc(other, GrpcId(1))), (Some(ids[1]), Some(same)));
        let http = Pending::Http(CallId(1));
        assert_eq!((callouts.find(vm, http), callouts.find(vm, STREAM)), (Some(ids[0]), Some(ids[2])));
        assert_eq!((callouts.find(other, http), callouts.find(vm, Pending::Http(CallId(2)))), (None, None));
        assert_eq!(callouts.of_vm(vm), ids);
        assert_eq!(callouts.end(ids[1]), Some((vm, CALL)));
        assert_eq!((callouts.end(ids[1]), callouts.get(ids[1]), callouts.of_grpc(vm, GrpcId(1))), (None, None, None));
        callouts.end(ids[0]);
        assert_eq!((callouts.pending(vm), callouts.of_vm(vm)), (0, vec![ids[2]]));
        callouts.end(ids[2]);
        callouts.end(same);
        assert!(callouts.in_flight.is_empty() && callouts.of_vms.is_empty() && callouts.grpc.is_empty());
    }

    #[test]
    fn a_callout_that_ends_with_a_stream_is_found_by_it_until_it_ends() {
        let (mut callouts, slot) = (Callouts::default(), Slot { index: 0, generation: 1 });
        let (stream, other) = (AnyStreamId::Http(StreamId::of(slot)), AnyStreamId::Tcp(ConnectionId::of(slot)));
        let calls = [1, 2].map(|id| callouts.begin(VmId::LAST, Pending::Http(CallId(id)), Some(stream)));
        let alone = callouts.begin(VmId::LAST, CALL, None);
        assert_eq!((callouts.with_stream(stream), callouts.with_stream(other)), (calls.to_vec(), vec![]));
        callouts.end(calls[0]);
        assert_eq!(callouts.with_stream(stream), [calls[1]]);
        callouts.end(calls[1]);
        callouts.end(alone);
        assert!(callouts.with_streams.is_empty() && callouts.with_stream(stream).is_empty());
    }
}
