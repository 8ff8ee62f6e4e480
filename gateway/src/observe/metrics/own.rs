//! The gateway's own metrics, which its code notes with the macros of the crate `metrics`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::buckets::Buckets;
use super::exposition::{Exposition, Reading};
use super::name::push_label;

/// The gateway's metrics. Clones are the same.
///
/// Names and labels are the code's and the configuration's, and those of plugins are bounded, which reloads bring and take away; no sample is
/// kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Own(Arc<Mutex<All>>);

/// Maximum number of plugins that have series. When there is another one, the plugin whose series have not been used for longest loses them.
const MOST_PLUGINS: usize = 2000;

#[derive(Debug, Default)]
struct All {
    series: HashMap<Key, Series>,
    /// When a series of a plugin was last used, as the number of uses of all.
    plugins: HashMap<String, u64>,
    uses: u64,
}

#[derive(Debug)]
struct Series {
    family: Arc<str>,
    labels: Arc<str>,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Counter(Arc<AtomicU64>),
    /// The bits of a floating-point number.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Own {
    /// Adds all of them as they are now.
    pub(super) fn add_to(&self, exposition: &mut Exposition) {
        for Series { family, labels, value } in self.lock().series.values() {
            let reading = match value {
                Value::Counter(value) => Reading::Count(value.load(Ordering::Relaxed)),
                Value::Gauge(bits) => Reading::Number(f64::from_bits(bits.load(Ordering::Relaxed))),
                Value::Histogram(buckets) => Reading::Histogram(Box::new(buckets.snapshot())),
            };
            exposition.add(family, labels, reading);
        }
    }

    /// Returns the value of a key, which is `new` if there is none yet.
    fn value(&self, key: &Key, new: impl FnOnce() -> Value) -> Value {
        let mut all = self.lock();
        all.use_plugin(key);
        if let Some(known) = all.series.get(key) {
            return known.value.clone();
        }
        let mut labels = String::new();
        key.labels().for_each(|label| push_label(&mut labels, label.key(), label.value()));
        let value = new();
        all.series
            .insert(key.clone(), Series { family: key.name().into(), labels: labels.into(), value: value.clone() });
        value
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Notes that a series is used, if it is one of a plugin.
    fn use_plugin(&mut self, key: &Key) {
        let Some(plugin) = plugin_of(key) else { return };
        self.uses += 1;
        if let Some(used) = self.plugins.get_mut(plugin) {
            *used = self.uses;
            return;
        }
        if self.plugins.len() >= MOST_PLUGINS {
            let oldest = self.plugins.iter().min_by_key(|(_, used)| **used).map(|(plugin, _)| plugin.clone());
            if let Some(oldest) = oldest {
                self.plugins.remove(&oldest);
                self.series.retain(|key, _| plugin_of(key) != Some(&oldest));
            }
        }
        self.plugins.insert(plugin.to_owned(), self.uses);
    }
}

fn plugin_of(key: &Key) -> Option<&str> {
    key.labels().find(|label| label.key() == "plugin").map(metrics::Label::value)
}

/// A name that is used for two types is noted for the first of them alone.
impl Recorder for Own {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.value(key, || Value::Counter(Arc::default())) {
            Value::Counter(value) => Counter::from_arc(value),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.value(key, || Value::Gauge(Arc::default())) {
            Value::Gauge(bits) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.value(key, || Value::Histogram(Arc::default())) {
            Value::Histogram(buckets) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_macros_note_is_shown_and_no_sample_is_kept() {
        let own = Own::default();
        metrics::with_local_recorder(&own, || {
            for _ in 0..2 {
                metrics::counter!("c_total", "a" => "1", "b" => "x\"y").increment(2);
            }
            metrics::gauge!("g").set(0.5);
            metrics::gauge!("g").decrement(2.0);
            // Another type: lost, and harmless.
            metrics::counter!("g").increment(1);
            for sample in 0..120_000_u32 {
                metrics::histogram!("h").record(f64::from(sample % 3));
            }
        });
        let mut exposition = Exposition::default();
        own.add_to(&mut exposition);
        let text = exposition.into_text();
        for line in [
            "# TYPE c_total counter",
            "c_total{a=\"1\",b=\"x\\\"y\"} 4",
            "g -1.5",
            "h_bucket{le=\"1\"} 80000",
            "h_bucket{le=\"+Inf\"} 120000",
            "h_sum 120000",
            "h_count 120000",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert_eq!(own.lock().series.len(), 3);
    }

    #[test]
    fn plugins_that_reloads_bring_are_bounded_and_those_in_use_stay() {
        let own = Own::default();
        metrics::with_local_recorder(&own, || {
            metrics::counter!("c_total", "of" => "gateway").increment(1);
            for number in 0..2 * MOST_PLUGINS {
                metrics::counter!("c_total", "plugin" => "lasts").increment(1);
                for reason in ["trap", "deadline"] {
                    metrics::counter!("c_total", "plugin" => number.to_string(), "reason" => reason).increment(1);
                }
            }
        });
        let mut exposition = Exposition::default();
        own.add_to(&mut exposition);
        let text = exposition.into_text();
        assert!(text.contains(&format!("c_total{{plugin=\"lasts\"}} {}\n", 2 * MOST_PLUGINS)));
        assert!(text.contains("c_total{of=\"gateway\"} 1\n") && !text.contains("{plugin=\"0\""));
        assert_eq!(own.lock().series.len(), 2 * (MOST_PLUGINS - 1) + 2);
        assert_eq!(own.lock().plugins.len(), MOST_PLUGINS);
    }
}
