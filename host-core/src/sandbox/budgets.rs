use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SandboxKey;
use crate::abi::MetricType;
use crate::model::limits::Limits;
use crate::resources::shared::Gone;
use crate::sandbox::byte_budget::{ByteBudget, Charge};

/// The budgets of a sandbox, which all of its VM instances draw on, one after the other and at once.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Of shared data, queues and the names of metrics.
    pub(crate) shared: Arc<ByteBudget>,
    /// Of bodies, callouts and properties.
    pub(crate) buffers: Arc<ByteBudget>,
    metrics: Mutex<Metrics>,
}

/// The budgets of all sandboxes, by their keys.
///
/// Data may outlive the VM instance that wrote them, and its sandbox may have VM instances again, which find what is charged already. Names
/// of metrics do not: a sandbox that has neither VM instances nor data is forgotten with them.
#[derive(Debug, Default)]
pub(crate) struct AllBudgets(Mutex<HashMap<SandboxKey, Arc<Budgets>>>);

/// The names of the metrics that a sandbox has defined, each charged once, as long as the budgets are there.
#[derive(Debug, Default)]
struct Metrics {
    /// By plugin and type.
    known: HashMap<String, [HashSet<Arc<str>>; 3]>,
    charge: Option<Charge>,
}

impl AllBudgets {
    /// Returns of how many sandboxes there are budgets.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Returns the budgets of a sandbox, made if there are none; and if so, those of shared data of sandboxes that have gone and left some.
    pub(crate) fn of(&self, sandbox: SandboxKey, limits: &Limits) -> (Arc<Budgets>, Gone) {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(&sandbox) {
            return (Arc::clone(known), Gone::new([]));
        }
        all.retain(|_, budgets| Arc::strong_count(budgets) > 1 || !budgets.is_unused());
        let gone = all.values().filter(|budgets| Arc::strong_count(budgets) == 1);
        let gone = Gone::new(gone.map(|budgets| Arc::clone(&budgets.shared)));
        let budgets = Arc::new(Budgets::new(limits));
        all.insert(sandbox, Arc::clone(&budgets));
        (budgets, gone)
    }
}

impl Budgets {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            shared: ByteBudget::new(limits.shared),
            buffers: ByteBudget::new(limits.buffers),
            metrics: Mutex::default(),
        }
    }

    /// Charges a piece of so many bytes that is to be held; an empty one costs nothing.
    pub(crate) fn charge_piece(&self, bytes: usize) -> Option<Charge> {
        let cost = if bytes == 0 { 0 } else { bytes.saturating_add(Limits::ENTRY_COST) };
        self.buffers.take(cost)
    }

    /// Charges the name of a metric, unless the sandbox has defined the metric before; `None` if there is no room.
    pub(crate) fn charge_metric(&self, plugin: &str, metric_type: MetricType, name: &str) -> Option<Option<Charge>> {
        if lock(&self.metrics).get(plugin, metric_type, name).is_some() {
            return Some(None);
        }
        self.shared.take(name.len().saturating_add(Limits::NAME_COST)).map(Some)
    }

    /// Notes a metric that is defined now, with what it was charged.
    pub(crate) fn note_metric(
        &self,
        plugin: &str,
        metric_type: MetricType,
        name: &str,
        charge: Option<Charge>,
    ) -> Arc<str> {
        let mut metrics = lock(&self.metrics);
        if let Some(known) = metrics.get(plugin, metric_type, name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if let Some(names) = metrics.known.entry(plugin.to_owned()).or_default().get_mut(metric_type as usize) {
            names.insert(Arc::clone(&name));
        }
        match (&mut metrics.charge, charge) {
            (Some(all), Some(charge)) => all.merge(charge),
            (all, charge) => *all = all.take().or(charge),
        }
        name
    }

    /// Returns whether nothing is charged but names of metrics.
    fn is_unused(&self) -> bool {
        let names = lock(&self.metrics).charge.as_ref().map_or(0, Charge::bytes);
        self.shared.taken() == names && self.buffers.taken() == 0
    }
}

impl Metrics {
    fn get(&self, plugin: &str, metric_type: MetricType, name: &str) -> Option<&Arc<str>> {
        self.known.get(plugin)?.get(metric_type as usize)?.get(name)
    }
}

/// Locks, also after a panic elsewhere, which leaves budgets whole: every change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::{Capabilities, Rules};
    use crate::sandbox::{SandboxSpec, VmSpec};

    fn key(vm_id: &str) -> SandboxKey {
        let vm = VmSpec::default();
        let spec = SandboxSpec {
            vm_id,
            code: b"",

            engine: "",
            vm: &vm,
            capabilities: Capabilities::ALL,
            rules: const { &Rules::NONE },
            alone: None,
        };
        spec.key()
    }

    fn of(all: &AllBudgets, vm_id: &str, limits: &Limits) -> Arc<Budgets> {
        all.of(key(vm_id), limits).0
    }

    #[test]
    fn a_sandbox_that_comes_back_finds_what_it_has_left() {
        let (all, limits) = (AllBudgets::default(), Limits { shared: 10, ..Limits::default() });
        let first = of(&all, "a", &limits);
        assert!(Arc::ptr_eq(&first, &of(&all, "a", &limits)));
        let left = first.shared.take(7);
        drop(first);
        assert!(of(&all, "b", &limits).shared.take(10).is_some(), "another one has its own");
        assert!(left.is_some() && of(&all, "a", &limits).shared.take(4).is_none());
        drop(left);
        assert!(of(&all, "a", &limits).shared.take(4).is_some());
    }

    #[test]
    fn budgets_that_nobody_uses_are_forgotten() {
        let (all, limits) = (AllBudgets::default(), Limits::default());
        let left = of(&all, "left", &limits).shared.take(1);
        for number in 0..10 {
            drop(of(&all, &number.to_string(), &limits));
        }
        assert_eq!(lock(&all.0).len(), 2, "that of which something is left, and the last");
        drop(left);
        drop(of(&all, "b", &limits));
        assert_eq!(lock(&all.0).len(), 1);
    }

    #[test]
    fn names_of_metrics_go_with_their_sandbox() {
        let (all, limits) = (AllBudgets::default(), Limits::default());
        for number in 0..1377 {
            let budgets = of(&all, &number.to_string(), &limits);
            let charge = budgets.charge_metric("p", MetricType::Counter, "a");
            assert!(charge.is_some_and(|charge| &*budgets.note_metric("p", MetricType::Counter, "a", charge) == "a"));
        }
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn a_metric_is_charged_once_for_a_sandbox() {
        let budgets = Budgets::new(&Limits { shared: 2 * Limits::NAME_COST + 3, ..Limits::default() });
        let define = |plugin, metric_type, name| {
            let charge = budgets.charge_metric(plugin, metric_type, name)?;
            Some(budgets.note_metric(plugin, metric_type, name, charge))
        };
        let first = define("p", MetricType::Counter, "a");
        let again = define("p", MetricType::Counter, "a");
        assert!(first.zip(again).is_some_and(|(first, again)| Arc::ptr_eq(&first, &again)));
        assert_eq!(budgets.shared.taken(), Limits::NAME_COST + 1);
        assert!(define("p", MetricType::Gauge, "a").is_some(), "another one");
        assert!(define("q", MetricType::Counter, "a").is_none() && define("p", MetricType::Counter, "a").is_some());
        assert_eq!(budgets.shared.taken(), 2 * (Limits::NAME_COST + 1));
    }
}
