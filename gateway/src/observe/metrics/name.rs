//! Names of plugins' metrics in the exposition.
//!
//! Plugins choose names without knowing of each other, and Prometheus wants one type for each name. So what a metric is called
//! follows from its type and name alone, not from the names of others or the order of definition:
//!
//! | type | name | series |
//! |---|---|---|
//! | counter | `requests_total` | `requests_total` |
//! | gauge | `active` | `active_gauge` |
//! | histogram | `bytes` | `bytes_histogram_bucket`, `bytes_histogram_sum`, `bytes_histogram_count` |
//! | counter | `active_gauge`, `bytes_histogram`, or one with `_bucket`, `_sum`, `_count` behind the latter | `active_gauge_counter{name="active_gauge"}` |
//! | any | `a.b` | `a_b{name="a.b"}` |
//! | any | `portcullis_requests_total` | `plugin_portcullis_requests_total{name="portcullis_requests_total"}` |
//!
//! Types have no name in common, as a counter never ends like a gauge or a histogram. Two names of one type either are called
//! differently, or their labels differ: where a name is not written as it is (but for the ending of its type), `name` has it.

use std::fmt::Write;

use portcullis::abi::MetricType;

/// Names that begin so are the gateway's own.
pub(super) const OWN: &str = "portcullis";

/// The beginning of a plugin's name that begins like one of the gateway's.
const FOREIGN: &str = "plugin_";

const GAUGE: &str = "_gauge";
const HISTOGRAM: &str = "_histogram";
const COUNTER: &str = "_counter";

/// Returns the name of a family of this type and name, and its label `name` if there is to be one.
pub(super) fn family(metric_type: MetricType, name: &str) -> (String, Option<String>) {
    let mut family = valid(name);
    if family.starts_with(OWN) {
        family.insert_str(0, FOREIGN);
    }
    if metric_type == MetricType::Counter && is_of_another_type(&family) {
        family.push_str(COUNTER);
    }
    let label = (family != name).then(|| spelt_out(name));
    match metric_type {
        MetricType::Counter => {}
        MetricType::Gauge => family.push_str(GAUGE),
        MetricType::Histogram => family.push_str(HISTOGRAM),
    }
    (family, label)
}

/// Returns true if a gauge or a histogram may have a series of this name.
fn is_of_another_type(name: &str) -> bool {
    let of_histogram = ["", "_bucket", "_sum", "_count"];
    name.ends_with(GAUGE)
        || of_histogram.iter().any(|end| name.strip_suffix(end).is_some_and(|name| name.ends_with(HISTOGRAM)))
}

/// Replaces what Prometheus does not allow in a name: it has letters, digits, `_` and `:`, and no digit at the beginning.
fn valid(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut valid: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if !valid.starts_with(|c: char| !c.is_ascii_digit()) {
        valid.insert(0, '_');
    }
    valid
}

/// Returns a name as the value of a label: never empty, which for Prometheus is no label, and without control characters. No two
/// names are spelt out alike.
fn spelt_out(name: &str) -> String {
    if name.is_empty() {
        return "\\u{}".to_owned();
    }
    let mut text = String::with_capacity(name.len());
    for char in name.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            char if is_control(char) => drop(write!(text, "\\u{{{:x}}}", u32::from(char))),
            char => text.push(char),
        }
    }
    text
}

/// Adds a label to a list of them.
pub(super) fn push_label(labels: &mut String, name: &str, value: &str) {
    if !labels.is_empty() {
        labels.push(',');
    }
    labels.push_str(name);
    labels.push_str("=\"");
    for char in value.chars() {
        match char {
            '\\' => labels.push_str("\\\\"),
            '"' => labels.push_str("\\\""),
            '\n' => labels.push_str("\\n"),
            char if is_control(char) => drop(write!(labels, "\\\\u{{{:x}}}", u32::from(char))),
            char => labels.push(char),
        }
    }
    labels.push('"');
}

/// Returns true if a terminal would act on a character, or begin another line.
fn is_control(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use MetricType::{Counter, Gauge, Histogram};

    use super::*;

    #[test]
    fn honest_names_stay_readable() {
        for (metric_type, name, expected) in [
            (Counter, "requests_total", "requests_total"),
            (Counter, "request_count", "request_count"),
            (Counter, "lat_sum", "lat_sum"),
            (Counter, "ns:x", "ns:x"),
            (Gauge, "active", "active_gauge"),
            (Gauge, "active_gauge", "active_gauge_gauge"),
            (Histogram, "lat", "lat_histogram"),
        ] {
            assert_eq!(family(metric_type, name), (expected.to_owned(), None));
        }
    }

    #[test]
    fn what_is_not_written_as_it_is_has_its_name_as_a_label() {
        for (metric_type, name, expected, label) in [
            (Counter, "a.b-c", "a_b_c", "a.b-c"),
            (Gauge, "a.b", "a_b_gauge", "a.b"),
            (Counter, "1st", "_1st", "1st"),
            (Counter, "", "_", "\\u{}"),
            (Counter, "\u{e9} \n\0", "____", "\u{e9} \\u{a}\\u{0}"),
            (Counter, "a\\b", "a_b", "a\\\\b"),
            (Counter, "portcullis", "plugin_portcullis", "portcullis"),
            (Counter, "portcullis.requests.total", "plugin_portcullis_requests_total", "portcullis.requests.total"),
            (Gauge, "portcullis_vms", "plugin_portcullis_vms_gauge", "portcullis_vms"),
            (Counter, "active_gauge", "active_gauge_counter", "active_gauge"),
            (Counter, "lat_histogram", "lat_histogram_counter", "lat_histogram"),
            (Counter, "lat_histogram_sum", "lat_histogram_sum_counter", "lat_histogram_sum"),
        ] {
            assert_eq!(family(metric_type, name), (expected.to_owned(), Some(label.to_owned())));
        }
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let mut labels = String::new();
        push_label(&mut labels, "a", "say \"x\"\n\\");
        push_label(&mut labels, "b", "\x1b[31m\0\u{85}");
        assert_eq!(labels, r#"a="say \"x\"\n\\",b="\\u{1b}[31m\\u{0}\\u{85}""#);
    }
}
