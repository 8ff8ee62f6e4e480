//! The differences for which two plugins do not share a VM.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Placed, SandboxSpec};
use crate::rights::Capabilities;

/// An ingredient of two sandboxes that is not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The ingredient, as the configuration calls it.
    pub what: &'static str,
    /// How. Values of environment variables are never told.
    pub how: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.how)
    }
}

/// How an ingredient of two differs, if it does.
type Compare = fn(&Placed<'_>, &Placed<'_>) -> Option<String>;

/// Lists the differences between two of a group.
pub(super) fn between(a: &Placed<'_>, b: &Placed<'_>) -> Vec<Difference> {
    let ingredients: [(&'static str, Compare); 7] = [
        ("capabilities", capabilities),
        ("rules", rules),
        ("environment variables", environment),
        ("preopens", preopens),
        ("limits", limits),
        ("effective_context", effective_context),
        ("recycle", recycle),
    ];
    let found = ingredients.into_iter().filter_map(|(what, how)| Some(Difference { what, how: how(a, b)? }));
    found.collect()
}

fn capabilities(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let only = |one: &Placed<'_>, other: Capabilities| {
        let names: Vec<_> = one.spec.capabilities.held().collect();
        let others: BTreeSet<_> = other.held().collect();
        let names: Vec<_> = names.into_iter().filter(|name| !others.contains(name)).collect();
        listing(&names).map(|names| format!("only {:?} has {names}", one.plugin))
    };
    let both = [only(a, b.spec.capabilities), only(b, a.spec.capabilities)];
    let both: Vec<_> = both.into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join("; "))
}

fn rules(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let empty = BTreeMap::new();
    let (a, b) = (a.spec.rules.texts(), b.spec.rules.texts());
    let capabilities: BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let mut names = Vec::new();
    for capability in capabilities {
        let (a, b) = (a.get(capability).unwrap_or(&empty), b.get(capability).unwrap_or(&empty));
        let keys: BTreeSet<_> = a.keys().chain(b.keys()).filter(|key| a.get(*key) != b.get(*key)).collect();
        names.extend(keys.into_iter().map(|key| format!("{capability}.{key}")));
    }
    listing(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn environment(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let (a, b) = (&a.spec.vm.environment, &b.spec.vm.environment);
    let value =
        |of: &[(String, String)], name: &str| of.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let names: BTreeSet<_> = a.iter().chain(b).map(|(name, _)| name.as_str()).collect();
    listing(&names.into_iter().filter(|name| value(a, name) != value(b, name)).collect::<Vec<_>>())
}

fn preopens(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let (a, b) = (&a.spec.vm.preopens, &b.spec.vm.preopens);
    let only = a.iter().filter(|own| !b.contains(own)).chain(b.iter().filter(|own| !a.contains(own)));
    let names: Vec<_> = only.map(|preopen| preopen.guest.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    listing(&names).or_else(|| (a != b).then(|| "their order".to_owned()))
}

fn limits(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let (a, b) = (a.spec.vm.limits.named(), b.spec.vm.limits.named());
    let differing =
        a.into_iter().zip(b).filter(|(a, b)| a != b).map(|((name, a), (_, b))| format!("{name} {a} and {b}"));
    let differing: Vec<_> = differing.collect();
    (!differing.is_empty()).then(|| differing.join(", "))
}

fn effective_context(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let whose = |spec: &SandboxSpec<'_>| if spec.vm.any_effective_context { "vm" } else { "plugin" };
    (a.spec.vm.any_effective_context != b.spec.vm.any_effective_context)
        .then(|| format!("{} and {}", whose(&a.spec), whose(&b.spec)))
}

fn recycle(a: &Placed<'_>, b: &Placed<'_>) -> Option<String> {
    let told = |of: &Placed<'_>| {
        let bounds: Vec<_> = of.spec.vm.recycle.named().iter().map(|(name, bound)| format!("{name} {bound}")).collect();
        if bounds.is_empty() { "no bound".to_owned() } else { bounds.join(", ") }
    };
    (a.spec.vm.recycle != b.spec.vm.recycle).then(|| format!("{} and {}", told(a), told(b)))
}

/// Returns some names, and the number of the others.
fn listing(names: &[&str]) -> Option<String> {
    const SHOWN: usize = 20;
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => (!names.is_empty()).then_some(shown),
        more => Some(format!("{shown} and {more} more")),
    }
}
