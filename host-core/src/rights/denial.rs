//! Denials: hostcalls and callbacks that a plugin asked for and may not have.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rate::RateLimiter;
use crate::abi::callback::CallbackId;
use crate::model::context::ContextId;
use crate::model::plugin::Plugin;
use crate::sandbox::SandboxKey;
use crate::setters::setters;
use crate::vm::quotas::NeedsLongLivedVm;

/// Something that a plugin asked for and may not have.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Denial<'a> {
    /// The plugin; none before one exists.
    pub plugin: Option<&'a Plugin>,
    /// The VM's id.
    pub vm_id: &'a str,
    /// Its sandbox, if its embedder has told the VM.
    pub sandbox: Option<SandboxKey>,
    /// The context that the call was about.
    pub context: ContextId,
    /// The hostcall or callback.
    pub capability: &'static str,
    /// The key of the rule that forbids it; none if the plugin does not have the capability.
    pub rule: Option<&'static str>,
    /// The argument, if a rule forbids it: a name, never a value. At most 64 bytes of it, with other bytes than
    /// printable ASCII escaped; of a path nothing behind `?`.
    pub argument: Option<&'a str>,
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capability, .. } = self;
        match (self.rule, self.argument) {
            (None, _) => write!(f, "denied {capability}: the plugin does not have this capability"),
            (Some(rule), None) => write!(f, "denied {capability}: more than its rule `{rule}` allows"),
            (Some(rule), Some(argument)) => {
                write!(f, "denied {capability}: its rule `{rule}` does not allow \"{argument}\"")
            }
        }
    }
}

impl fmt::Debug for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Denial<'a> {
    /// Makes the denial of a capability that no plugin has.
    pub fn new(capability: &'static str) -> Self {
        Self { plugin: None, vm_id: "", sandbox: None, context: ContextId::VM, capability, rule: None, argument: None }
    }

    setters! {
        with_plugin(impl Into<Option<&'a Plugin>>) -> plugin;
        with_vm_id(&'a str) -> vm_id;
        with_sandbox(impl Into<Option<SandboxKey>>) -> sandbox;
        with_context(ContextId) -> context;
        with_rule(impl Into<Option<&'static str>>) -> rule;
        with_argument(impl Into<Option<&'a str>>) -> argument;
    }
}

impl Denial<'_> {
    /// Returns an argument as [`Denial::argument`] has it.
    pub(crate) fn redact(rule: &str, argument: &[u8]) -> String {
        const SHOWN: usize = 64;
        let end = argument.iter().position(|byte| *byte == b'?').filter(|_| rule == "paths");
        let argument = end.and_then(|end| argument.get(..end)).unwrap_or(argument);
        match argument.get(..SHOWN) {
            Some(start) if argument.len() > SHOWN => format!("{}...", start.escape_ascii()),
            _ => argument.escape_ascii().to_string(),
        }
    }
}

/// The denials of a VM that the operator has been told of: a plugin that insists does not fill the log. VMs that each last for
/// one stream have one together.
#[derive(Debug)]
pub(crate) struct DenialLog {
    limiter: RateLimiter,
    left_out: AtomicU64,
    /// All denials.
    count: AtomicU64,
    /// Callbacks of whose denial the host has been told, a bit each.
    callbacks: AtomicU64,
    /// How often failures are logged of VMs for one stream, and how many were not.
    failures: (RateLimiter, AtomicU64),
    /// How often the host says of what the guest does that it is of no use, and how often it did not.
    remarks: (RateLimiter, AtomicU64),
    /// The same for hostcalls that a VM for one stream does not have.
    hostcalls: AtomicU64,
}

impl Default for DenialLog {
    fn default() -> Self {
        /// Lines at once; they fill again in as many seconds.
        const LINES: u64 = 5;
        let none = AtomicU64::default;
        let limiter = || RateLimiter::new(LINES, LINES * 1_000_000_000);
        let (failures, remarks) = ((limiter(), none()), (limiter(), none()));
        Self {
            limiter: limiter(),
            left_out: none(),
            count: none(),
            callbacks: none(),
            failures,
            remarks,
            hostcalls: none(),
        }
    }
}

impl DenialLog {
    /// Counts one; says how many were not logged before it, if this one is.
    pub(crate) fn count(&self, now: u64) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.limiter.take(1, now) {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Counts the failure of a VM for one stream; returns how many such lines were left out before this one, if it is to be logged.
    pub(crate) fn failure(&self, now: u64) -> Option<u64> {
        bounded(&self.failures, now)
    }

    /// Counts a remark about the guest; returns how many such lines were left out before this one, if it is to be logged.
    pub(crate) fn remark(&self, now: u64) -> Option<u64> {
        bounded(&self.remarks, now)
    }

    /// Returns how many there were.
    pub(crate) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Returns whether this callback is denied for the first time.
    pub(crate) fn is_news(&self, callback: CallbackId) -> bool {
        let bit = 1 << (callback as u8);
        self.callbacks.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Returns whether it is the first time that this is asked of a VM for one stream: ticks, or a queue's items.
    pub(crate) fn is_first(&self, asked: NeedsLongLivedVm) -> bool {
        let bit = 1 << (asked as u8);
        self.hostcalls.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

/// Counts a line; says how many were left out before it, if it is to be logged.
fn bounded((limiter, left_out): &(RateLimiter, AtomicU64), now: u64) -> Option<u64> {
    if limiter.take(1, now) {
        return Some(left_out.swap(0, Ordering::Relaxed));
    }
    left_out.fetch_add(1, Ordering::Relaxed);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged() {
        let log = DenialLog::default();
        let logged = |log: &DenialLog, now| (0..100).filter_map(|_| log.count(now)).collect::<Vec<_>>();
        assert_eq!(logged(&log, 0), [0; 5]);
        assert_eq!(log.count(1_000_000_000), Some(95));
        assert_eq!(log.total(), 101);
    }

    #[test]
    fn an_argument_shows_no_query_and_not_much() {
        assert_eq!(Denial::redact("paths", b"/a?token=1"), "/a");
        assert_eq!(Denial::redact("names", b"a?b\n"), "a?b\\n");
        assert_eq!(Denial::redact("keys", &[b'k'; 65]), "k".repeat(64) + "...");
    }
}
