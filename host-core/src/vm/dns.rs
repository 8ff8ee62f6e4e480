//! Answers to lookups of names.

use std::net::IpAddr;

use super::{Vm, VmFailed};
use crate::abi::callback::CallbackId;
use crate::resources::dns::{self, LookupId};
use crate::vm::checked;

impl Vm {
    /// Tells a root that a lookup has ended; without addresses it has failed. The guest reads the answer as buffer `CallData`, which is not
    /// there at any other time. An id that is not in flight is ignored.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_resolve_dns(&mut self, id: LookupId, addresses: &[IpAddr]) -> Result<(), VmFailed> {
        let Some(owner) = self.state().lookups.close(id) else { return Ok(()) };
        let Some(root) = self.state().acts_for(owner) else { return Ok(()) };
        let answer = dns::answer(addresses);
        let (to, token) = (root.as_arg(), id.0.cast_signed());
        let len = i32::try_from(answer.len()).unwrap_or(i32::MAX);
        self.state().call_data = Some(answer);
        let result = self
            .call(root, CallbackId::envoy_on_resolve_dns, |guest| checked::envoy_on_resolve_dns(guest, to, token, len));
        self.state().call_data = None;
        result.map(drop)
    }
}
