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

/// Maximum number of plugins that are shown after their last VM has gone. A plugin whose VM is started again keeps what it has counted; when
/// there are more, as after many reloads, those are forgotten whose VMs asked for a metric the longest ago.
const MOST_GONE: usize = 100;

/// The bytes of names and labels of those.
const MOST_GONE_TEXT: usize = 16 << 20;

/// The metrics of all plugins. VMs share the metrics of a plugin.
#[derive(Debug, Default)]
pub(super) struct OfPlugins {
    all: HashMap<String, OfPlugin>,
    /// Number of metrics that VMs have asked for.
    uses: u64,
}

#[derive(Debug, Default)]
struct OfPlugin {
    /// By type and name.
    metrics: HashMap<MetricType, HashMap<String, Series>>,
    count: usize,
    text: usize,
    is_told: bool,
    /// When a VM last asked for one of them, as the number of those of all plugins.
    used: u64,
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
        if !self.all.contains_key(plugin) {
            self.forget_gone();
            self.all.insert(plugin.to_owned(), OfPlugin::default());
        }
        self.uses += 1;
        let own = self.all.entry(plugin.to_owned()).or_default();
        own.used = self.uses;
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

    /// Forgets plugins that have gone, if they are many: first those that were used last the longest ago.
    fn forget_gone(&mut self) {
        let mut gone: Vec<_> = self.all.iter().filter(|(_, own)| own.is_gone()).collect();
        gone.sort_unstable_by_key(|(_, own)| std::cmp::Reverse(own.used));
        let mut text = 0;
        let oldest = gone.into_iter().enumerate().filter(|(index, (_, own))| {
            text += own.text;
            // One more is about to come.
            index + 1 >= MOST_GONE || text > MOST_GONE_TEXT
        });
        let oldest: Vec<_> = oldest.map(|(_, (plugin, _))| plugin.clone()).collect();
        oldest.iter().for_each(|plugin| drop(self.all.remove(plugin)));
    }

    /// Adds all of them as they are now.
    pub(super) fn add_to(&self, exposition: &mut Exposition) {
        for (metric_type, metrics) in self.all.values().flat_map(|own| &own.metrics) {
            for Series { family, labels, metric } in metrics.values() {
                exposition.add(family, labels, metric.reading(*metric_type));
            }
        }
    }
}

impl OfPlugin {
    /// Returns true if no VM has one of its metrics.
    fn is_gone(&self) -> bool {
        self.metrics.values().flat_map(HashMap::values).all(|series| Arc::strong_count(&series.metric) == 1)
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
    fn plugins_that_have_gone_are_forgotten_when_they_are_many() {
        let mut all = OfPlugins::default();
        let held = all.define("held", MetricType::Counter, "a", &[]);
        held.add(7);
        for number in 0..1377 {
            all.define(&format!("p{number}"), MetricType::Counter, "a", &[]).add(1);
            assert!(shown(&all) <= MOST_GONE + 2, "{number}");
        }
        assert_eq!(all.define("held", MetricType::Counter, "a", &[]).value(), 7);
        // Those that went last are there, and have what they have counted.
        for number in 1377 - MOST_GONE + 1..1377 {
            let kept = all.define(&format!("p{number}"), MetricType::Counter, "a", &[]).value();
            assert_eq!(kept, 1, "{number}");
        }
        let last = all.define("p1376", MetricType::Counter, "a", &[]);
        assert_eq!(last.value(), 1, "one whose VM is started again finds what it has counted");
        let long = ".".repeat(8 << 10);
        for number in 0..20 {
            for name in 0..500 {
                all.define(&format!("long {number}"), MetricType::Gauge, &format!("{name}{long}"), &[]);
            }
        }
        let text: usize = all.all.values().map(|own| own.text).sum();
        assert!(text < 3 * MOST_GONE_TEXT, "{text}");
    }

    #[test]
    fn the_bytes_of_names_are_bounded() {
        let mut all = OfPlugins::default();
        let long = ".".repeat(8 << 10);
        for number in 0..2000 {
            all.define("long", MetricType::Gauge, &format!("{number}{long}"), &[]);
        }
        let text: usize = all.all.values().map(|own| own.text).sum();
        assert!(text > MOST_TEXT / 2 && text <= MOST_TEXT, "{text}");
        assert!(shown(&all) < 1000);
    }
}
