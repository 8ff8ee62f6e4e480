//! The metrics that plugins define.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;
use portcullis::abi::MetricType;
use portcullis::resources::Metric;

use super::buckets::Buckets;
use super::exposition::{Exposition, Reading};
use super::name::{family, push_label};
use super::tags;
use crate::config::StatsTag;

/// Maximum number of metrics of a plugin that are shown, in all its VMs, one after the other or at once: a VM has a limit of its own, and
/// is gone with it. What is defined beyond it counts for its VM alone.
const MOST: usize = 10_000;

/// The bytes of their names and labels.
const MOST_TEXT: usize = 16 << 20;

/// The metrics of all plugins. VMs share the metrics of a plugin.
#[derive(Debug, Default)]
pub(super) struct OfPlugins(HashMap<String, OfPlugin>);

#[derive(Debug, Default)]
struct OfPlugin {
    /// By type and name.
    metrics: HashMap<MetricType, HashMap<String, Series>>,
    count: usize,
    text: usize,
    is_told: bool,
}

#[derive(Debug)]
struct Series {
    family: Arc<str>,
    labels: Arc<str>,
    metric: Arc<PluginMetric>,
}

impl OfPlugins {
    /// Finds a metric, or defines it.
    pub(super) fn define(
        &mut self,
        plugin: &str,
        metric_type: MetricType,
        name: &str,
        tags: &[StatsTag],
    ) -> Arc<PluginMetric> {
        if !self.0.contains_key(plugin) {
            self.0.insert(plugin.to_owned(), OfPlugin::default());
        }
        let own = self.0.entry(plugin.to_owned()).or_default();
        let of_type = own.metrics.entry(metric_type).or_default();
        if let Some(known) = of_type.get(name) {
            return Arc::clone(&known.metric);
        }
        let series = Series::new(plugin, metric_type, name, tags);
        let metric = Arc::clone(&series.metric);
        let text = own.text + name.len() + series.family.len() + series.labels.len();
        if own.count < MOST && text <= MOST_TEXT {
            of_type.insert(name.to_owned(), series);
            (own.count, own.text) = (own.count + 1, text);
        } else if !std::mem::replace(&mut own.is_told, true) {
            tracing::warn!(
                plugin,
                "has defined {} metrics, which is all that is shown of a plugin ({MOST}, with {} MiB of names); others count for \
                 the plugin itself alone: give the plugin fewer names, or bound them with the rules `names` and `count` of proxy_define_metric",
                own.count,
                MOST_TEXT >> 20
            );
        }
        metric
    }

    /// Adds all of them as they are now.
    pub(super) fn add_to(&self, exposition: &mut Exposition) {
        for (metric_type, metrics) in self.0.values().flat_map(|own| &own.metrics) {
            for Series { family, labels, metric } in metrics.values() {
                exposition.add(family, labels, metric.reading(*metric_type));
            }
        }
    }
}

impl Series {
    fn new(plugin: &str, metric_type: MetricType, name: &str, tags: &[StatsTag]) -> Self {
        let (name, tags) = tags::taken_out(name, tags);
        let (family, name) = family(metric_type, &name);
        let mut labels = String::new();
        push_label(&mut labels, "plugin", plugin);
        tags.iter().for_each(|(name, value)| push_label(&mut labels, name, value));
        if let Some(name) = name {
            push_label(&mut labels, "name", &name);
        }
        let metric = match metric_type {
            MetricType::Counter | MetricType::Gauge => PluginMetric::Number(AtomicU64::new(0)),
            MetricType::Histogram => PluginMetric::Histogram(Buckets::default()),
        };
        Self { family: family.into(), labels: labels.into(), metric: Arc::new(metric) }
    }
}

/// One metric of one plugin, summed over all workers. Nothing is allocated when it changes.
pub(super) enum PluginMetric {
    /// A counter, or a gauge, which is signed: one that is decremented first is below 0.
    Number(AtomicU64),
    Histogram(Buckets),
}

impl PluginMetric {
    fn reading(&self, metric_type: MetricType) -> Reading {
        match self {
            Self::Number(value) if metric_type == MetricType::Gauge => {
                Reading::Level(value.load(Ordering::Relaxed).cast_signed())
            }
            Self::Number(value) => Reading::Count(value.load(Ordering::Relaxed)),
            Self::Histogram(buckets) => Reading::Histogram(Box::new(buckets.snapshot())),
        }
    }
}

impl Metric for PluginMetric {
    fn add(&self, delta: i64) {
        match self {
            Self::Number(value) => drop(value.fetch_add(delta.cast_unsigned(), Ordering::Relaxed)),
            Self::Histogram(_) => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "Prometheus has only floating-point numbers")]
    fn record(&self, value: u64) {
        match self {
            Self::Number(number) => number.store(value, Ordering::Relaxed),
            Self::Histogram(buckets) => buckets.record(value as f64),
        }
    }

    fn value(&self) -> u64 {
        match self {
            Self::Number(value) => value.load(Ordering::Relaxed),
            Self::Histogram(_) => 0,
        }
    }
}

impl fmt::Debug for PluginMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginMetric({})", self.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_again_by_its_type_and_name() {
        let mut all = OfPlugins::default();
        let mut define = |plugin, metric_type, name| all.define(plugin, metric_type, name, &[]);
        let first = define("p", MetricType::Counter, "a");
        first.add(2);
        assert_eq!(define("p", MetricType::Counter, "a").value(), 2);
        for (plugin, metric_type, name) in
            [("q", MetricType::Counter, "a"), ("p", MetricType::Gauge, "a"), ("p", MetricType::Counter, "a.")]
        {
            assert_eq!(define(plugin, metric_type, name).value(), 0);
        }
    }

    /// Returns the number of series that are shown.
    fn shown(all: &OfPlugins) -> usize {
        let mut exposition = Exposition::default();
        all.add_to(&mut exposition);
        exposition.into_text().lines().filter(|line| !line.starts_with('#')).count()
    }

    #[test]
    fn what_is_kept_for_a_plugin_is_bounded_and_nothing_fails() {
        let mut all = OfPlugins::default();
        for number in 0..=MOST {
            all.define("many", MetricType::Counter, &format!("m{number}"), &[]).add(1);
        }
        assert_eq!(shown(&all), MOST);
        let beyond = all.define("many", MetricType::Counter, "beyond", &[]);
        beyond.add(3);
        assert_eq!(beyond.value(), 3, "its VM has it");
        assert_eq!(all.define("many", MetricType::Counter, "m0", &[]).value(), 1, "those that are shown are found");
        all.define("few", MetricType::Counter, "f", &[]).add(1);
        assert_eq!(shown(&all), MOST + 1, "another plugin has its own");
    }

    #[test]
    fn the_bytes_of_names_are_bounded() {
        let mut all = OfPlugins::default();
        let long = ".".repeat(8 << 10);
        for number in 0..2000 {
            all.define("long", MetricType::Gauge, &format!("{number}{long}"), &[]);
        }
        let text: usize = all.0.values().map(|own| own.text).sum();
        assert!(text > MOST_TEXT / 2 && text <= MOST_TEXT, "{text}");
        assert!(shown(&all) < 1000);
    }
}
