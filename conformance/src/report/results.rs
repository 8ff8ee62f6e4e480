//! Every case as a line of JSON, for tools and for `git diff`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Report, Verdict};

/// Returns what every host did in every case: an object of `hosts`, and of `cases` by their full names, one a line and sorted.
///
/// A case has its `rule`, and the hosts' names by what came of it; `observed` has what a host did in place of what it must.
pub fn results(reports: &[Report]) -> String {
    let mut cases: BTreeMap<String, Value> = BTreeMap::new();
    for report in reports {
        for result in &report.results {
            let case = cases.entry(result.path()).or_insert_with(|| json!({ "rule": result.spec }));
            push(case, verdict(&result.verdict), report.host.as_str().into());
            if let Verdict::Differs { expected, observed, .. } = &result.verdict {
                push(case, "observed", json!({ "host": report.host, "observed": observed, "expected": expected }));
            }
        }
    }
    let hosts: Vec<String> = reports.iter().map(|report| format!("  {}", Value::from(report.title()))).collect();
    let cases: Vec<String> = cases.iter().map(|(path, case)| format!("  {}: {case}", json!(path))).collect();
    format!("{{\n\"hosts\": [\n{}\n],\n\"cases\": {{\n{}\n}}\n}}\n", hosts.join(",\n"), cases.join(",\n"))
}

/// Returns the key under which hosts stand.
fn verdict(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed { .. } => "failed",
        Verdict::Gap { .. } => "gap",
        Verdict::Differs { .. } => "differs",
        Verdict::NotExamined { .. } => "not_examined",
    }
}

/// Adds a value to one of a case's lists.
fn push(case: &mut Value, key: &str, value: Value) {
    if let Some(fields) = case.as_object_mut()
        && let Some(list) = fields.entry(key).or_insert_with(|| json!([])).as_array_mut()
    {
        list.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Result;

    fn report(host: &str, results: Vec<(&str, Verdict)>) -> Report {
        let result = |(name, verdict): (&str, Verdict)| Result {
            topic: "t".to_owned(),
            name: name.to_owned(),
            spec: "wasi#x".to_owned(),
            verdict,
            is_earlier: false,
        };
        Report { host: host.to_owned(), version: "1".to_owned(), results: results.into_iter().map(result).collect() }
    }

    #[test]
    fn cases_are_sorted_lines_with_the_hosts_by_verdict() {
        let differs =
            Verdict::Differs { expected: "1".to_owned(), observed: "\"2\"".to_owned(), why: "because".to_owned() };
        let reports = [
            report("a", vec![("z", Verdict::Passed), ("b", Verdict::Passed)]),
            report("c", vec![("b", differs), ("z", Verdict::Passed)]),
        ];
        let text = results(&reports);
        assert_eq!(
            text,
            "{\n\"hosts\": [\n  \"a 1\",\n  \"c 1\"\n],\n\"cases\": {\n  \
             \"t::b\": {\"differs\":[\"c\"],\"observed\":[{\"expected\":\"1\",\"host\":\"c\",\"observed\":\"\\\"2\\\"\"}],\
             \"passed\":[\"a\"],\"rule\":\"wasi#x\"},\n  \
             \"t::z\": {\"passed\":[\"a\",\"c\"],\"rule\":\"wasi#x\"}\n}\n}\n"
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
}
