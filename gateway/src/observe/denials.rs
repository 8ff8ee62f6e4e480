//! Denied calls of plugins: an audit record, and a counter for Prometheus.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis::rights::Denial;
use portcullis::sandbox::SandboxKey;
use serde_json::{Value, json};

/// The denials of all plugins. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    kinds: BTreeMap<Kind, Count>,
    /// Number of kinds of each plugin.
    of_plugin: BTreeMap<String, usize>,
}

/// Denials that differ in nothing but time and context.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    plugin: String,
    vm_id: String,
    sandbox: Option<SandboxKey>,
    capability: &'static str,
    rule: Option<&'static str>,
    argument: Option<String>,
}

#[derive(Debug)]
struct Count {
    count: u64,
    /// Nanoseconds since the Unix epoch.
    first: u64,
    last: u64,
    context: u32,
}

impl Record {
    /// Counts another kind of a plugin, and forgets what has not been noted for longest where there is no room.
    fn make_room(&mut self, plugin: &str) {
        if !self.of_plugin.contains_key(plugin) && self.of_plugin.len() >= Denials::MOST_PLUGINS {
            let mut last: BTreeMap<&str, u64> = BTreeMap::new();
            for (kind, count) in &self.kinds {
                let last = last.entry(&kind.plugin).or_default();
                *last = count.last.max(*last);
            }
            let gone = last.into_iter().min_by_key(|(_, at)| *at).map(|(plugin, _)| plugin.to_owned());
            if let Some(gone) = gone {
                self.kinds.retain(|kind, _| kind.plugin != gone);
                self.of_plugin.remove(&gone);
            }
        }
        let kinds = self.of_plugin.entry(plugin.to_owned()).or_default();
        if *kinds < Denials::MOST_KEPT {
            *kinds += 1;
            return;
        }
        let own = self.kinds.iter().filter(|(kind, _)| kind.plugin == plugin);
        if let Some(oldest) = own.min_by_key(|(_, count)| count.last).map(|(kind, _)| kind.clone()) {
            self.kinds.remove(&oldest);
        }
    }
}

impl Denials {
    /// The most kinds of one plugin, after which arguments are not distinguished, because a guest chooses them.
    const MOST_KINDS: usize = 100;

    /// The most kinds of one plugin at all: each reload that changes the plugin makes another sandbox. Beyond them, the kind that was noted
    /// last the longest ago goes.
    const MOST_KEPT: usize = 200;

    /// The most plugins. Beyond them, the one goes that was denied something last the longest ago.
    const MOST_PLUGINS: usize = 1000;

    /// Notes one, at a time in nanoseconds since the Unix epoch.
    pub(crate) fn note(&self, denial: &Denial<'_>, now: u64) {
        let plugin = denial.plugin.map_or("", |plugin| plugin.name.as_str());
        metrics::counter!("portcullis_denials_total", "plugin" => plugin.to_owned(), "capability" => denial.capability)
            .increment(1);
        let mut kind = Kind {
            plugin: plugin.to_owned(),
            vm_id: denial.vm_id.to_owned(),
            sandbox: denial.sandbox,
            capability: denial.capability,
            rule: denial.rule,
            argument: denial.argument.map(str::to_owned),
        };
        let mut record = self.record();
        let kinds = record.of_plugin.get(&kind.plugin).copied().unwrap_or_default();
        if kinds >= Self::MOST_KINDS && !record.kinds.contains_key(&kind) {
            // Without arguments there are as many kinds as there are rules, for each sandbox.
            kind.argument = kind.argument.map(|_| "(others)".to_owned());
        }
        if !record.kinds.contains_key(&kind) {
            record.make_room(&kind.plugin);
        }
        let count = record.kinds.entry(kind).or_insert(Count { count: 0, first: now, last: now, context: 0 });
        (count.count, count.last, count.context) = (count.count + 1, now, denial.context.number());
    }

    /// Returns all of them as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let seconds = |nanoseconds: u64| json!(nanoseconds / 1_000_000_000);
        let record = self.record();
        let denials = record.kinds.iter().map(|(kind, count)| {
            json!({
                "plugin": kind.plugin,
                "vm_id": kind.vm_id,
                "sandbox": kind.sandbox.map(|sandbox| sandbox.to_string()),
                "capability": kind.capability,
                "rule": kind.rule,
                "argument": kind.argument,
                "count": count.count,
                "first": seconds(count.first),
                "last": seconds(count.last),
                "last_context": count.context,
            })
        });
        json!({ "denials": denials.collect::<Vec<_>>() })
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use portcullis::model::Plugin;

    use super::*;

    #[test]
    fn equal_denials_are_counted_and_arguments_are_bounded() {
        let (denials, plugin) = (Denials::default(), Plugin::new("p"));
        let note = |argument: &str| {
            let denial = Denial::new("proxy_get_shared_data")
                .with_plugin(&plugin)
                .with_vm_id("vm")
                .with_rule("keys")
                .with_argument(argument);
            denials.note(&denial, 2_000_000_000);
        };
        note("a");
        note("a");
        let json = denials.to_json();
        assert_eq!(json["denials"][0]["count"], 2);
        assert_eq!(json["denials"][0]["argument"], "a");
        for number in 0..1000 {
            note(&number.to_string());
        }
        let json = denials.to_json();
        let kinds = json["denials"].as_array().map_or(0, Vec::len);
        assert_eq!(kinds, Denials::MOST_KINDS + 1);
        assert_eq!(json["denials"][0]["argument"], "(others)");
        assert_eq!(json["denials"][0]["count"], 901);
    }

    #[test]
    fn sandboxes_and_plugins_that_reloads_bring_are_bounded() {
        let denials = Denials::default();
        let count = |denials: &Denials| denials.to_json()["denials"].as_array().map_or(0, Vec::len);
        let note = |plugin: &str, number: u64| {
            let vm = portcullis::sandbox::VmSpec::default().with_configuration(number.to_string());
            let sandbox = portcullis::sandbox::SandboxSpec {
                vm_id: "",
                code: b"",
                engine: "",
                vm: &vm,
                capabilities: portcullis::rights::Capabilities::ALL,
                rules: &portcullis::rights::Rules::NONE,
                alone: None,
            };
            let plugin = Plugin::new(plugin);
            let denial = Denial::new("proxy_log").with_plugin(&plugin).with_sandbox(sandbox.key());
            denials.note(&denial, number * 1_000_000_000);
        };
        (0..1377).for_each(|number| note("p", number));
        assert_eq!(count(&denials), Denials::MOST_KEPT);
        assert_eq!(
            denials.to_json()["denials"].as_array().unwrap().iter().filter(|kind| kind["last"] == 1376).count(),
            1
        );
        (0..1377).for_each(|number| note(&format!("p{number}"), 2000 + number));
        assert_eq!(count(&denials), Denials::MOST_PLUGINS);
        assert!(denials.to_json().to_string().contains("\"p1376\""));
    }
}
