//! Which plugins share a VM.

use std::collections::BTreeMap;
use std::fmt;

use super::difference::{self, Difference};
use super::{Placed, SandboxKey, Sharing};

/// Where a plugin runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// Its sandbox.
    pub sandbox: SandboxKey,
    /// The owner of the shared data and queues that it sees besides the `vm_id`: its sandbox alone, if those that would have shared a
    /// VM were kept apart; nothing more otherwise.
    pub isolated: Option<SandboxKey>,
}

/// Two plugins that would share a VM, and differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// Which of the plugins.
    pub first: usize,
    /// Which of the plugins; it comes later.
    pub second: usize,
    /// Its name, and the other's.
    pub plugins: (String, String),
    /// The id of the VM.
    pub vm_id: String,
    /// In what they differ; never empty.
    pub differences: Vec<Difference>,
    /// One of those that ask for the VM would have been isolated, and another would not.
    pub policies_differ: bool,
}

/// Places plugins: those with equal specs share a VM. Plugins of one group (equal `vm_id`, code, VM configuration
/// and engine) that differ in anything else are refused, if one of the group is [`Sharing::Reject`], or kept apart.
///
/// # Errors
/// The first conflict.
pub fn schedule(plugins: &[Placed<'_>]) -> Result<Vec<Placement>, Conflict> {
    let keys: Vec<_> = plugins.iter().map(|placed| placed.spec.key()).collect();
    let mut groups: BTreeMap<SandboxKey, Vec<usize>> = BTreeMap::new();
    for (index, placed) in plugins.iter().enumerate() {
        groups.entry(placed.spec.group()).or_default().push(index);
    }
    let mut placements: Vec<_> = keys.iter().map(|key| Placement { sandbox: *key, isolated: None }).collect();
    let mut conflicts = Vec::new();
    for members in groups.values() {
        let Some((first, others)) = members.split_first() else { continue };
        let Some(other) = others.iter().find(|other| keys.get(**other) != keys.get(*first)) else { continue };
        let sharing = |index: &usize| plugins.get(*index).map(|placed| placed.sharing);
        let isolated = members.iter().filter(|index| sharing(index) == Some(Sharing::Isolate)).count();
        if isolated < members.len() {
            conflicts.extend(conflict(plugins, *first, *other, isolated > 0));
        }
        for index in members {
            if let Some(placement) = placements.get_mut(*index) {
                placement.isolated = Some(placement.sandbox);
            }
        }
    }
    // Groups come in the order of their keys; the first conflict of the configuration is of use.
    match conflicts.into_iter().min_by_key(|conflict| conflict.second) {
        Some(conflict) => Err(conflict),
        None => Ok(placements),
    }
}

fn conflict(plugins: &[Placed<'_>], first: usize, second: usize, policies_differ: bool) -> Option<Conflict> {
    let (a, b) = (plugins.get(first)?, plugins.get(second)?);
    Some(Conflict {
        first,
        second,
        plugins: (a.plugin.to_owned(), b.plugin.to_owned()),
        vm_id: a.spec.vm_id.to_owned(),
        differences: difference::between(a, b),
        policies_differ,
    })
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = &self.plugins;
        write!(
            f,
            "the plugins {first:?} and {second:?} would share a VM (vm_id {:?}) and so its memory, but differ",
            self.vm_id
        )?;
        for (index, difference) in self.differences.iter().enumerate() {
            write!(f, "{}{difference}", if index == 0 { " in " } else { ", and in " })?;
        }
        if self.policies_differ {
            f.write_str("; one says sharing: isolate, another reject, which rules")?;
        }
        Ok(())
    }
}

impl std::error::Error for Conflict {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::hostcall::HostcallId;
    use crate::model::limits::Limits;
    use crate::resources::files::Preopen;
    use crate::rights::{Capabilities, Rules};
    use crate::sandbox::{Recycle, SandboxSpec, VmSpec};

    fn spec(vm: &VmSpec) -> SandboxSpec<'_> {
        SandboxSpec {
            vm_id: "vm",
            code: b"code",
            engine: "null",
            vm,
            capabilities: Capabilities::ALL,
            rules: const { &Rules::NONE },
            alone: None,
        }
    }

    #[test]
    fn equal_plugins_share_and_others_of_another_vm_do_not_matter() {
        let vm = VmSpec::default();
        let placed = |plugin, spec| Placed { plugin, spec, sharing: Sharing::Reject };
        let other = SandboxSpec { vm_id: "other", capabilities: Capabilities::NONE, ..spec(&vm) };
        let placements = schedule(&[placed("a", spec(&vm)), placed("b", other), placed("c", spec(&vm))]);
        let placements = placements.unwrap_or_default();
        assert!(placements[0] == placements[2] && placements[0] != placements[1]);
        assert!(placements.iter().all(|placement| placement.isolated.is_none()));
    }

    #[test]
    fn plugins_that_differ_are_refused_or_kept_apart() {
        let texts = [("proxy_log".to_owned(), [("rate".to_owned(), vec!["1/s".to_owned()])].into())].into();
        let rules = Rules::new(&texts).unwrap_or_default();
        let vm = VmSpec { environment: vec![("K".to_owned(), "secret".to_owned())], ..VmSpec::default() };
        let theirs = VmSpec { environment: vec![("K".to_owned(), "other".to_owned())], ..vm.clone() };
        let bare = VmSpec { environment: Vec::new(), ..vm.clone() };
        let data = vec![Preopen { guest: "/data".to_owned(), host: "/srv".into(), write: false }];
        let data = VmSpec { preopens: data, ..vm.clone() };
        let small = VmSpec { limits: Limits { callouts: 1, ..Limits::default() }, ..vm.clone() };
        let whole = VmSpec { any_effective_context: true, ..vm.clone() };
        let recycled = VmSpec { recycle: Recycle::default().with_streams(9), ..vm.clone() };
        let base = spec(&vm);
        for (other, difference) in [
            (
                SandboxSpec { capabilities: Capabilities::ALL.without(HostcallId::proxy_http_call), ..base },
                "capabilities (only \"a\" has proxy_http_call)",
            ),
            (SandboxSpec { rules: &rules, ..base }, "rules (proxy_log.rate)"),
            (SandboxSpec { vm: &theirs, ..base }, "environment variables (K)"),
            (SandboxSpec { vm: &bare, ..base }, "environment variables (K)"),
            (SandboxSpec { vm: &data, ..base }, "preopens (/data)"),
            (SandboxSpec { vm: &small, ..base }, "limits (callouts 1024 and 1)"),
            (SandboxSpec { vm: &whole, ..base }, "effective_context (plugin and vm)"),
            (SandboxSpec { vm: &recycled, ..base }, "recycle (no bound and streams 9, linger 600s)"),
        ] {
            let placed = |sharing: [Sharing; 2]| {
                schedule(&[
                    Placed { plugin: "a", spec: base, sharing: sharing[0] },
                    Placed { plugin: "b", spec: other, sharing: sharing[1] },
                ])
            };
            let refused = placed([Sharing::Reject; 2]).err().map(|conflict| conflict.to_string());
            let expected = format!(
                "the plugins \"a\" and \"b\" would share a VM (vm_id \"vm\") and so its memory, but differ in {difference}"
            );
            assert_eq!(refused, Some(expected));
            let mixed = placed([Sharing::Isolate, Sharing::Reject]).err().map(|conflict| conflict.to_string());
            assert!(mixed.is_some_and(|mixed| mixed.ends_with("another reject, which rules")));
            let apart = placed([Sharing::Isolate; 2]).unwrap_or_default();
            assert_ne!(apart[0].sandbox, apart[1].sandbox);
            assert!(apart.iter().all(|placement| placement.isolated == Some(placement.sandbox)));
        }
    }
}
