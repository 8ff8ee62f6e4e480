//! Usage of plugins, for `/metrics`.

use std::fmt::Write;

use portcullis::vm::Used;
use portcullis_config::plan::usage;

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
    let used: Vec<_> = usage::all().into_iter().map(|(plugin, used)| (escaped(&plugin), used)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plugin_has_a_line_of_each_metric() {
        let _usage = usage::of("usage \"test\"\n");
        let text = exposition();
        for (name, kind, _) in METRICS {
            assert_eq!(text.matches(&format!("# TYPE {name} {kind}\n")).count(), 1, "{text}");
            assert!(text.contains(&format!("\n{name}{{plugin=\"usage \\\"test\\\"\\n\"}} 0\n")), "{text}");
        }
    }
}
