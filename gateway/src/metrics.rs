//! Metrics: the gateway's own and the plugins', for Prometheus.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use portcullis::core::{Metric, MetricType, Plugin};

/// Bounds of every histogram: from 1 to 10 million in steps of about 2.5, for sizes and for times in
/// any unit.
const BUCKETS: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 1e7,
];

/// How many metrics a plugin may define, in all its VMs, one after the other or at once: a VM has a limit of its own, and
/// is gone with it.
const MOST: usize = 10_000;

/// Names that plugins may not define: the gateway's own begin so.
const OWN_PREFIX: &str = "portcullis_";

/// All metrics of the process. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    prometheus: PrometheusHandle,
    plugins: Arc<Mutex<Defined>>,
}

#[derive(Debug, Default)]
struct Defined {
    /// By plugin and name: VMs share a metric.
    metrics: HashMap<String, HashMap<String, Arc<PluginMetric>>>,
    /// A name has one type for all plugins, as Prometheus wants it.
    types: HashMap<String, MetricType>,
}

impl Metrics {
    /// Installs the recorder. The first call of a process counts; later ones get a recorder of
    /// their own for what plugins define, and share the gateway's.
    pub(crate) fn install() -> Self {
        let builder = PrometheusBuilder::new();
        let recorder = builder.set_buckets(BUCKETS).unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder();
        let prometheus = recorder.handle();
        static FIRST: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = &*first {
            return first.clone();
        }
        let metrics = Self { prometheus, plugins: Arc::default() };
        if metrics::set_global_recorder(recorder).is_ok() {
            *first = Some(metrics.clone());
        }
        metrics
    }

    /// The text that Prometheus scrapes.
    pub(crate) fn render(&self) -> String {
        self.prometheus.run_upkeep();
        self.prometheus.render()
    }

    /// Defines a metric of a plugin, or finds it. `None` for a name that is the gateway's or that
    /// another plugin uses for another type, or if the plugin has too many.
    pub(crate) fn define(&self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Option<Arc<dyn Metric>> {
        let name = &*prometheus_name(name);
        if name.starts_with(OWN_PREFIX) {
            return None;
        }
        let mut defined = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let Defined { metrics, types } = &mut *defined;
        let own = metrics.entry(plugin.name.clone()).or_default();
        if types.get(name).is_some_and(|known| *known != metric_type) {
            return None;
        }
        let metric: Arc<PluginMetric> = match own.get(name) {
            Some(metric) => Arc::clone(metric),
            None if own.len() >= MOST => return None,
            None => {
                types.insert(name.to_owned(), metric_type);
                let metric = Arc::new(PluginMetric::new(&plugin.name, metric_type, name));
                Arc::clone(own.entry(name.to_owned()).or_insert(metric))
            }
        };
        Some(metric)
    }
}

/// What Prometheus calls a metric: letters, digits, `_` and `:` only, and no digit at the beginning. Names that
/// differ only in other characters are one metric.
fn prometheus_name(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut valid: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if !valid.starts_with(|c: char| !c.is_ascii_digit()) {
        valid.insert(0, '_');
    }
    valid
}

/// One metric of one plugin, summed over all workers.
struct PluginMetric {
    value: AtomicU64,
    sink: Sink,
}

enum Sink {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

impl PluginMetric {
    fn new(plugin: &str, metric_type: MetricType, name: &str) -> Self {
        let (name, plugin) = (name.to_owned(), plugin.to_owned());
        let sink = match metric_type {
            MetricType::Counter => Sink::Counter(metrics::counter!(name, "plugin" => plugin)),
            MetricType::Gauge => Sink::Gauge(metrics::gauge!(name, "plugin" => plugin)),
            MetricType::Histogram => Sink::Histogram(metrics::histogram!(name, "plugin" => plugin)),
        };
        Self { value: AtomicU64::new(0), sink }
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point numbers")]
impl Metric for PluginMetric {
    fn add(&self, delta: i64) {
        self.value.fetch_add(delta.cast_unsigned(), Ordering::Relaxed);
        match &self.sink {
            Sink::Counter(counter) => counter.increment(delta.cast_unsigned()),
            Sink::Gauge(gauge) => gauge.increment(delta as f64),
            Sink::Histogram(_) => {}
        }
    }

    fn record(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
        match &self.sink {
            Sink::Counter(_) => {}
            Sink::Gauge(gauge) => gauge.set(value as f64),
            Sink::Histogram(histogram) => histogram.record(value as f64),
        }
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for PluginMetric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PluginMetric({})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_valid() {
        for (name, valid) in [
            ("a.b-c", "a_b_c"),
            ("1st", "_1st"),
            ("", "_"),
            ("ok_1:x", "ok_1:x"),
            ("é \n", "___"),
            ("portcullis.x", "portcullis_x"),
        ] {
            assert_eq!(prometheus_name(name), valid);
        }
    }

    #[test]
    fn a_plugin_cannot_pass_for_the_gateway_or_change_the_type_of_a_name() {
        let metrics = Metrics::install();
        let define = |metric_type, name| metrics.define(&Plugin::new("metrics_test"), metric_type, name).is_some();
        assert!(!define(MetricType::Counter, "portcullis_requests_total"));
        assert!(!define(MetricType::Counter, "portcullis.requests.total"));
        assert!(define(MetricType::Counter, "test.one") && define(MetricType::Counter, "test_one"));
        assert!(!define(MetricType::Gauge, "test-one"), "two types of one name are no valid exposition");
    }
}
