//! The plugins of a generation, compared with those of others.

use std::collections::HashMap;

use portcullis::PluginSpec;
use portcullis::model::Plugin;
use portcullis::sandbox::SandboxKey;

use crate::plan::planned::{Placed, Planned};

/// The plugins of a generation as a worker tells them apart, each once: by the VM that they run in, and what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(HashMap<Sandbox, Vec<Plugin>>);

/// A sandbox, and if it is kept apart from others of its `vm_id`.
type Sandbox = (SandboxKey, Option<SandboxKey>);

impl Known {
    pub(super) fn of(planned: &Planned) -> Self {
        let mut known = Self::default();
        for spec in planned.plugins() {
            let plugins = known.0.entry(sandbox(spec)).or_default();
            if !plugins.contains(&spec.plugin) {
                plugins.push(spec.plugin.clone());
            }
        }
        known
    }

    /// Returns how many have been started since others, have stayed, and have ended.
    pub(super) fn compared(&self, before: &Self) -> (usize, usize, usize) {
        let started = self.without([before].into_iter());
        (started, self.len() - started, before.without([self].into_iter()))
    }

    /// Returns how many are in none of the others.
    pub(super) fn without<'a>(&self, others: impl Iterator<Item = &'a Self> + Clone) -> usize {
        let count = |(sandbox, plugins): (&Sandbox, &Vec<Plugin>)| {
            let is_new = |plugin: &&Plugin| !others.clone().any(|other| other.has(sandbox, plugin));
            plugins.iter().filter(is_new).count()
        };
        self.0.iter().map(count).sum()
    }

    /// Returns the plugins of a plan that are not among these, each once, in the order in which they start: those of services first.
    pub(super) fn new_in<'a>(&self, planned: &'a Planned) -> Vec<Placed<'a>> {
        let (mut known, mut new) = (self.clone(), Vec::new());
        for placed in planned.placed() {
            let sandbox = sandbox(placed.spec);
            if !known.has(&sandbox, &placed.spec.plugin) {
                known.0.entry(sandbox).or_default().push(placed.spec.plugin.clone());
                new.push(placed);
            }
        }
        new
    }

    fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    fn has(&self, sandbox: &Sandbox, plugin: &Plugin) -> bool {
        self.0.get(sandbox).is_some_and(|plugins| plugins.contains(plugin))
    }
}

fn sandbox(spec: &PluginSpec) -> Sandbox {
    (spec.sandbox(), spec.isolated)
}
