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

impl Denials {
    /// The most kinds of one plugin, after which arguments are not distinguished, because a guest chooses them.
    const MOST_KINDS: usize = 100;

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
        if !record.kinds.contains_key(&kind) {
            let kinds = record.of_plugin.entry(kind.plugin.clone()).or_default();
            if *kinds >= Self::MOST_KINDS {
                // Without arguments there are as many kinds as there are rules.
                kind.argument = kind.argument.map(|_| "(others)".to_owned());
            } else {
                *kinds += 1;
            }
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
}
