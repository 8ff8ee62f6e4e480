//! The report as a text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Counts, Report, Verdict};

/// Returns a line for whatever failed, one for each reason of what is known, and the totals.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for result in &report.results {
        match &result.verdict {
            Verdict::Failed { what } => {
                let _ = writeln!(text, "FAILED {}: {what}", result.path());
            }
            Verdict::Gap { why } | Verdict::Differs { why, .. } => *reasons.entry(why).or_default() += 1,
            Verdict::Passed | Verdict::NotExamined { .. } => {}
        }
    }
    for (why, count) in reasons {
        let _ = writeln!(text, "known, {count}: {why}");
    }
    let Counts { passed, failed, gaps, differs, not_examined } = report.counts();
    let name = report.title();
    let _ = writeln!(
        text,
        "{name}: {passed} passed, {failed} failed, {gaps} known gaps, {differs} known differences, {not_examined} not examined"
    );
    text
}
