//! The text that Prometheus scrapes (its format 0.0.4).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt::Write;
use std::sync::Arc;

use super::buckets::Snapshot;

/// All families of metrics, by name, each with its series, by their labels. So a family has one type and is in one place, and
/// no series is there twice, whatever is added.
#[derive(Debug, Default)]
pub(crate) struct Exposition(BTreeMap<Arc<str>, Family>);

#[derive(Debug)]
struct Family {
    kind: &'static str,
    series: BTreeMap<Arc<str>, Reading>,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// The value of a counter.
    Count(u64),
    /// The value of a plugin's gauge.
    Level(i64),
    /// The value of a gauge that is no whole number.
    Number(f64),
    /// The state of a histogram.
    Histogram(Box<Snapshot>),
}

impl Exposition {
    /// Adds a series. What has the same labels is added up; what has another type than its family is left out.
    pub(crate) fn add(&mut self, family: &Arc<str>, labels: &Arc<str>, reading: Reading) {
        let kind = reading.kind();
        let family = self.0.entry(Arc::clone(family)).or_insert(Family { kind, series: BTreeMap::new() });
        if family.kind != kind {
            return;
        }
        match family.series.entry(Arc::clone(labels)) {
            Entry::Vacant(place) => drop(place.insert(reading)),
            Entry::Occupied(mut known) => known.get_mut().add(reading),
        }
    }

    /// Writes it down, in the order of names and labels.
    pub(crate) fn into_text(self) -> String {
        let mut text = String::new();
        for (name, family) in self.0 {
            let _ = writeln!(text, "# TYPE {name} {}", family.kind);
            for (labels, reading) in family.series {
                reading.write(&mut text, &name, &labels);
            }
        }
        text
    }
}

impl Reading {
    fn kind(&self) -> &'static str {
        match self {
            Self::Count(_) => "counter",
            Self::Level(_) | Self::Number(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    fn add(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(sum), Self::Count(other)) => *sum = sum.wrapping_add(other),
            (Self::Level(sum), Self::Level(other)) => *sum = sum.wrapping_add(other),
            (Self::Number(sum), Self::Number(other)) => *sum += other,
            (Self::Histogram(sum), Self::Histogram(other)) => **sum += *other,
            _ => {}
        }
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let _ = match self {
            Self::Count(value) => writeln!(text, "{name}{} {value}", Braces(labels)),
            Self::Level(value) => writeln!(text, "{name}{} {value}", Braces(labels)),
            Self::Number(value) => writeln!(text, "{name}{} {}", Braces(labels), Float(*value)),
            Self::Histogram(histogram) => {
                let comma = if labels.is_empty() { "" } else { "," };
                let mut count = 0;
                for (bound, below) in histogram.cumulative() {
                    count = below;
                    let _ = writeln!(text, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {below}", Float(bound));
                }
                let _ = writeln!(text, "{name}_sum{} {}", Braces(labels), Float(histogram.sum));
                writeln!(text, "{name}_count{} {count}", Braces(labels))
            }
        };
    }
}

/// Labels in the form in which they follow a name.
struct Braces<'a>(&'a str);

impl std::fmt::Display for Braces<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => Ok(()),
            labels => write!(f, "{{{labels}}}"),
        }
    }
}

/// A number as Prometheus writes it.
struct Float(f64);

impl std::fmt::Display for Float {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(series: &[(&str, &str, Reading)]) -> String {
        let mut exposition = Exposition::default();
        for (family, labels, reading) in series {
            exposition.add(&Arc::from(*family), &Arc::from(*labels), reading.clone());
        }
        exposition.into_text()
    }

    #[test]
    fn families_are_whole_and_ordered() {
        let series = [
            ("b", "plugin=\"2\"", Reading::Count(2)),
            ("a", "", Reading::Number(0.5)),
            ("b", "plugin=\"1\"", Reading::Count(1)),
            ("c", "", Reading::Level(-1)),
        ];
        assert_eq!(
            text(&series),
            "# TYPE a gauge\na 0.5\n# TYPE b counter\nb{plugin=\"1\"} 1\nb{plugin=\"2\"} 2\n# TYPE c gauge\nc -1\n"
        );
    }

    #[test]
    fn one_series_is_added_up_and_one_of_another_type_left_out() {
        let series = [
            ("a", "", Reading::Count(1)),
            ("a", "", Reading::Level(7)),
            ("a", "", Reading::Count(2)),
            ("g", "", Reading::Level(1)),
            ("g", "", Reading::Level(-3)),
        ];
        assert_eq!(text(&series), "# TYPE a counter\na 3\n# TYPE g gauge\ng -2\n");
    }

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        for (number, expected) in
            [(f64::INFINITY, "+Inf"), (f64::NEG_INFINITY, "-Inf"), (f64::NAN, "NaN"), (1e7, "10000000")]
        {
            assert_eq!(Float(number).to_string(), expected);
        }
    }
}
