use std::sync::{Arc, Mutex};

use super::table::{HostcallTime, Part, Profile, Time};
use crate::abi::hostcall::HostcallId;
use crate::observe::tape::lock;
use crate::vm::state::VmState;

/// Measures one VM. Its functions take the whole state, because the clock and the plugin that runs are there, too.
pub(crate) struct Meter {
    profile: Arc<Mutex<Profile>>,
    /// How long that took which ran within what runs now.
    within: u64,
}

/// Something that runs.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    began: u64,
    /// What ran before it within the span around it.
    before: u64,
}

impl Meter {
    pub(super) fn new(profile: Arc<Mutex<Profile>>) -> Self {
        Self { profile, within: 0 }
    }

    /// Something begins; `None` if nothing measures this VM.
    pub(crate) fn begin(vm: &mut VmState) -> Option<Span> {
        let (meter, host, _) = vm.meter()?;
        let before = std::mem::take(&mut meter.within);
        Some(Span { before, began: host.monotonic_clock() })
    }

    /// It did not run after all.
    pub(crate) fn forget(vm: &mut VmState, span: Option<Span>) {
        if let (Some((meter, ..)), Some(span)) = (vm.meter(), span) {
            meter.within = span.before;
        }
    }

    /// A callback has ended, or another part of the guest that the host runs.
    pub(crate) fn end_guest(vm: &mut VmState, span: Option<Span>, part: Part, trapped: bool) {
        let (Some((meter, host, plugin)), Some(span)) = (vm.meter(), span) else { return };
        let time = meter.end(span, host.monotonic_clock(), trapped);
        if let Some(row) = lock(&meter.profile).of(plugin).part(part) {
            row.add(&time);
        }
    }

    /// A hostcall has ended, which copied so many bytes into the guest and out of it.
    pub(super) fn end_hostcall(
        vm: &mut VmState,
        span: Span,
        id: HostcallId,
        (bytes_in, bytes_out): (u64, u64),
        answer: Result<Option<i32>, ()>,
    ) {
        let Some((meter, host, plugin)) = vm.meter() else { return };
        let time = meter.end(span, host.monotonic_clock(), answer.is_err());
        let failures = answer.ok().flatten().map(|status| (status, 1)).into_iter().collect();
        if let Some(row) = lock(&meter.profile).of(plugin).hostcall(id) {
            row.add(&HostcallTime { time, bytes_in, bytes_out, failures });
        }
    }

    fn end(&mut self, span: Span, now: u64, trapped: bool) -> Time {
        let total = now.saturating_sub(span.began);
        let own = total.saturating_sub(self.within);
        self.within = span.before.saturating_add(total);
        Time { calls: 1, total, own, max: total, traps: u64::from(trapped) }
    }
}
