use std::fmt;

use crate::abi::callback::{CALLBACKS, CallbackId};
use crate::abi::hostcall::{HOSTCALLS, HostcallId, When, callable};

/// A set of rights: one bit for each hostcall and each callback.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Capabilities {
    hostcalls: u128,
    callbacks: u64,
}

/// A name that no hostcall, callback or WASI function has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {name:?}{}", .nearest.map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
#[non_exhaustive]
pub struct UnknownCapability {
    /// The name.
    pub name: String,
    /// The known name nearest to it, if one is near.
    pub nearest: Option<&'static str>,
}

impl Capabilities {
    /// Every right.
    pub const ALL: Self = Self { hostcalls: u128::MAX, callbacks: u64::MAX };

    /// No right; start functions may still run.
    pub const NONE: Self = Self { hostcalls: WITHOUT_CAPABILITY, callbacks: START_FUNCTIONS };

    /// Nothing at all, not even what no set lacks: every call takes the branch that looks further.
    pub(crate) const UNLOOKED: Self = Self { hostcalls: 0, callbacks: 0 };

    /// Rights of a guest while the host runs its allocator. Emscripten's growth notice is among
    /// them, because an allocator that grows memory calls it.
    pub(crate) const IN_ALLOCATOR: Self = Self { hostcalls: callable(When::Allocator), callbacks: 0 };

    /// Rights of a guest in its start section and start functions, before any plugin exists: to log, what AssemblyScript's start
    /// section calls, and WASI but for what could wait or has no meaning before a plugin exists.
    ///
    /// differs: from cpp-host in allowing `proc_exit`, which here ends the VM in any case.
    pub(crate) const IN_START: Self = Self { hostcalls: callable(When::Start), callbacks: START_FUNCTIONS };

    /// Returns the rights of these names.
    ///
    /// # Errors
    /// The first name that is no capability.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownCapability> {
        names.into_iter().try_fold(Self::NONE, |set, name| {
            let named = Self::named(name);
            if named == Self::NONE && !Self::names().any(|known| known == name) {
                return Err(UnknownCapability { name: name.to_owned(), nearest: nearest(name) });
            }
            Ok(set.or(named))
        })
    }

    /// Returns the right to receive these callbacks, and nothing else.
    pub fn of_callbacks(callbacks: &[CallbackId]) -> Self {
        let bits = callbacks.iter().fold(START_FUNCTIONS, |bits, id| bits | 1 << (*id as u8));
        Self { callbacks: bits, ..Self::NONE }
    }

    /// Returns every capability's name: hostcalls, then callbacks; each once.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let callbacks = CALLBACKS.iter().filter(|decl| !decl.id.is_start_function());
        let callbacks = callbacks.filter(|decl| !decl.id.decl().export.is_empty() && is_first(decl.id));
        HOSTCALLS.iter().map(|decl| decl.name).chain(callbacks.map(|decl| decl.export))
    }

    /// Returns the names of the capabilities in the set, in the order of [`Self::names`], without those that every set has.
    pub fn held(self) -> impl Iterator<Item = &'static str> {
        let is_held = move |name: &&str| {
            let named = Self::named(name);
            named != Self::NONE && self.and(named) == named
        };
        Self::names().filter(is_held)
    }

    /// Returns whether the set holds this hostcall.
    #[inline]
    pub const fn allows(self, hostcall: HostcallId) -> bool {
        self.hostcalls >> (hostcall as u8) & 1 == 1
    }

    /// Returns whether the set holds this callback.
    #[inline]
    pub const fn allows_callback(self, callback: CallbackId) -> bool {
        self.callbacks >> (callback as u8) & 1 == 1
    }

    /// Returns what both sets hold.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self { hostcalls: self.hostcalls & other.hostcalls, callbacks: self.callbacks & other.callbacks }
    }

    /// Returns what either set holds.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { hostcalls: self.hostcalls | other.hostcalls, callbacks: self.callbacks | other.callbacks }
    }

    /// Returns the set without this hostcall.
    #[must_use]
    pub const fn without(self, hostcall: HostcallId) -> Self {
        Self { hostcalls: self.hostcalls & !bit(hostcall) | WITHOUT_CAPABILITY, ..self }
    }

    /// Returns the set as bytes, for a key. Bits that no row of the tables has do not count.
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        let (hostcalls, callbacks) = bytes.split_at_mut(16);
        hostcalls.copy_from_slice(&(self.hostcalls & (u128::MAX >> (128 - HOSTCALLS.len()))).to_le_bytes());
        callbacks.copy_from_slice(&(self.callbacks & (u64::MAX >> (64 - CALLBACKS.len()))).to_le_bytes());
        bytes
    }

    /// Returns the right of one name, with both shapes of a callback that has two; none if there is no such name.
    pub(crate) fn named(name: &str) -> Self {
        let hostcalls = HOSTCALLS.iter().filter(|decl| decl.name == name).fold(0, |bits, decl| bits | bit(decl.id));
        let callbacks =
            CALLBACKS.iter().filter(|decl| decl.export == name).fold(0, |bits, decl| bits | 1 << (decl.id as u8));
        Self { hostcalls: hostcalls | WITHOUT_CAPABILITY, callbacks: callbacks | START_FUNCTIONS }
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let hostcalls = HOSTCALLS.iter().filter(|decl| self.allows(decl.id)).map(|decl| decl.name);
        let callbacks = CALLBACKS.iter().filter(|decl| self.allows_callback(decl.id)).map(|decl| decl.export);
        f.debug_set().entries(hostcalls.chain(callbacks)).finish()
    }
}

/// Hostcalls without effect, which need no capability.
///
/// differs: cpp-host forbids `pthread_equal` in start functions and in the allocator.
const WITHOUT_CAPABILITY: u128 = callable(When::Always);

const START_FUNCTIONS: u64 = 1 << CallbackId::initialize as u8
    | 1 << CallbackId::start as u8
    | 1 << CallbackId::main as u8
    | 1 << CallbackId::main_void as u8;

const fn bit(hostcall: HostcallId) -> u128 {
    1 << (hostcall as u8)
}

/// Returns whether no earlier row has the same export.
fn is_first(id: CallbackId) -> bool {
    CALLBACKS.iter().find(|decl| decl.export == id.decl().export).is_some_and(|decl| decl.id == id)
}

fn nearest(name: &str) -> Option<&'static str> {
    let scored = Capabilities::names().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 > 0.8).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_give_exactly_the_rights_that_they_name() {
        let set = Capabilities::from_names(["proxy_log", "proxy_on_request_headers", "fd_write"]);
        let set = set.unwrap_or(Capabilities::ALL);
        assert!(set.allows(HostcallId::proxy_log) && set.allows(HostcallId::fd_write));
        assert!(!set.allows(HostcallId::proxy_http_call));
        assert!(set.allows_callback(CallbackId::on_request_headers));
        assert!(set.allows_callback(CallbackId::on_request_headers_0_1_0), "both shapes of one export");
        assert!(!set.allows_callback(CallbackId::on_request_body));
        assert!(set.allows_callback(CallbackId::initialize), "start functions need no capability");
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_nearest() {
        let error = Capabilities::from_names(["proxy_http_cal"]).map_err(|e| e.to_string());
        assert_eq!(error, Err("unknown capability \"proxy_http_cal\"; did you mean \"proxy_http_call\"?".to_owned()));
    }

    #[test]
    fn every_name_is_listed_once_and_parses() {
        let names: Vec<_> = Capabilities::names().collect();
        let unique: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        let all = Capabilities::from_names(names.iter().copied());
        assert!(
            all.is_ok_and(|set| set.to_bytes() == Capabilities::ALL.to_bytes()),
            "every right by its name is every right"
        );
    }

    #[test]
    fn start_and_allocator_sets_are_those_of_the_reference_host() {
        let held = |set: Capabilities| HOSTCALLS.iter().filter(move |decl| set.allows(decl.id)).map(|decl| decl.name);
        let always = ["pthread_equal", "emscripten_notify_memory_growth"];
        assert!(held(Capabilities::NONE).eq(always));
        let allocator = ["clock_time_get", "fd_write", "poll_oneoff"];
        assert!(held(Capabilities::IN_ALLOCATOR).eq(["proxy_log"].into_iter().chain(always).chain(allocator)));
        let not_yet = ["fd_close", "fd_read", "fd_seek", "path_open", "sched_yield"];
        let wasi = HOSTCALLS.iter().filter(|decl| decl.id.is_wasi() && !not_yet.contains(&decl.name));
        let others = ["proxy_log", "abort", "seed", "trace", "now"];
        let start = others.into_iter().chain(always).chain(wasi.map(|decl| decl.name));
        let sorted = |names: &mut dyn Iterator<Item = &'static str>| {
            let mut names: Vec<_> = names.collect();
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(&mut held(Capabilities::IN_START)), sorted(&mut { start }));
        assert!(Capabilities::IN_START.allows(HostcallId::sock_shutdown));
        assert!(!Capabilities::IN_START.allows(HostcallId::path_open));
        assert!(!Capabilities::IN_START.allows(HostcallId::proxy_get_current_time_nanoseconds));
        assert!(!Capabilities::IN_ALLOCATOR.allows(HostcallId::proxy_done));
        assert!(Capabilities::IN_ALLOCATOR.allows(HostcallId::emscripten_notify_memory_growth));
    }
}
