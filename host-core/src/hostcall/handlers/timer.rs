use std::time::Duration;

use crate::hostcall::{Hostcall, HostcallResult, Reply};
use crate::model::action::Action;
use crate::vm::quotas::NeedsLongLivedVm;
use crate::vm::state::VmState;

/// Nanoseconds since the Unix epoch (spec: `proxy_get_current_time_nanoseconds`).
#[inline(always)]
pub(in crate::hostcall) fn get_current_time_nanoseconds(mut call: Hostcall<'_>, ret_time: i32) -> HostcallResult {
    call.vm.drawn.note_clock();
    call.memory.write_u64(ret_time, call.vm.host.wall_clock())?;
    Ok(Reply::Done)
}

/// Sets the period of `proxy_on_tick` for the root of the context; 0 ends it
/// (spec: `proxy_set_tick_period_milliseconds`).
///
/// `Unimplemented`: the VM lasts for one stream, and has no ticks.
pub(in crate::hostcall) fn set_tick_period_milliseconds(vm: &mut VmState, period: i32) -> HostcallResult {
    if period != 0 {
        vm.must_last(NeedsLongLivedVm::Ticks)?;
    }
    if let Some((id, root)) = vm.root_mut() {
        let period = u64::from(period.cast_unsigned());
        root.tick = (period != 0).then(|| Duration::from_millis(period));
        // One action is enough however often the guest changes its mind.
        if !std::mem::replace(&mut root.tick_changed, true) {
            vm.actions.push_back(Action::SetTick { root: id });
        }
    }
    Ok(Reply::Done)
}
