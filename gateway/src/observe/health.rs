//! The health of plugins over all workers: `/ready`, `portcullis_vms`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis::chain::{Health, PluginState};
use portcullis::model::FailurePolicy;

/// The health of plugins as workers reported it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PluginHealth {
    workers: Arc<Mutex<Workers>>,
    /// Plugins whose gauges have been set.
    shown: Arc<Mutex<BTreeSet<String>>>,
}

/// By worker, its plugins.
type Workers = BTreeMap<usize, Vec<Health>>;

/// The answer of `/ready`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) is_ready: bool,
    /// A line each: whether it is, and what has failed.
    pub(crate) text: String,
}

impl PluginHealth {
    /// Takes note of how the plugins of a worker are doing now.
    pub(crate) fn note(&self, worker: usize, plugins: Vec<Health>) {
        self.lock().insert(worker, plugins);
    }

    /// Forgets a worker that has ended.
    pub(crate) fn forget(&self, worker: usize) {
        self.lock().remove(&worker);
    }

    /// Judges whether traffic is served: not while a plugin of a chain that is not passed by when it fails can serve on no worker.
    /// `now` is the time of the hosts' monotonic clock.
    pub(crate) fn readiness(&self, now: Duration) -> Readiness {
        let workers = self.lock();
        // Plugins of one name may differ, and workers have those of two generations while they change over one after the other.
        let mut all: BTreeMap<(&str, bool), Vec<Vec<&Health>>> = BTreeMap::new();
        for health in workers.values().flatten() {
            let of_name = all.entry((health.plugin.name.as_str(), health.serves)).or_default();
            match of_name.iter_mut().find(|of| of.first().is_some_and(|first| is_same(first, health))) {
                Some(of_plugin) => of_plugin.push(health),
                None => of_name.push(vec![health]),
            }
        }
        let (mut is_ready, mut lines) = (true, String::new());
        for of_plugin in all.values().flatten() {
            let failed: Vec<_> = of_plugin.iter().filter_map(|health| reason_of(health, now)).collect();
            let (Some(first), Some(reason)) = (of_plugin.first(), failed.first()) else { continue };
            let plugin = &first.plugin;
            let serves = of_plugin.iter().any(|health| health.serves);
            if serves && failed.len() == of_plugin.len() && plugin.failure_policy != FailurePolicy::Open {
                is_ready = false;
            }
            let (bad, all, policy) = (failed.len(), of_plugin.len(), policy_name(plugin.failure_policy));
            let _ = writeln!(lines, "{}: failed on {bad} of {all} workers, {policy}: {reason}", plugin.name);
        }
        let first = if is_ready { "ready\n" } else { "not ready\n" };
        Readiness { is_ready, text: format!("{first}{lines}") }
    }

    /// Sets the gauges of all plugins.
    pub(crate) fn set_gauges(&self) {
        let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for health in self.lock().values().flatten() {
            let mut add = |state, count| *counts.entry((health.plugin.name.clone(), state)).or_default() += count;
            STATES.iter().for_each(|state| add(state, 0));
            match &health.state {
                PluginState::Runs => add(RUNNING, 1),
                PluginState::PerStream(vms) => add(RUNNING, vms.count()),
                // Also when it has rested: what comes next starts it again.
                PluginState::Failed { rests_until: Some(_), .. } => add(RESTING, 1),
                PluginState::Failed { .. } => add(FAILED, 1),
                _ => {}
            }
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that a reload has taken away.
        for plugin in shown.iter() {
            for state in STATES {
                counts.entry((plugin.clone(), state)).or_default();
            }
        }
        shown.extend(counts.iter().filter(|(_, count)| **count > 0).map(|((plugin, _), _)| plugin.clone()));
        shown.retain(|plugin| {
            STATES.iter().any(|state| counts.get(&(plugin.clone(), *state)).is_some_and(|count| *count > 0))
        });
        drop(shown);
        for ((plugin, state), count) in counts {
            #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point numbers")]
            metrics::gauge!("portcullis_vms", "plugin" => plugin, "state" => state).set(count as f64);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const RUNNING: &str = "running";
const RESTING: &str = "resting";
const FAILED: &str = "failed";
const STATES: [&str; 3] = [RUNNING, RESTING, FAILED];

/// Returns the reason why a plugin cannot serve, if it cannot. A plugin that has rested counts as serving: the next request starts it.
fn reason_of(health: &Health, now: Duration) -> Option<&str> {
    match &health.state {
        PluginState::Failed { rests_until: Some(until), .. } if now >= *until => None,
        PluginState::Failed { reason, .. } => Some(reason.lines().next().unwrap_or_default()),
        PluginState::Ended => Some("it has ended"),
        _ => None,
    }
}

/// Returns whether two workers have the same plugin.
fn is_same(one: &Health, other: &Health) -> bool {
    one.plugin == other.plugin && one.sandbox == other.sandbox
}

fn policy_name(policy: FailurePolicy) -> &'static str {
    match policy {
        FailurePolicy::Closed => "FAIL_CLOSED",
        FailurePolicy::Open => "FAIL_OPEN",
        FailurePolicy::Reload => "FAIL_RELOAD",
    }
}

#[cfg(test)]
mod tests {
    use portcullis::model::Plugin;

    use super::*;

    fn plugin(name: &str, failure_policy: FailurePolicy, state: PluginState) -> Health {
        Health::new(Arc::new(Plugin::new(name).with_failure_policy(failure_policy)), true, state)
    }

    fn failed(rests_until: Option<u64>) -> PluginState {
        let rests_until = rests_until.map(Duration::from_secs);
        PluginState::Failed { reason: "trap: unreachable".to_owned(), rests_until }
    }

    fn judged(workers: Vec<Vec<Health>>) -> (bool, String) {
        let health = PluginHealth::default();
        workers.into_iter().enumerate().for_each(|(worker, plugins)| health.note(worker, plugins));
        let Readiness { is_ready, text } = health.readiness(Duration::from_secs(5));
        (is_ready, text)
    }

    #[test]
    fn a_closed_plugin_must_serve_somewhere() {
        use FailurePolicy::{Closed, Open, Reload};
        let line = |bad, policy| format!("p: failed on {bad} of 2 workers, {policy}: trap: unreachable\n");
        for (policy, states, is_ready, lines) in [
            (Closed, [PluginState::Runs, PluginState::Runs], true, String::new()),
            (Closed, [failed(None), PluginState::Runs], true, line(1, "FAIL_CLOSED")),
            (Closed, [failed(None), failed(None)], false, line(2, "FAIL_CLOSED")),
            (Open, [failed(None), failed(None)], true, line(2, "FAIL_OPEN")),
            (Reload, [failed(Some(6)), failed(Some(7))], false, line(2, "FAIL_RELOAD")),
            // Rested: the next request starts it again, which must come to be.
            (Reload, [failed(Some(5)), failed(Some(7))], true, line(1, "FAIL_RELOAD")),
        ] {
            let workers =
                states.map(|state| vec![plugin("other", Closed, PluginState::Runs), plugin("p", policy, state)]);
            let first = if is_ready { "ready\n" } else { "not ready\n" };
            assert_eq!(judged(workers.into()), (is_ready, format!("{first}{lines}")), "{policy:?}");
        }
    }

    /// A service runs in one worker, before the chains, and may have the name of a plugin of these.
    #[test]
    fn a_service_is_named_and_holds_nothing_up() {
        let service = || {
            let mut service = plugin("p", FailurePolicy::Closed, failed(None));
            service.serves = false;
            service
        };
        let serving = || plugin("p", FailurePolicy::Closed, PluginState::Runs);
        let (is_ready, text) = judged(vec![vec![service(), serving()], vec![serving()]]);
        assert!(is_ready && text == "ready\np: failed on 1 of 1 workers, FAIL_CLOSED: trap: unreachable\n", "{text}");
        let broken = || plugin("p", FailurePolicy::Closed, failed(None));
        let (is_ready, text) = judged(vec![vec![service(), broken()], vec![serving()]]);
        assert!(is_ready && text.contains("p: failed on 1 of 2 workers"), "{text}");
    }

    /// A worker changes over when another one has: each has plugins of its own generation, of one name.
    #[test]
    fn plugins_of_two_generations_are_told_apart() {
        let vm = portcullis::sandbox::VmSpec::default();
        let of = |code: &[u8], configuration: &str, state| {
            let mut health = plugin("p", FailurePolicy::Closed, state);
            health.plugin = Arc::new(Plugin::clone(&health.plugin).with_configuration(configuration.to_owned()));
            let spec = portcullis::sandbox::SandboxSpec {
                vm_id: "",
                code,
                engine: "",
                vm: &vm,
                capabilities: portcullis::rights::Capabilities::ALL,
                rules: &portcullis::rights::Rules::NONE,
                alone: None,
            };
            health.sandbox = Some(spec.key());
            health
        };
        // Another configuration, and another code.
        for (code, configuration) in [(b"old", "new"), (b"new", "old")] {
            let old = |state| of(b"old", "old", state);
            let new = |state| of(code, configuration, state);
            let runs = PluginState::Runs;
            let (is_ready, text) =
                judged(vec![vec![old(runs.clone()), new(failed(None))], vec![new(failed(None)), old(runs.clone())]]);
            assert!(!is_ready && text.contains("p: failed on 2 of 2 workers"), "{text}");
            let (is_ready, text) = judged(vec![vec![old(failed(None)), new(runs.clone())], vec![new(runs)]]);
            assert!(text.contains("p: failed on 1 of 1 workers") && !is_ready, "{text}");
        }
    }

    #[test]
    fn a_worker_that_has_ended_counts_no_more() {
        let health = PluginHealth::default();
        health.note(0, vec![plugin("p", FailurePolicy::Closed, failed(None))]);
        health.note(1, vec![plugin("p", FailurePolicy::Closed, PluginState::Runs)]);
        health.forget(1);
        assert!(!health.readiness(Duration::ZERO).is_ready);
    }
}
