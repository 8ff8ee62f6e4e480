//! Usage of plugins, for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use portcullis::vm::{CoarseClock, Usage, Used};

/// Resolution of the clock that callbacks are measured with.
const STEP: Duration = Duration::from_millis(4);

/// All plugins of the process, by name: those of one name count together, as their other metrics do.
static PLUGINS: Mutex<BTreeMap<String, Usage>> = Mutex::new(BTreeMap::new());

/// Returns the usage of plugins of this name.
pub(crate) fn of(plugin: &str) -> Usage {
    let mut plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    plugins.entry(plugin.to_owned()).or_insert_with(|| Usage::new(clock())).clone()
}

/// One metric: its name, what it is, and its value.
type Metric = (&'static str, &'static str, fn(&Used) -> String);

const METRICS: [Metric; 4] = [
    ("portcullis_plugin_calls_total", "counter", |used| used.calls.to_string()),
    ("portcullis_plugin_cpu_refused_total", "counter", |used| used.refused.to_string()),
    ("portcullis_plugin_cpu_seconds_total", "counter", |used| used.cpu.as_secs_f64().to_string()),
    ("portcullis_plugin_memory_bytes", "gauge", |used| used.memory.to_string()),
];

/// Returns the metrics of all plugins, as Prometheus reads them. Counters of the recorder have no fractions.
pub(crate) fn exposition() -> String {
    let plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    let used: Vec<_> = plugins.iter().map(|(plugin, usage)| (escaped(plugin), usage.used())).collect();
    let mut text = String::new();
    for (name, kind, value) in METRICS.iter().filter(|_| !used.is_empty()) {
        let _ = writeln!(text, "# TYPE {name} {kind}");
        for (plugin, used) in &used {
            let _ = writeln!(text, "{name}{{plugin=\"{plugin}\"}} {}", value(used));
        }
        text.push('\n');
    }
    text
}

/// Escapes a value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Returns the clock of the process, which a thread advances; without the thread it stops, and callbacks take no time.
fn clock() -> CoarseClock {
    static CLOCK: OnceLock<CoarseClock> = OnceLock::new();
    let start = || {
        let clock = CoarseClock::default();
        let (moved, begun) = (clock.clone(), Instant::now());
        let run = move || {
            loop {
                std::thread::sleep(STEP);
                moved.set(begun.elapsed());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("clock".to_owned()).spawn(run) {
            tracing::warn!(
                "cannot start the thread that measures plugins: {error}; their usage is not measured and limits.cpu is not enforced: raise \
                 the limit of threads (`ulimit -u`; systemd: TasksMax), and start the gateway again"
            );
        }
        clock
    };
    CLOCK.get_or_init(start).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plugin_has_a_line_of_each_metric() {
        let _usage = of("usage \"test\"\n");
        let text = exposition();
        for (name, kind, _) in METRICS {
            assert_eq!(text.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{text}");
            assert!(text.contains(&format!("\n{name}{{plugin=\"usage \\\"test\\\"\\n\"}} 0\n")), "{text}");
        }
    }
}
