//! A checker of the exposition format, and what it finds for names that plugins choose.

use std::collections::{BTreeMap, BTreeSet};

use portcullis::abi::MetricType;
use portcullis::resources::Metric;
use proptest::prelude::*;

use super::exposition::Exposition;
use super::name::OWN;
use super::plugin::OfPlugins;
use crate::config::Config;

/// Labels by name.
type Labels = BTreeMap<String, String>;

/// Checks a text in Prometheus' format 0.0.4: families that are not whole or have names in common, series that
/// are there twice, names and labels that are none, histograms that do not add up. Gives all series with their values.
fn check(text: &str) -> Result<BTreeMap<(String, Labels), f64>, String> {
    let mut claimed = BTreeSet::new();
    let mut family: Option<(&str, &str)> = None;
    let mut series = BTreeMap::new();
    let mut histograms: BTreeMap<(String, Labels), Vec<(f64, f64)>> = BTreeMap::new();
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in text.split_terminator('\n') {
        let fail = |what: &str| Err(format!("{what}: {line:?}"));
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = typed.split_once(' ') else { return fail("no type") };
            let ends: &[&str] = match kind {
                "counter" | "gauge" => &[""],
                "histogram" => &["", "_bucket", "_sum", "_count"],
                _ => return fail("unknown type"),
            };
            for end in ends {
                if !claimed.insert(format!("{name}{end}")) {
                    return fail("another family has this name");
                }
            }
            family = Some((name, kind));
            continue;
        }
        let (Some((name, labels, value)), Some((of, kind))) = (sample(line), family) else { return fail("no sample") };
        let end = name.strip_prefix(of);
        if !match kind {
            "histogram" => matches!(end, Some("_bucket" | "_sum" | "_count")),
            _ => end == Some(""),
        } {
            return fail("not of the family before it");
        }
        if kind == "histogram" && end == Some("_bucket") {
            let mut others = labels.clone();
            let Some(bound) = others.remove("le").and_then(|bound| number(&bound)) else { return fail("no bound") };
            histograms.entry((of.to_owned(), others)).or_default().push((bound, value));
        } else if labels.contains_key("le") {
            return fail("a bound of no bucket");
        }
        if series.insert((name, labels), value).is_some() {
            return fail("twice");
        }
    }
    for ((name, labels), buckets) in histograms {
        let is_ordered = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let count = series.get(&(format!("{name}_count"), labels.clone()));
        let sum = series.get(&(format!("{name}_sum"), labels));
        let all = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY).map(|(_, count)| count);
        if !is_ordered || count != all || sum.is_none() {
            return Err(format!("the histogram {name} does not add up"));
        }
    }
    Ok(series)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text if text.contains("inf") => None,
        text => text.parse().ok(),
    }
}

/// Returns a line's name, labels and value.
fn sample(line: &str) -> Option<(String, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let is_name = |name: &str, others: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        name.starts_with(|c: char| allowed(c) && !c.is_ascii_digit()) && name.chars().all(allowed)
    };
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (mut value, mut chars) = (String::new(), after.chars());
            loop {
                match chars.next()? {
                    '"' => break,
                    '\\' => value.push(match chars.next()? {
                        '\\' => '\\',
                        '"' => '"',
                        'n' => '\n',
                        _ => return None,
                    }),
                    c if c.is_control() => return None,
                    c => value.push(c),
                }
            }
            // A label that is empty is one that is absent.
            let is_new = value.is_empty() || labels.insert(label.to_owned(), value).is_none();
            if !is_name(label, "_") || label.starts_with("__") || !is_new {
                return None;
            }
            rest = chars.as_str();
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = number(rest.strip_prefix(' ')?)?;
    is_name(name, "_:").then(|| (name.to_owned(), labels, value))
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let histogram = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 9\nh_count 2\n";
    assert_eq!(check(histogram).map(|series| series.len()), Ok(4));
    assert_eq!(check("").map(|series| series.len()), Ok(0));
    for wrong in [
        "# TYPE a counter\na 1",
        "a 1\n",
        "# TYPE a counter\nb 1\n",
        "# TYPE a counter\na 1\na 2\n",
        "# TYPE a counter\na{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n",
        "# TYPE a counter\na 1\na{x=\"\"} 2\n",
        "# TYPE a counter\na{x=\"1\",x=\"2\"} 2\n",
        "# TYPE a counter\na 1\n# TYPE b counter\n# TYPE a counter\n",
        "# TYPE a counter\na 1\n# TYPE a gauge\n",
        "# TYPE 1a counter\n1a 1\n",
        "# TYPE a.b counter\na.b 1\n",
        "# TYPE a counter\na{x.y=\"1\"} 1\n",
        "# TYPE a counter\na{x=\"\\x\"} 1\n",
        "# TYPE a counter\na{x=\"\x1b\"} 1\n",
        "# TYPE a counter\na inf\n",
        &histogram.replace("+Inf\"} 2", "+Inf\"} 3"),
        &histogram.replace("le=\"1\"} 1", "le=\"1\"} 3"),
        &histogram.replace("h_sum 9\n", ""),
        &histogram.replace("h_sum", "h"),
        &format!("{histogram}# TYPE h_sum counter\nh_sum{{x=\"1\"}} 1\n"),
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
}

/// Names that are likely to clash: few letters, and the endings and beginnings that mean something.
fn name() -> impl Strategy<Value = String> {
    let starts = ["", "", "portcullis", "portcullis_", "plugin_", "plugin_portcullis_", "1", "\\u{}"];
    let ends = [
        "",
        "",
        "_sum",
        "_count",
        "_bucket",
        "_gauge",
        "_counter",
        "_histogram",
        "_histogram_sum",
        "_histogram_bucket",
        ".sum",
        "-gauge",
        "_t_x",
        "_t_y",
    ];
    let middle = prop_oneof![
        3 => proptest::collection::vec(prop::sample::select(vec!['a', '_', '.', '-', '\\']), 0..3)
            .prop_map(String::from_iter),
        1 => any::<String>(),
    ];
    (prop::sample::select(starts.to_vec()), middle, prop::collection::vec(prop::sample::select(ends.to_vec()), 0..3))
        .prop_map(|(start, middle, ends)| format!("{start}{middle}{}", ends.concat()))
}

fn metric() -> impl Strategy<Value = (&'static str, MetricType, String)> {
    let types = vec![MetricType::Counter, MetricType::Gauge, MetricType::Histogram];
    (prop::sample::select(vec!["a", "b\"\\\x1b"]), prop::sample::select(types), name())
}

fn text(plugins: &OfPlugins) -> String {
    let mut exposition = Exposition::default();
    plugins.add_to(&mut exposition);
    exposition.into_text()
}

fn set(metric: &dyn Metric, metric_type: MetricType, value: u32) {
    match metric_type {
        MetricType::Counter => metric.add(value.into()),
        MetricType::Gauge | MetricType::Histogram => metric.record(value.into()),
    }
}

proptest! {
    /// Whatever plugins define, the exposition is valid, each metric has series of its own with its value, they are what they
    /// are without the others, and none looks like the gateway's.
    #[test]
    fn names_never_clash(metrics in prop::collection::vec(metric(), 1..40)) {
        let metrics: Vec<_> = metrics.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut all = OfPlugins::default();
        let mut expected = BTreeMap::new();
        let mut value = 0;
        for (plugin, metric_type, name) in &metrics {
            value += 1;
            set(&*all.define(plugin, *metric_type, name, &[]), *metric_type, value);
            let mut alone = OfPlugins::default();
            set(&*alone.define(plugin, *metric_type, name, &[]), *metric_type, value);
            let alone = check(&text(&alone));
            prop_assert!(alone.is_ok(), "{alone:?}");
            for (series, value) in alone.unwrap_or_default() {
                prop_assert!(!series.0.starts_with(OWN), "{series:?}");
                let other = expected.insert(series.clone(), value);
                prop_assert_eq!(other, None, "{:?} is of two metrics", series);
            }
        }
        let text = text(&all);
        prop_assert_eq!(check(&text), Ok(expected), "{}", text);
    }

    /// With rules for tags, too; names that the rules make one are added up.
    #[test]
    fn tags_leave_the_exposition_valid(metrics in prop::collection::vec(metric(), 1..40)) {
        let config = Config::parse("test.yaml", "listeners: [{address: 127.0.0.1:0, routes: [{cluster: e}]}]
clusters: [{name: e, echo: {}}]
stats_config: {stats_tags: [{tag_name: t, regex: '([._]t_(.))'}, {tag_name: any, regex: '(.)'}, {tag_name: end, regex: '(_+)$'}]}");
        prop_assert!(config.is_ok(), "{config:?}");
        let tags = config.map(|config| config.stats_tags).unwrap_or_default();
        let mut all = OfPlugins::default();
        let mut sum = 0.0;
        for (plugin, metric_type, name) in &metrics {
            let metric = all.define(plugin, *metric_type, name, &tags);
            if *metric_type == MetricType::Counter {
                metric.add(1);
                sum += 1.0;
            }
        }
        let text = text(&all);
        let series = check(&text);
        prop_assert!(series.is_ok(), "{series:?}\n{text}");
        prop_assert_eq!(series.unwrap_or_default().values().sum::<f64>(), sum, "{}", text);
    }
}
