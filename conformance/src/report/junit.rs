use std::fmt::Write;

use super::{Report, Result, Verdict};

/// Writes JUnit's XML, as CI systems read it. Known gaps, known differences and what was not examined count as skipped,
/// with their reasons; so does what passed in an earlier run.
pub fn junit(reports: &[Report]) -> String {
    let suites: String = reports.iter().map(suite).collect();
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n")
}

fn suite(report: &Report) -> String {
    let counts = report.counts();
    let earlier = report.results.iter().filter(|result| passed_earlier(result)).count();
    let skipped = counts.gaps + counts.differs + counts.not_examined + earlier;
    let mut xml = String::new();
    let _ = writeln!(
        xml,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\">",
        escape(&report.title()),
        report.results.len(),
        counts.failed,
    );
    for result in &report.results {
        let class = escape(&format!("{}.{}", report.host, result.topic));
        let _ = write!(xml, "  <testcase classname=\"{class}\" name=\"{}\"", escape(&result.name));
        let inside = match &result.verdict {
            Verdict::Passed if passed_earlier(result) => {
                Some(skip("passed in an earlier run; this one examined a share"))
            }
            Verdict::Passed => None,
            Verdict::Failed { what, .. } => Some(format!("<failure message=\"{}\"/>", escape(what))),
            Verdict::Gap { why } | Verdict::NotExamined { why } => Some(skip(why)),
            Verdict::Differs { observed, why, .. } => Some(skip(&format!("observed {observed}: {why}"))),
        };
        let _ = match inside {
            None => writeln!(xml, "/>"),
            Some(inside) => writeln!(xml, ">{inside}</testcase>"),
        };
    }
    xml.push_str("</testsuite>\n");
    xml
}

fn passed_earlier(result: &Result) -> bool {
    result.is_earlier && matches!(result.verdict, Verdict::Passed)
}

fn skip(why: &str) -> String {
    format!("<skipped message=\"{}\"/>", escape(why))
}

/// Returns text in an attribute. Characters that XML does not allow at all become `?`.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' | '\r' => escaped.push(' '),
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_pass_says_why() {
        let result = |name: &str, verdict| Result {
            topic: "t".to_owned(),
            name: name.to_owned(),
            spec: "wasi#x".to_owned(),
            verdict,
            is_earlier: false,
        };
        let results = vec![
            result("a", Verdict::Passed),
            result("b", Verdict::failed("<1> & \"2\"\u{1}".to_owned())),
            result("c", Verdict::NotExamined { why: "no".to_owned() }),
            Result { is_earlier: true, ..result("d", Verdict::Passed) },
        ];
        let xml = junit(&[Report { host: "h".to_owned(), version: "1".to_owned(), results }]);
        assert!(xml.contains("<testsuite name=\"h 1\" tests=\"4\" failures=\"1\" skipped=\"2\">"), "{xml}");
        assert!(xml.contains("<failure message=\"&lt;1&gt; &amp; &quot;2&quot;?\"/>"), "{xml}");
        assert!(xml.contains("name=\"c\"><skipped message=\"no\"/></testcase>"), "{xml}");
        assert!(xml.contains("name=\"d\"><skipped message=\"passed in an earlier run"), "{xml}");
    }
}
