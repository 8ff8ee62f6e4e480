//! The effect of a reload from one configuration to another.

use std::collections::BTreeMap;
use std::fmt;

use portcullis::sandbox::SandboxKey;
use serde_json::{Value, json};

use super::changes::{self, Change};
use super::outline::{Outline, Placed};

/// The difference of two configurations.
#[derive(Debug)]
pub(crate) struct Diff {
    changes: Vec<Change>,
    vms: Vec<VmChange>,
    plugins: Vec<PluginChange>,
}

/// The fate of a VM. Each worker has one of it, but for services that one worker runs alone.
#[derive(Debug)]
struct VmChange {
    fate: Fate,
    sandbox: String,
    plugins: Vec<String>,
    /// The keys of the sandbox that differ from the one that its plugins had.
    why: Vec<Change>,
}

/// The fate of a plugin in a VM that stays.
#[derive(Debug)]
struct PluginChange {
    fate: Fate,
    name: String,
}

/// The fate of a VM or a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Starts,
    Ends,
    Stays,
}

/// A VM: plugins of equal ones share it.
type VmKey = (SandboxKey, Option<SandboxKey>);

impl Fate {
    fn name(self) -> &'static str {
        match self {
            Self::Starts => "start",
            Self::Ends => "end",
            Self::Stays => "stay",
        }
    }
}

impl Diff {
    /// Compares two configurations.
    pub(crate) fn between(old: &Outline, new: &Outline) -> Self {
        let mut changes = changes::changes(&old.config().to_json(), &new.config().to_json());
        // Notices are about a file.
        changes.retain(|change| !change.key.starts_with("notices"));
        let (before, after) = (by_vm(old), by_vm(new));
        let mut vms = Vec::new();
        let mut plugins = Vec::new();
        for (key, members) in &before {
            let fate = if after.contains_key(key) { Fate::Stays } else { Fate::Ends };
            vms.push(VmChange { fate, sandbox: short(key), plugins: names(members), why: Vec::new() });
        }
        for (key, members) in &after {
            match before.get(key) {
                None => {
                    let why = why(old, new, key, members);
                    vms.push(VmChange { fate: Fate::Starts, sandbox: short(key), plugins: names(members), why });
                }
                Some(old_members) => plugins.extend(of_one_vm(old_members, members)),
            }
        }
        vms.sort_by(|one, other| one.plugins.cmp(&other.plugins));
        Self { changes, vms, plugins }
    }

    /// Returns whether a reload would change anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.plugins.is_empty() && self.vms.iter().all(|vm| vm.fate == Fate::Stays)
    }

    /// Formats it for programs.
    pub(crate) fn to_json(&self) -> Value {
        let change = |change: &Change| json!({ "key": change.key, "old": change.old, "new": change.new });
        let vm = |vm: &VmChange| {
            let why: Vec<_> = vm.why.iter().map(change).collect();
            json!({ "fate": vm.fate.name(), "sandbox": vm.sandbox, "plugins": vm.plugins, "why": why })
        };
        json!({
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "vms": self.vms.iter().map(vm).collect::<Vec<_>>(),
            "plugins": self.plugins.iter()
                .map(|plugin| json!({ "fate": plugin.fate.name(), "name": plugin.name })).collect::<Vec<_>>(),
        })
    }

    fn count(&self, fate: Fate) -> usize {
        self.vms.iter().filter(|vm| vm.fate == fate).count()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        for vm in self.vms.iter().filter(|vm| vm.fate != Fate::Stays) {
            writeln!(f, "VM {} {}s: {}", vm.sandbox, vm.fate.name(), vm.plugins.join(", "))?;
            for change in &vm.why {
                writeln!(f, "    {change}")?;
            }
        }
        for plugin in &self.plugins {
            writeln!(f, "plugin {} {}s, in a VM that stays", plugin.name, plugin.fate.name())?;
        }
        let [start, end, stay] = [Fate::Starts, Fate::Ends, Fate::Stays].map(|fate| self.count(fate));
        writeln!(f, "{start} VM(s) start, {end} end, {stay} stay, on each worker")
    }
}

fn by_vm(outline: &Outline) -> BTreeMap<VmKey, Vec<&Placed>> {
    let mut vms: BTreeMap<VmKey, Vec<&Placed>> = BTreeMap::new();
    for placed in outline.plugins() {
        let members = vms.entry((placed.key, placed.isolated)).or_default();
        // One plugin in several chains is one.
        if !members.contains(&placed) {
            members.push(placed);
        }
    }
    vms
}

fn of_one_vm<'a>(old: &'a [&Placed], new: &'a [&Placed]) -> impl Iterator<Item = PluginChange> {
    let change = |fate| move |placed: &&&Placed| PluginChange { fate, name: placed.plugin.name.clone() };
    let ended: Vec<_> = old.iter().filter(|placed| !new.contains(placed)).map(|own| change(Fate::Ends)(&own)).collect();
    let started: Vec<_> =
        new.iter().filter(|placed| !old.contains(placed)).map(|own| change(Fate::Starts)(&own)).collect();
    ended.into_iter().chain(started)
}

/// Returns how the sandbox of a VM differs from the one that a plugin of its name had.
fn why(old: &Outline, new: &Outline, key: &VmKey, members: &[&Placed]) -> Vec<Change> {
    let before =
        members.iter().find_map(|placed| old.plugins().iter().find(|other| other.plugin.name == placed.plugin.name));
    let sandbox = |outline: &Outline, key: &SandboxKey| outline.sandboxes().get(key).map(|sandbox| sandbox.to_json());
    let Some((before, after)) = before.and_then(|before| Some((sandbox(old, &before.key)?, sandbox(new, &key.0)?)))
    else {
        return Vec::new();
    };
    let mut changes = changes::changes(&before, &after);
    changes.retain(|change| change.key != "sandbox" && !change.key.starts_with("plugins"));
    changes
}

fn names(members: &[&Placed]) -> Vec<String> {
    members.iter().map(|placed| placed.plugin.name.clone()).collect()
}

fn short((key, _): &VmKey) -> String {
    key.to_string().chars().take(12).collect()
}
