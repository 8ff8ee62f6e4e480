//! Examining a host over whatever leads to it.

use crate::catalogue::{Kind, entries};
use crate::check::{Check, Outcome, Sees, Task};
use crate::decisions::{self, Decision};
use crate::host_under_test::{HostUnderTest, Trouble};
use crate::kit;
use crate::patience::Patience;
use crate::report::{Differences, Report, Verdict};
use crate::suite;

/// Examines a host: every check of the probe whose full name contains `filter`. What is known to differ is in
/// `differences`; it fails if it differs no more.
pub fn examine_host(host: &mut dyn HostUnderTest, version: &str, filter: &str, differences: &Differences) -> Report {
    let (mut results, mut patience) = (Vec::new(), Patience::default());
    let starts = suite::starts();
    for (number, entry) in entries().enumerate() {
        let path = entry.path();
        if !path.contains(filter) {
            continue;
        }
        let outcome = match &entry.kind {
            Kind::Check(check) => check_host(host, check, number, &starts, &mut patience),
            Kind::Decision(decision) => decide(host, decision),
            #[cfg(feature = "engines")]
            Kind::OwnGuest(_) => continue,
        };
        let verdict = match (outcome, differences.of(&path)) {
            (Outcome::Passed, None) => Verdict::Passed,
            (Outcome::NotExamined(why), _) => Verdict::NotExamined { why: why.to_owned() },
            (outcome, Some(known)) if known.is_seen_in(&outcome) => {
                let (expected, why) = (expected(&entry.kind).to_owned(), known.why.to_owned());
                Verdict::Differs { expected, observed: known.observed.to_owned(), why }
            }
            (Outcome::Differs(observed), None) => Verdict::Failed { what: complaint(&entry.kind, &observed) },
            (outcome, Some(known)) => {
                let now = match outcome {
                    Outcome::Differs(observed) => observed,
                    _ => "what must be".to_owned(),
                };
                let what = format!("is known to differ, with {}; it is {now} now", known.observed);
                Verdict::Failed { what }
            }
        };
        results.push(entry.result(verdict));
    }
    Report { host: host.name().to_owned(), version: version.to_owned(), results }
}

/// Runs a check on a host of which is known what it has done so far. `number` tells it from every other check.
fn check_host(
    host: &mut dyn HostUnderTest,
    check: &Check,
    number: usize,
    starts: &[Task],
    patience: &mut Patience,
) -> Outcome {
    if let Some(trouble) = patience.is_over_for(&check.task) {
        return check.judge(Err(trouble));
    }
    let is_shared = matches!(check.sees, Sees::Property { .. });
    if let Some(result) = patience.recall(&check.task).filter(|_| is_shared) {
        return check.judge(result);
    }
    let result = kit::observe(host, &check.task, number, starts);
    patience.note(&check.task, &result);
    if is_shared {
        patience.keep(&check.task, &result);
    }
    check.judge(result)
}

/// Brings about a decision on a host.
fn decide(host: &mut dyn HostUnderTest, decision: &Decision) -> Outcome {
    match host.decide(decision) {
        Ok(observed) if observed == decisions::EXPECTED => Outcome::Passed,
        Ok(observed) => Outcome::Differs(observed),
        Err(Trouble::Unsupported(why)) => Outcome::NotExamined(why),
        Err(trouble) => Outcome::Differs(trouble.to_string()),
    }
}

/// Returns the behaviour that a host must show.
fn expected(kind: &Kind) -> &str {
    match kind {
        Kind::Check(check) => &check.expected,
        _ => decisions::EXPECTED,
    }
}

/// Returns the message when something else was observed.
fn complaint(kind: &Kind, observed: &str) -> String {
    match kind {
        Kind::Check(check) => check.complaint(observed),
        Kind::Decision(decision) => decision.complaint(observed),
        #[cfg(feature = "engines")]
        Kind::OwnGuest(_) => observed.to_owned(),
    }
}
