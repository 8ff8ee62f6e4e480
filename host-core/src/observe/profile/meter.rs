use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::measured::Measured;
use super::table::{HostcallTime, Part, Profile, Time};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::trap::Trap;
use crate::observe::observer::{Observed, Observer, Seen};
use crate::observe::transcript::lock;

/// Measures one VM, and each of its hostcalls.
pub(super) struct Profiler {
    meter: Meter,
    /// The callback that runs.
    callback: Option<(CallbackId, Span)>,
}

/// Measures what one VM does. Clones measure together.
#[derive(Clone)]
pub(super) struct Meter {
    profile: Arc<Mutex<Profile>>,
    /// How long that took which ran within what runs now. One thread at a time has it.
    within: Arc<AtomicU64>,
}

/// Something that runs.
#[derive(Clone, Copy)]
pub(super) struct Span {
    began: u64,
    /// The time of spans before it within the span around it.
    before: u64,
}

impl Profiler {
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, callback: None }
    }
}

impl Observer for Profiler {
    fn callback(&mut self, id: CallbackId, _: &[i32], seen: Seen<'_>) {
        self.callback = Some((id, self.meter.begin(seen)));
    }

    fn returned(&mut self, outcome: Option<Result<Option<i32>, &Trap>>, seen: Seen<'_>) -> bool {
        match (self.callback.take(), outcome) {
            // The guest does not have it.
            (Some((_, span)), None) => self.meter.forget(span),
            (Some((id, span)), Some(outcome)) => {
                self.meter.end_guest(seen, span, Part::Callback(id), outcome.is_err());
            }
            (None, _) => {}
        }
        true
    }

    fn hostcall(&mut self, id: HostcallId, _: &dyn Fn() -> Vec<Value>, _: bool, seen: Seen<'_>) -> Observed {
        Observed::Call(Box::new(Measured::begin(id, self.meter.clone(), seen)))
    }
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Profiler")
    }
}

impl Meter {
    pub(super) fn new(profile: Arc<Mutex<Profile>>) -> Self {
        Self { profile, within: Arc::default() }
    }

    /// Begins to measure something.
    pub(super) fn begin(&self, seen: Seen<'_>) -> Span {
        let before = self.within.swap(0, Ordering::Relaxed);
        Span { before, began: seen.host.monotonic_clock() }
    }

    /// Forgets what did not run after all.
    fn forget(&self, span: Span) {
        self.within.store(span.before, Ordering::Relaxed);
    }

    /// Notes the end of a callback, or of another part of the guest that the host runs.
    pub(super) fn end_guest(&self, seen: Seen<'_>, span: Span, part: Part, trapped: bool) {
        let time = self.end(span, seen, trapped);
        if let Some(row) = lock(&self.profile).of(seen.plugin).part(part) {
            row.add(&time);
        }
    }

    /// Notes the end of a hostcall, which copied so many bytes into the guest and out of it.
    pub(super) fn end_hostcall(
        &self,
        seen: Seen<'_>,
        span: Span,
        id: HostcallId,
        (bytes_in, bytes_out): (u64, u64),
        answer: Result<Option<i32>, ()>,
    ) {
        let time = self.end(span, seen, answer.is_err());
        let failures = answer.ok().flatten().map(|status| (status, 1)).into_iter().collect();
        if let Some(row) = lock(&self.profile).of(seen.plugin).hostcall(id) {
            row.add(&HostcallTime { time, bytes_in, bytes_out, failures });
        }
    }

    fn end(&self, span: Span, seen: Seen<'_>, trapped: bool) -> Time {
        let total = seen.host.monotonic_clock().saturating_sub(span.began);
        let own = total.saturating_sub(self.within.load(Ordering::Relaxed));
        self.within.store(span.before.saturating_add(total), Ordering::Relaxed);
        Time { calls: 1, total, own, max: total, traps: u64::from(trapped) }
    }
}
