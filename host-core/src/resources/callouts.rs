use std::collections::HashMap;
use std::sync::Arc;

use crate::model::action::CallId;
use crate::model::context::ContextId;
use crate::model::limits::Limits;
use crate::resources::in_flight::{Held, InFlight, Owner};
use crate::rights::rate::Permit;
use crate::sandbox::byte_budget::Charge;

/// HTTP callouts in flight.
#[derive(Debug, Default)]
pub(crate) struct Callouts {
    next: u32,
    live: HashMap<CallId, Callout>,
    pub(crate) in_flight: Arc<InFlight>,
}

/// One of them.
#[derive(Debug)]
struct Callout {
    owner: Owner,
    _held: Held,
    _charge: Charge,
    /// Its place among those that the plugin may have in flight.
    place: Option<Permit>,
}

impl Callouts {
    /// Notes a callout of so many bytes, which has been charged; `None` when there are too many or they are too large.
    pub(crate) fn open(
        &mut self,
        owner: Owner,
        bytes: usize,
        place: Option<Permit>,
        charge: Charge,
        limits: &Limits,
    ) -> Option<CallId> {
        let held = self.in_flight.take((1, limits.callouts), (bytes, limits.buffer))?;
        loop {
            // Ids of HTTP callouts are multiples of 4, as in deployed hosts; 0 is never one.
            self.next = self.next.wrapping_add(4);
            let id = CallId(self.next);
            if self.next != 0 && !self.live.contains_key(&id) {
                self.live.insert(id, Callout { owner, _held: held, _charge: charge, place });
                return Some(id);
            }
        }
    }

    /// Gives the places back that callouts take of what the plugin may have in flight: the VM has failed, and they
    /// belong to the plugin's other VMs now.
    pub(crate) fn free_places(&mut self) {
        self.live.values_mut().for_each(|callout| callout.place = None);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Returns the owner of one.
    pub(crate) fn owner(&self, id: CallId) -> Option<Owner> {
        self.live.get(&id).map(|callout| callout.owner)
    }

    /// Ends all of a root, in the order of their ids.
    pub(crate) fn close_all(&mut self, root: ContextId) -> Vec<CallId> {
        let mut ended: Vec<_> =
            self.live.extract_if(|_, callout| callout.owner.root == root).map(|(id, _)| id).collect();
        ended.sort_unstable();
        ended
    }

    /// Ends a callout; says whose it was.
    pub(crate) fn close(&mut self, id: CallId) -> Option<Owner> {
        self.live.remove(&id).map(|callout| callout.owner)
    }
}
