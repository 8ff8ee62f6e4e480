//! The report as a text for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Counts, Report, Verdict};

/// Returns a line for whatever failed by itself, one for each cause of many, one for each reason of what is known or was not
/// examined, and the totals.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let (mut causes, mut reasons, mut unseen) = (Counted::new(), Counted::new(), Counted::new());
    for result in &report.results {
        match &result.verdict {
            Verdict::Failed { cause: Some(cause), .. } => *causes.entry(cause).or_default() += 1,
            Verdict::Failed { what, cause: None } => {
                let _ = writeln!(text, "FAILED {}: {what}", result.path());
            }
            Verdict::Gap { why } | Verdict::Differs { why, .. } => *reasons.entry(why).or_default() += 1,
            Verdict::NotExamined { why } => *unseen.entry(why).or_default() += 1,
            Verdict::Passed => {}
        }
    }
    for (cause, count) in causes {
        let _ = writeln!(text, "FAILED {}: {cause}", cases(count));
    }
    for (why, count) in reasons {
        let _ = writeln!(text, "known, {count}: {why}");
    }
    for (why, count) in unseen {
        let _ = writeln!(text, "not examined, {count}: {why}");
    }
    let Counts { passed, failed, gaps, differs, not_examined } = report.counts();
    let name = report.title();
    let _ = write!(
        text,
        "{name}: {passed} passed, {failed} failed, {gaps} known gaps, {differs} known differences, {not_examined} not examined"
    );
    let earlier = report.results.iter().filter(|result| result.is_earlier).count();
    let _ = match earlier {
        0 => writeln!(text),
        _ => writeln!(text, "; {earlier} of the {} as an earlier run saw them", cases(report.results.len())),
    };
    text
}

/// How many entries have each text.
type Counted<'a> = BTreeMap<&'a str, usize>;

fn cases(count: usize) -> String {
    if count == 1 { "1 case".to_owned() } else { format!("{count} cases") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Result;

    #[test]
    fn what_fails_for_one_cause_is_one_line() {
        let result = |name: &str, verdict| Result {
            topic: "t".to_owned(),
            name: name.to_owned(),
            spec: "wasi#x".to_owned(),
            verdict,
            is_earlier: false,
        };
        let never = || Verdict::Failed { what: "long".to_owned(), cause: Some("proxy_on_grpc_* never".to_owned()) };
        let unseen = || Verdict::NotExamined { why: "no set-up".to_owned() };
        let results = vec![
            result("a", never()),
            result("b", Verdict::failed("1 for 2".to_owned())),
            result("c", never()),
            result("d", unseen()),
            result("e", Verdict::Passed),
            result("f", unseen()),
        ];
        let mut report = Report { host: "h".to_owned(), version: "1".to_owned(), results };
        assert_eq!(
            text(&report),
            "FAILED t::b: 1 for 2\nFAILED 2 cases: proxy_on_grpc_* never\nnot examined, 2: no set-up\n\
             h 1: 1 passed, 3 failed, 0 known gaps, 0 known differences, 2 not examined\n"
        );
        report.results[4].is_earlier = true;
        let told = text(&report);
        assert!(told.ends_with("2 not examined; 1 of the 6 cases as an earlier run saw them\n"), "{told}");
    }
}
