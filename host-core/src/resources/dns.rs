//! Names that guests have looked up (host: Envoy's `envoy_resolve_dns`, which the ABI does not have).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::resources::in_flight::{Held, InFlight, Owner};

/// The id of a lookup, unique among those in flight of its VM; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u32);

/// The most bytes of a name (RFC 1035, section 2.3.4: 255 with its lengths and root, which are 253 of text).
pub(crate) const MAX_NAME: usize = 253;

/// For how many seconds an answer holds.
///
/// differs: no TTL is known of what the operating system looks up; this is what Envoy says then.
const TTL: u32 = 60;

/// Lookups in flight.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    last: u32,
    live: HashMap<LookupId, (Owner, Held)>,
    pub(crate) in_flight: Arc<InFlight>,
}

impl Lookups {
    /// Notes one; `None` when there are too many.
    pub(crate) fn open(&mut self, owner: Owner, limits: &Limits) -> Option<LookupId> {
        let held = self.in_flight.take((1, limits.callouts), (0, 0))?;
        loop {
            self.last = self.last.wrapping_add(1);
            let id = LookupId(self.last);
            if let Entry::Vacant(free) = self.live.entry(id)
                && id.0 != 0
            {
                free.insert((owner, held));
                return Some(id);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Returns the owner of one.
    pub(crate) fn owner(&self, id: LookupId) -> Option<Owner> {
        self.live.get(&id).map(|(owner, _)| *owner)
    }

    /// Ends all of a root, in the order of their ids.
    pub(crate) fn close_all(&mut self, root: ContextId) -> Vec<LookupId> {
        let mut ended: Vec<_> = self.live.extract_if(|_, (owner, _)| owner.root == root).map(|(id, _)| id).collect();
        ended.sort_unstable();
        ended
    }

    /// Ends one; says whose it was.
    pub(crate) fn close(&mut self, id: LookupId) -> Option<Owner> {
        self.live.remove(&id).map(|(owner, _)| owner)
    }
}

/// Addresses as Envoy writes them: their number, a TTL of each, and each with port 0 and a NUL. Nothing if there are none.
pub(crate) fn answer(addresses: &[IpAddr]) -> Bytes {
    let Some(count) = u32::try_from(addresses.len()).ok().filter(|count| *count > 0) else { return Bytes::new() };
    let mut answer = count.to_le_bytes().to_vec();
    for _ in addresses {
        answer.extend(TTL.to_le_bytes());
    }
    for address in addresses {
        answer.extend(SocketAddr::new(*address, 0).to_string().into_bytes());
        answer.push(0);
    }
    answer.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::context::ContextId;
    use crate::resources::in_flight::OnAccountOf;

    const OWNER: Owner = Owner { root: ContextId::VM, account: OnAccountOf { number: 7, context: ContextId::VM } };

    #[test]
    fn ids_are_not_given_twice() {
        let (mut lookups, limits) = (Lookups::default(), Limits { callouts: 2, ..Limits::default() });
        assert_eq!(lookups.open(OWNER, &limits), Some(LookupId(1)));
        lookups.last = u32::MAX;
        assert_eq!(lookups.open(OWNER, &limits), Some(LookupId(2)), "neither 0 nor 1");
        assert_eq!(lookups.open(OWNER, &limits), None, "too many");
        assert_eq!(lookups.close(LookupId(1)), Some(OWNER));
        assert_eq!(lookups.close(LookupId(1)), None);
    }

    #[test]
    fn an_answer_is_written_as_envoy_does() {
        assert_eq!(answer(&[]), Bytes::new());
        let addresses = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1])];
        let expected = b"\x02\0\0\0\x3c\0\0\0\x3c\0\0\x00192.0.2.1:0\0[::1]:0\0";
        assert_eq!(answer(&addresses), &expected[..]);
    }
}
