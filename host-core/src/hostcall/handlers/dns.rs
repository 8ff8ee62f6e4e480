//! Looking up names (host: Envoy's own, beside the ABI).

use crate::abi::Status;
use crate::abi::hostcall::HostcallId;
use crate::hostcall::{Hostcall, HostcallResult, Reply, guard};
use crate::model::action::Action;
use crate::resources::dns::MAX_NAME;
use crate::rights::{Family, Key};

/// Has a name, or a literal address, looked up. The addresses come to the root with `envoy_on_resolve_dns`, of size 0 when
/// there are none, in buffer `CallData`.
///
/// `BadArgument`: it is empty, longer than 253 bytes, or not visible ASCII. `InternalFailure`:
/// [`Limits::callouts`](crate::model::Limits::callouts) lookups are in flight.
///
/// differs: Envoy takes any bytes and any number of lookups, and they need no capability there.
pub(in crate::hostcall) fn envoy_resolve_dns(
    mut call: Hostcall<'_>,
    address: i32,
    address_len: i32,
    ret_token: i32,
) -> HostcallResult {
    let name = call.memory.slice(address, address_len)?;
    call.memory.check_u32(ret_token)?;
    let fits = (1..=MAX_NAME).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    let name = std::str::from_utf8(name).ok().filter(|_| fits).ok_or(Status::BadArgument)?.to_owned();
    const ID: HostcallId = HostcallId::envoy_resolve_dns;
    guard::argument(call.vm, Family::ResolveDns, ID, Key::Names, "names", name.as_bytes())?;
    guard::rate(call.vm, Family::ResolveDns, ID, 1)?;
    let owner = call.vm.acting_owner().ok_or(Status::InternalFailure)?;
    let root = owner.root;
    let id = call.vm.lookups.open(owner, &call.vm.config.vm.limits).ok_or(Status::InternalFailure)?;
    call.vm.actions.push_back(Action::ResolveDns { root, id, name });
    call.memory.write_u32(ret_token, id.0)?;
    Ok(Reply::Done)
}
