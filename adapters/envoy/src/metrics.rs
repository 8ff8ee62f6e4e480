//! The metrics of plugins, as metrics of Envoy's.
//!
//! A metric of Envoy's belongs to a configuration, is defined while that is made, and is changed on a thread of Envoy's. Plugins define
//! theirs when they like, and change them on any thread, also while they tick. So the numbers are kept here, and what has changed is told
//! on the main thread, by the youngest configuration, within [`PERIOD`].
//!
//! | a metric that one plugin alone has when a configuration was made | any other |
//! |---|---|
//! | a metric of its name, which no other plugin changes | one of a family, `portcullis_counter`, `_gauge` or `_histogram`, with the labels `plugin` and `metric` |

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis::abi::MetricType;
use portcullis::resources::Metric;
use tokio::sync::Notify;

/// The time after which a change is told.
pub(crate) const PERIOD: Duration = Duration::from_millis(500);

/// The number of the scheduler's event that says that metrics have changed.
pub(crate) const METRICS: u64 = 2;

/// The most values of a histogram that wait. Further ones are left out.
const MOST_VALUES: usize = 4096;

/// The longest name of a metric of its own.
const LONGEST_NAME: usize = 256;

/// The labels of a family.
const LABELS: &[&str] = &["plugin", "metric"];

/// Metrics of a configuration in Envoy.
pub(crate) trait Meters {
    /// Defines a metric, or a family of metrics with labels; returns its number. Only while the configuration is made.
    fn define(&mut self, kind: MetricType, name: &str, labels: &[&str]) -> Option<usize>;
    /// Adds to a counter, sets a gauge, or notes a value in a histogram.
    fn tell(&mut self, kind: MetricType, id: usize, labels: &[&str], value: u64);
}

/// The metrics of all plugins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    numbers: Mutex<HashMap<Name, Arc<Number>>>,
    /// How many times a plugin runs. Metrics of one that does not are dropped once they are told.
    running: Mutex<HashMap<String, usize>>,
    changed: Arc<Changed>,
}

/// Says once that something has changed.
#[derive(Debug, Default)]
struct Changed {
    is_noted: AtomicBool,
    notify: Notify,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    plugin: String,
    kind: MetricType,
    metric: String,
}

/// The numbers under which a configuration has metrics.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    own: HashMap<Name, usize>,
    families: HashMap<MetricType, usize>,
}

impl Metrics {
    /// Defines a metric, or finds it again.
    pub(crate) fn define(&self, plugin: &str, kind: MetricType, metric: &str) -> Arc<dyn Metric> {
        let name = Name { plugin: plugin.to_owned(), kind, metric: metric.to_owned() };
        let mut numbers = self.numbers();
        let new = || Arc::new(Number::new(kind, Arc::clone(&self.0.changed)));
        Arc::<Number>::clone(numbers.entry(name).or_insert_with(new)) as Arc<dyn Metric>
    }

    /// Defines what there is in a configuration that is being made.
    pub(crate) fn define_in(&self, envoy: &mut dyn Meters) -> Ids {
        let mut ids = Ids::default();
        for (kind, family) in [
            (MetricType::Counter, "portcullis_counter"),
            (MetricType::Gauge, "portcullis_gauge"),
            (MetricType::Histogram, "portcullis_histogram"),
        ] {
            if let Some(id) = envoy.define(kind, family, LABELS) {
                ids.families.insert(kind, id);
            }
        }
        self.drop_ended();
        let numbers = self.numbers();
        let mut plugins = HashMap::new();
        numbers.keys().for_each(|name| *plugins.entry(name.metric.as_str()).or_insert(0) += 1);
        for name in
            numbers.keys().filter(|name| is_plain(&name.metric) && plugins.get(name.metric.as_str()) == Some(&1))
        {
            if let Some(id) = envoy.define(name.kind, &name.metric, &[]) {
                ids.own.insert(name.clone(), id);
            }
        }
        ids
    }

    /// Notes that a plugin begins to run once more.
    pub(crate) fn begin(&self, plugin: &str) {
        *self.running().entry(plugin.to_owned()).or_default() += 1;
        self.drop_ended();
    }

    /// Notes that a plugin runs once less.
    pub(crate) fn end(&self, plugin: &str) {
        let mut running = self.running();
        if let Some(times) = running.get_mut(plugin) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                running.remove(plugin);
            }
        }
        drop(running);
        // What it has changed last is told first.
        self.0.changed.note();
    }

    fn drop_ended(&self) {
        let running = self.running();
        self.numbers().retain(|name, _| running.contains_key(&name.plugin));
    }

    fn running(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until changes are to be told.
    pub(crate) async fn changed(&self) {
        self.0.changed.notify.notified().await;
        tokio::time::sleep(PERIOD).await;
        self.0.changed.is_noted.store(false, Ordering::Release);
    }

    /// Tells Envoy what has changed, on the main thread.
    pub(crate) fn tell(&self, ids: &Ids, envoy: &mut dyn Meters) {
        let numbers: Vec<_> = self.numbers().iter().map(|(name, number)| (name.clone(), Arc::clone(number))).collect();
        for (name, number) in numbers {
            let (plugin, metric) = (printable(&name.plugin), printable(&name.metric));
            let labels = [plugin.as_str(), &metric];
            let (id, labels) = match ids.own.get(&name) {
                Some(id) => (*id, &[][..]),
                None => match ids.families.get(&name.kind) {
                    Some(id) => (*id, &labels[..]),
                    None => continue,
                },
            };
            number.take(|value| envoy.tell(name.kind, id, labels, value));
        }
        self.drop_ended();
    }

    fn numbers(&self) -> MutexGuard<'_, HashMap<Name, Arc<Number>>> {
        self.0.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a name can be that of a metric of Envoy's. Plugins choose theirs.
fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b':');
    let is_family = name.starts_with("portcullis_");
    !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(is_plain) && !is_family
}

/// Returns a name as the value of a label.
fn printable(name: &str) -> String {
    name.chars().take(LONGEST_NAME).map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect()
}

/// One metric.
#[derive(Debug)]
struct Number {
    kind: MetricType,
    value: AtomicU64,
    /// The sum that was added to a counter and is not told.
    added: AtomicU64,
    /// A gauge has another value than was told.
    is_set: AtomicBool,
    /// Values of a histogram that are not told.
    values: Mutex<Vec<u64>>,
    changed: Arc<Changed>,
}

impl Number {
    fn new(kind: MetricType, changed: Arc<Changed>) -> Self {
        let (value, added, is_set, values) = Default::default();
        Self { kind, value, added, is_set, values, changed }
    }

    /// Takes what is to be told.
    fn take(&self, mut tell: impl FnMut(u64)) {
        match self.kind {
            MetricType::Counter => match self.added.swap(0, Ordering::Relaxed) {
                0 => {}
                added => tell(added),
            },
            MetricType::Gauge => {
                if self.is_set.swap(false, Ordering::Acquire) {
                    tell(self.value.load(Ordering::Relaxed));
                }
            }
            MetricType::Histogram => {
                let values = std::mem::take(&mut *self.values.lock().unwrap_or_else(PoisonError::into_inner));
                values.into_iter().for_each(tell);
            }
        }
    }

    fn note(&self) {
        self.changed.note();
    }
}

impl Changed {
    fn note(&self) {
        if !self.is_noted.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }
}

impl Metric for Number {
    fn add(&self, delta: i64) {
        self.value.fetch_add(delta.cast_unsigned(), Ordering::Relaxed);
        match self.kind {
            MetricType::Counter => drop(self.added.fetch_add(delta.max(0).cast_unsigned(), Ordering::Relaxed)),
            _ => self.is_set.store(true, Ordering::Release),
        }
        self.note();
    }

    fn record(&self, value: u64) {
        let before = self.value.swap(value, Ordering::Relaxed);
        match self.kind {
            // One of Envoy's only grows.
            MetricType::Counter => drop(self.added.fetch_add(value.saturating_sub(before), Ordering::Relaxed)),
            MetricType::Gauge => self.is_set.store(true, Ordering::Release),
            MetricType::Histogram => {
                let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
                if values.len() < MOST_VALUES {
                    values.push(value);
                }
            }
        }
        self.note();
    }

    fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Notes what it is told.
    #[derive(Default)]
    struct Told(Vec<String>, usize);

    impl Meters for Told {
        fn define(&mut self, kind: MetricType, name: &str, labels: &[&str]) -> Option<usize> {
            self.1 += 1;
            self.0.push(format!("{} is {kind:?} {name} {labels:?}", self.1));
            Some(self.1)
        }

        fn tell(&mut self, kind: MetricType, id: usize, labels: &[&str], value: u64) {
            self.0.push(format!("{id} {kind:?} {labels:?} {value}"));
        }
    }

    #[test]
    fn changes_are_told_once() {
        let (metrics, mut told) = (Metrics::default(), Told::default());
        metrics.begin("p");
        let counter = metrics.define("p", MetricType::Counter, "requests");
        let ids = metrics.define_in(&mut told);
        assert_eq!(told.0.last().unwrap(), "4 is Counter requests []");
        let late = metrics.define("p", MetricType::Counter, "late one");
        assert!(Arc::ptr_eq(&late, &metrics.define("p", MetricType::Counter, "late one")));
        counter.add(2);
        counter.record(5);
        late.add(1);
        told.0.clear();
        metrics.tell(&ids, &mut told);
        told.0.sort();
        assert_eq!(told.0, [r#"1 Counter ["p", "late_one"] 1"#, "4 Counter [] 5"]);
        told.0.clear();
        metrics.tell(&ids, &mut told);
        assert!(told.0.is_empty(), "{:?}", told.0);
        assert_eq!((counter.value(), late.value()), (5, 1));
    }

    #[test]
    fn gauges_have_values_and_histograms_all_of_them() {
        let (metrics, mut told) = (Metrics::default(), Told::default());
        metrics.begin("p");
        let (gauge, histogram) =
            (metrics.define("p", MetricType::Gauge, "g"), metrics.define("p", MetricType::Histogram, "h"));
        let ids = Ids::default();
        let ids = Ids { families: HashMap::from([(MetricType::Gauge, 1), (MetricType::Histogram, 2)]), ..ids };
        gauge.add(5);
        gauge.add(-2);
        (0..MOST_VALUES as u64 + 9).for_each(|value| histogram.record(value));
        metrics.tell(&ids, &mut told);
        assert_eq!(told.0.len(), MOST_VALUES + 1);
        assert!(told.0.contains(&r#"1 Gauge ["p", "g"] 3"#.to_owned()));
        assert!(told.0.contains(&r#"2 Histogram ["p", "h"] 4095"#.to_owned()));
    }

    #[test]
    fn a_name_that_two_plugins_have_is_that_of_neither() {
        let (metrics, mut told) = (Metrics::default(), Told::default());
        ["p", "q", "r"].into_iter().for_each(|plugin| metrics.begin(plugin));
        let define = |plugin, name| metrics.define(plugin, MetricType::Counter, name);
        let (two, other_two, one) = (define("p", "two"), define("q", "two"), define("p", "one"));
        let ids = metrics.define_in(&mut told);
        assert_eq!(told.0.split_off(3), ["4 is Counter one []"]);
        // Too late to be of one name with the other.
        let late = define("r", "one");
        for counter in [two, other_two, one, late] {
            counter.add(1);
        }
        told.0.clear();
        metrics.tell(&ids, &mut told);
        told.0.sort();
        assert_eq!(
            told.0,
            [
                r#"1 Counter ["p", "two"] 1"#,
                r#"1 Counter ["q", "two"] 1"#,
                r#"1 Counter ["r", "one"] 1"#,
                "4 Counter [] 1",
            ]
        );
    }

    #[test]
    fn metrics_end_with_their_plugin_once_they_are_told() {
        let (metrics, mut told) = (Metrics::default(), Told::default());
        metrics.begin("p");
        metrics.begin("p");
        let counter = metrics.define("p", MetricType::Counter, "one");
        let ids = metrics.define_in(&mut told);
        metrics.end("p");
        metrics.tell(&ids, &mut told);
        assert_eq!(metrics.numbers().len(), 1, "another runs");
        counter.add(1);
        metrics.end("p");
        metrics.tell(&ids, &mut told);
        assert_eq!(told.0.last().unwrap(), "4 Counter [] 1");
        assert!(metrics.numbers().is_empty());
    }
}
