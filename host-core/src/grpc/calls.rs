use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::GrpcId;
use crate::context::ContextId;
use crate::limits::Limits;

/// gRPC calls and streams in flight.
#[derive(Debug, Default)]
pub(crate) struct GrpcCalls {
    last: [u32; 2],
    live: HashMap<GrpcId, Live>,
    /// Bytes that wait for the embedder.
    queued: usize,
}

#[derive(Debug)]
struct Live {
    root: ContextId,
    half_closed: bool,
}

/// Whether a stream takes more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    HalfClosed,
}

impl GrpcCalls {
    /// Notes one that sends so many bytes; `None` when there are too many or they are too large.
    pub(crate) fn open(&mut self, root: ContextId, stream: bool, bytes: usize, limits: &Limits) -> Option<GrpcId> {
        if self.live.len() >= limits.callouts || !self.queue(bytes, limits) {
            return None;
        }
        let last = if stream { &mut self.last[1] } else { &mut self.last[0] };
        loop {
            *last = last.wrapping_add(4);
            let id = GrpcId(last.wrapping_add(if stream { 2 } else { 1 }));
            if let Entry::Vacant(free) = self.live.entry(id) {
                free.insert(Live { root, half_closed: !stream });
                return Some(id);
            }
        }
    }

    /// Notes bytes that wait for the embedder; says whether there is room.
    pub(crate) fn queue(&mut self, bytes: usize, limits: &Limits) -> bool {
        let queued = self.queued.saturating_add(bytes);
        let fits = queued <= limits.buffer;
        if fits {
            self.queued = queued;
        }
        fits
    }

    /// The embedder has taken bytes.
    pub(crate) fn taken(&mut self, bytes: usize) {
        self.queued = self.queued.saturating_sub(bytes);
    }

    /// Whose one is.
    pub(crate) fn root(&self, id: GrpcId) -> Option<ContextId> {
        self.live.get(&id).map(|live| live.root)
    }

    /// Whether messages may be sent; `None` if it is not in flight.
    pub(crate) fn sending(&self, id: GrpcId) -> Option<Sending> {
        let live = self.live.get(&id)?;
        Some(if live.half_closed { Sending::HalfClosed } else { Sending::Open })
    }

    /// No message follows.
    pub(crate) fn half_close(&mut self, id: GrpcId) {
        if let Some(live) = self.live.get_mut(&id) {
            live.half_closed = true;
        }
    }

    /// Ends one; says whose it was.
    pub(crate) fn close(&mut self, id: GrpcId) -> Option<ContextId> {
        self.live.remove(&id).map(|live| live.root)
    }

    /// Ends all of a root, in the order of their ids.
    pub(crate) fn close_all(&mut self, root: ContextId) -> Vec<GrpcId> {
        let mut ended: Vec<_> = self.live.iter().filter(|(_, live)| live.root == root).map(|(id, _)| *id).collect();
        ended.sort_unstable();
        self.live.retain(|_, live| live.root != root);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_they_are_and_are_not_given_twice() {
        let (mut calls, limits) = (GrpcCalls::default(), Limits { callouts: 3, buffer: 10, ..Limits::default() });
        let root = ContextId::VM;
        assert_eq!(calls.open(root, false, 10, &limits), Some(GrpcId(5)));
        assert_eq!(calls.open(root, true, 1, &limits), None, "too large");
        calls.taken(10);
        assert_eq!(calls.open(root, true, 1, &limits), Some(GrpcId(6)));
        assert_eq!(
            (calls.sending(GrpcId(5)), calls.sending(GrpcId(6))),
            (Some(Sending::HalfClosed), Some(Sending::Open))
        );
        calls.last = [u32::MAX - 3, 0];
        assert_eq!(calls.open(root, false, 0, &limits), Some(GrpcId(1)));
        assert_eq!(calls.open(root, false, 0, &limits), None, "too many");
        assert_eq!((calls.close(GrpcId(1)), calls.close(GrpcId(1))), (Some(root), None));
        assert_eq!(calls.open(root, false, 0, &limits), Some(GrpcId(9)), "5 is in flight");
        assert_eq!(calls.close_all(root), [GrpcId(5), GrpcId(6), GrpcId(9)]);
    }
}
