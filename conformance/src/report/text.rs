use std::fmt::Write;

use super::{Counts, Report, Verdict};

/// A line for whatever did not pass, and the totals.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    for result in &report.results {
        let said = match &result.verdict {
            Verdict::Failed { what } => format!("FAILED {}: {what}", result.path()),
            Verdict::Gap { why } => format!("known gap {}: {why}", result.path()),
            Verdict::Differs { expected, observed, why } => {
                format!("differs {}: expected {expected}, observed {observed}: {why}", result.path())
            }
            Verdict::Passed | Verdict::NotExamined { .. } => continue,
        };
        let _ = writeln!(text, "{said}");
    }
    let Counts { passed, failed, gaps, differs, not_examined } = report.counts();
    let _ = writeln!(
        text,
        "{} {}: {passed} passed, {failed} failed, {gaps} known gaps, {differs} known differences, {not_examined} not examined",
        report.host, report.version
    );
    text
}
