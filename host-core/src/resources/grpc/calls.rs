use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::GrpcId;
use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::resources::in_flight::{Held, InFlight, Owner};
use crate::rights::rate::Permit;
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// The cost of a message besides its bytes, so that empty ones are not free.
const MESSAGE_COST: usize = 256;

/// gRPC calls and streams in flight.
#[derive(Debug, Default)]
pub(crate) struct GrpcCalls {
    last: [u32; 2],
    live: HashMap<GrpcId, Live>,
    /// How many there are, and the bytes of their heads, and of messages that somebody still holds.
    pub(crate) in_flight: Arc<InFlight>,
}

#[derive(Debug)]
struct Live {
    owner: Owner,
    half_closed: bool,
    _held: Held,
    _charge: Charge,
    /// Its place among those that the plugin may have in flight.
    place: Option<Permit>,
    /// The guest has given it up, and the embedder has not taken note. It counts until then, or a guest that opens and
    /// gives up could queue without end.
    cancelled: bool,
}

/// A message that has been charged, and is until nobody holds it.
struct Charged {
    message: Box<[u8]>,
    _held: Held,
    _charge: Charge,
}

/// A limit that a call or message would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// A limit of the VM: [`Limits::callouts`] or [`Limits::buffer`].
    InVm,
    /// The limit of the sandbox: [`Limits::buffers`].
    InBudget,
}

/// Whether a stream takes more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Open,
    HalfClosed,
}

impl GrpcCalls {
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Notes one whose head has `head` bytes.
    ///
    /// # Errors
    /// The calls in flight are too many, or too large.
    pub(crate) fn open(
        &mut self,
        owner: Owner,
        stream: bool,
        head: usize,
        place: Option<Permit>,
        buffers: &Arc<ByteBudget>,
        limits: &Limits,
    ) -> Result<GrpcId, NoRoom> {
        let charge = buffers.take(head.saturating_add(Limits::ENTRY_COST)).ok_or(NoRoom::InBudget)?;
        let held = self.in_flight.take((1, limits.callouts), (head, limits.buffer)).ok_or(NoRoom::InVm)?;
        let last = if stream { &mut self.last[1] } else { &mut self.last[0] };
        loop {
            *last = last.wrapping_add(4);
            let id = GrpcId(last.wrapping_add(if stream { 2 } else { 1 }));
            if let Entry::Vacant(free) = self.live.entry(id) {
                free.insert(Live {
                    owner,
                    half_closed: !stream,
                    _held: held,
                    _charge: charge,
                    place,
                    cancelled: false,
                });
                return Ok(id);
            }
        }
    }

    /// Takes a message to be sent, which counts until it has been.
    ///
    /// # Errors
    /// No room is left for the message.
    pub(crate) fn message(&self, message: &[u8], buffers: &Arc<ByteBudget>, limits: &Limits) -> Result<Bytes, NoRoom> {
        let cost = message.len().saturating_add(MESSAGE_COST);
        let charge = buffers.take(cost).ok_or(NoRoom::InBudget)?;
        let held = self.in_flight.take((0, usize::MAX), (cost, limits.buffer)).ok_or(NoRoom::InVm)?;
        Ok(Bytes::from_owner(Charged { message: message.into(), _held: held, _charge: charge }))
    }

    /// Gives back the places that they take of what the plugin may have in flight.
    pub(crate) fn free_places(&mut self) {
        self.live.values_mut().for_each(|live| live.place = None);
    }

    /// Returns the owner of one.
    pub(crate) fn owner(&self, id: GrpcId) -> Option<Owner> {
        self.get(id).map(|live| live.owner)
    }

    /// Returns whether one counts.
    pub(crate) fn contains(&self, id: GrpcId) -> bool {
        self.live.contains_key(&id)
    }

    /// Returns whether messages may be sent; `None` if it is not in flight.
    pub(crate) fn sending(&self, id: GrpcId) -> Option<Sending> {
        let live = self.get(id)?;
        Some(if live.half_closed { Sending::HalfClosed } else { Sending::Open })
    }

    /// Notes that no message follows.
    pub(crate) fn half_close(&mut self, id: GrpcId) {
        if let Some(live) = self.live.get_mut(&id) {
            live.half_closed = true;
        }
    }

    /// Notes that the guest gives one up.
    pub(crate) fn cancel(&mut self, id: GrpcId) {
        if let Some(live) = self.live.get_mut(&id) {
            live.cancelled = true;
        }
    }

    /// Ends one; says whose it was, unless that had given it up.
    pub(crate) fn close(&mut self, id: GrpcId) -> Option<Owner> {
        let live = self.live.remove(&id)?;
        (!live.cancelled).then_some(live.owner)
    }

    /// Gives up all of a root, in the order of their ids.
    pub(crate) fn cancel_all(&mut self, root: ContextId) -> Vec<GrpcId> {
        let of_root = self.live.iter_mut().filter(|(_, live)| live.owner.root == root && !live.cancelled);
        let mut ended: Vec<_> = of_root
            .map(|(id, live)| {
                live.cancelled = true;
                *id
            })
            .collect();
        ended.sort_unstable();
        ended
    }

    fn get(&self, id: GrpcId) -> Option<&Live> {
        self.live.get(&id).filter(|live| !live.cancelled)
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.message
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::resources::in_flight::OnAccountOf;

    const ROOT: ContextId = ContextId::VM;
    const OWNER: Owner = Owner { root: ROOT, account: OnAccountOf { number: 7, context: ContextId::VM } };

    fn buffers() -> Arc<ByteBudget> {
        ByteBudget::new(1 << 20)
    }

    #[test]
    fn ids_say_what_they_are_and_are_not_given_twice() {
        let (mut calls, limits) = (GrpcCalls::default(), Limits { callouts: 3, ..Limits::default() });
        assert_eq!(calls.open(OWNER, false, 0, None, &buffers(), &limits), Ok(GrpcId(5)));
        assert_eq!(calls.open(OWNER, true, 0, None, &buffers(), &limits), Ok(GrpcId(6)));
        assert_eq!(
            (calls.sending(GrpcId(5)), calls.sending(GrpcId(6))),
            (Some(Sending::HalfClosed), Some(Sending::Open))
        );
        calls.last = [u32::MAX - 3, 0];
        assert_eq!(calls.open(OWNER, false, 0, None, &buffers(), &limits), Ok(GrpcId(1)));
        assert_eq!(calls.open(OWNER, false, 0, None, &buffers(), &limits), Err(NoRoom::InVm), "too many");
        assert_eq!((calls.close(GrpcId(1)), calls.close(GrpcId(1))), (Some(OWNER), None));
        assert_eq!(calls.open(OWNER, false, 0, None, &buffers(), &limits), Ok(GrpcId(9)), "5 is in flight");
        assert_eq!(calls.cancel_all(ROOT), [GrpcId(5), GrpcId(6), GrpcId(9)]);
    }

    #[test]
    fn what_is_given_up_counts_until_the_embedder_knows() {
        let (mut calls, limits) = (GrpcCalls::default(), Limits { callouts: 1, ..Limits::default() });
        let id = calls.open(OWNER, true, 10, None, &buffers(), &limits).unwrap();
        calls.cancel(id);
        assert_eq!((calls.owner(id), calls.sending(id), calls.cancel_all(ROOT)), (None, None, vec![]));
        assert_eq!(calls.open(OWNER, true, 10, None, &buffers(), &limits), Err(NoRoom::InVm));
        assert_eq!(calls.close(id), None);
        assert!(calls.open(OWNER, true, 10, None, &buffers(), &limits).is_ok());
    }

    #[test]
    fn a_refusal_says_which_limit_there_is_no_room_in() {
        let (mut calls, limits, full) = (GrpcCalls::default(), Limits::default(), ByteBudget::new(0));
        assert_eq!(calls.open(OWNER, true, 0, None, &full, &limits), Err(NoRoom::InBudget));
        assert_eq!(calls.message(b"", &full, &limits), Err(NoRoom::InBudget));
    }

    #[test]
    fn a_message_counts_as_long_as_somebody_holds_it() {
        let (mut calls, limits) = (GrpcCalls::default(), Limits { buffer: 2 * MESSAGE_COST + 5, ..Limits::default() });
        let buffers = buffers();
        let (empty, hello) =
            (calls.message(b"", &buffers, &limits).unwrap(), calls.message(b"hello", &buffers, &limits).unwrap());
        assert_eq!((&empty[..], &hello[..]), (&b""[..], &b"hello"[..]));
        assert_eq!(
            (calls.message(b"", &buffers, &limits), calls.open(OWNER, true, 1, None, &buffers, &limits)),
            (Err(NoRoom::InVm), Err(NoRoom::InVm))
        );
        let part = hello.slice(1..2);
        drop((empty, hello));
        assert_eq!(calls.message(b"12345", &buffers, &limits), Err(NoRoom::InVm), "a part holds all");
        drop(part);
        assert_eq!(buffers.taken(), 0, "all of it is given back to the sandbox, too");
        assert_eq!(calls.open(OWNER, true, limits.buffer - MESSAGE_COST, None, &buffers, &limits), Ok(GrpcId(6)));
        assert!(calls.message(b"", &buffers, &limits).is_ok() && calls.message(b"1", &buffers, &limits).is_err());
    }
}
