//! Examining a host over whatever leads to it.

use std::ops::ControlFlow;

use crate::catalogue::{Entry, Kind, entries};
use crate::check::{Check, Outcome, Sees, Task};
use crate::decisions::{self, Decision};
use crate::host_under_test::{HostUnderTest, Trouble};
use crate::kit;
use crate::patience::Patience;
use crate::report::{Differences, Earlier, Report, Result, Verdict};
use crate::selection::{Feature, Selection, Share};
use crate::suite;

/// An examination of a host by the probe: which checks, and what is known to differ.
///
/// ```no_run
/// # fn examine(host: &mut dyn portcullis_conformance::HostUnderTest) {
/// use portcullis_conformance::{Examination, Feature, report};
///
/// let report = Examination::default().containing("headers").without([Feature::Tcp]).of(host, "1.0");
/// print!("{}", report::text(&report));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Examination {
    selection: Selection,
    differences: Differences,
    rest: Option<Earlier>,
}

/// How far an examination is, when an entry has been judged.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The entry's result.
    pub result: &'a Result,
    /// Number of entries that have been judged, this one included.
    pub done: usize,
    /// Number of entries that are wanted.
    pub wanted: usize,
}

impl Examination {
    /// Selects the checks whose full name contains a text; all by default.
    #[must_use]
    pub fn containing(mut self, filter: impl Into<String>) -> Self {
        self.selection = self.selection.containing(filter);
        self
    }

    /// Selects a share of the checks; all by default.
    #[must_use]
    pub fn share(mut self, share: Share) -> Self {
        self.selection = self.selection.share(share);
        self
    }

    /// Has the checks outside the share told as an earlier run saw them, judged by what is known to differ now; one of which that run
    /// knows nothing fails. By default they are left out of the report.
    #[must_use]
    pub fn completed_by(mut self, rest: Earlier) -> Self {
        self.rest = Some(rest);
        self
    }

    /// Has checks of a part of the ABI that the host lacks told as not examined.
    #[must_use]
    pub fn without(mut self, absent: impl IntoIterator<Item = Feature>) -> Self {
        self.selection = self.selection.without(absent);
        self
    }

    /// Sets what is known to differ, by default nothing. A check fails that differs no more.
    #[must_use]
    pub fn knowing(mut self, differences: Differences) -> Self {
        self.differences = differences;
        self
    }

    /// Examines a host whose version is `version`.
    pub fn of(&self, host: &mut dyn HostUnderTest, version: &str) -> Report {
        self.watched(host, version, |_| ControlFlow::Continue(()))
    }

    /// Examines a host, and tells `watch` of each result when it is there. What it answers to the last says whether to go on; the
    /// report has the results before that one if it says not to.
    pub fn watched(
        &self,
        host: &mut dyn HostUnderTest,
        version: &str,
        mut watch: impl FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Report {
        let entries: Vec<_> = entries().enumerate().filter(|(_, entry)| self.wants(entry)).collect();
        let (mut results, mut troubles): (Vec<Result>, Vec<(usize, Task, Trouble)>) = Default::default();
        let (mut patience, starts, wanted) = (Patience::default(), suite::starts(), entries.len());
        for (number, entry) in entries {
            let (result, trouble) = match &self.rest {
                Some(rest) if self.selection.leaves_out(&entry) => (self.earlier(&entry, rest), None),
                _ => {
                    let (outcome, trouble) = match (self.selection.lacks(&entry), &entry.kind) {
                        (Some(why), _) => (Outcome::NotExamined(why), None),
                        (None, Kind::Check(check)) => check_host(host, check, number, &starts, &mut patience),
                        (None, Kind::Decision(decision)) => (decide(host, decision), None),
                        #[cfg(feature = "engines")]
                        (None, Kind::OwnGuest(_)) => continue,
                    };
                    (entry.result(self.verdict(&entry, outcome)), trouble)
                }
            };
            if watch(Progress { result: &result, done: results.len() + 1, wanted }).is_break() {
                break;
            }
            if let (Some(trouble), Kind::Check(check)) = (trouble, &entry.kind) {
                troubles.push((results.len(), check.task.clone(), trouble));
            }
            results.push(result);
        }
        for (index, task, trouble) in troubles {
            // Whether a callback never comes is known at the end alone.
            if let Some(Result { verdict: Verdict::Failed { cause, .. }, .. }) = results.get_mut(index) {
                *cause = patience.cause(&task, &trouble);
            }
        }
        Report { host: host.name().to_owned(), version: version.to_owned(), results }
    }

    fn wants(&self, entry: &Entry) -> bool {
        let is_for_hosts = match &entry.kind {
            Kind::Check(_) | Kind::Decision(_) => true,
            #[cfg(feature = "engines")]
            Kind::OwnGuest(_) => false,
        };
        let is_told = self.rest.is_some() && self.selection.leaves_out(entry);
        is_for_hosts && (is_told || self.selection.has(entry))
    }

    /// Tells an entry as an earlier run saw it.
    fn earlier(&self, entry: &Entry, rest: &Earlier) -> Result {
        let outcome = self.selection.lacks(entry).map(Outcome::NotExamined).or_else(|| rest.of(&entry.path()));
        let verdict = match outcome.map(|outcome| self.verdict(entry, outcome)) {
            Some(Verdict::Failed { what, .. }) => {
                Verdict::failed(format!("{what}; so an earlier run saw it: examine all cases, without --only"))
            }
            Some(verdict) => verdict,
            None => Verdict::failed("no earlier run examined it: examine all cases, without --only".to_owned()),
        };
        Result { is_earlier: true, ..entry.result(verdict) }
    }

    /// Judges what came of an entry by what is known of the host.
    fn verdict(&self, entry: &Entry, outcome: Outcome) -> Verdict {
        match (outcome, self.differences.of(&entry.path())) {
            (Outcome::Passed, None) => Verdict::Passed,
            (Outcome::NotExamined(why), _) => Verdict::NotExamined { why: why.to_owned() },
            (outcome, Some(known)) if known.is_seen_in(&outcome) => {
                let (expected, why) = (expected(&entry.kind).to_owned(), known.why.to_owned());
                Verdict::Differs { expected, observed: known.observed.to_owned(), why }
            }
            (Outcome::Differs(observed), None) => Verdict::failed(complaint(&entry.kind, &observed)),
            (outcome, Some(known)) => {
                let now = match outcome {
                    Outcome::Differs(observed) => observed,
                    _ => "what must be".to_owned(),
                };
                Verdict::failed(format!("is known to differ, with {}; it is {now} now", known.observed))
            }
        }
    }
}

/// Runs a check on a host of which is known what it has done so far, and says why nothing was seen, if so. `number` tells it
/// from every other check.
fn check_host(
    host: &mut dyn HostUnderTest,
    check: &Check,
    number: usize,
    starts: &[Task],
    patience: &mut Patience,
) -> (Outcome, Option<Trouble>) {
    let judge = |result: std::result::Result<_, Trouble>| {
        let trouble = result.as_ref().err().cloned();
        (check.judge(result), trouble)
    };
    if let Some(trouble) = patience.is_over_for(&check.task) {
        return judge(Err(trouble));
    }
    let is_shared = matches!(check.sees, Sees::Property { .. });
    if let Some(result) = patience.recall(&check.task).filter(|_| is_shared) {
        return judge(result);
    }
    let result = kit::observe(host, &check.task, number, starts);
    patience.note(&check.task, &result);
    if is_shared {
        patience.keep(&check.task, &result);
    }
    judge(result)
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::host_under_test::{Message, Needs};
    use crate::report;

    /// A host that the kit can bring nowhere.
    struct Unreachable;

    impl HostUnderTest for Unreachable {
        fn name(&self) -> &'static str {
            "h"
        }

        fn prepare(&mut self, _: &Needs) -> std::result::Result<(), Trouble> {
            Err(Trouble::Unsupported("unreachable"))
        }

        fn request(&mut self, _: &Message) -> std::result::Result<Message, Trouble> {
            Err(Trouble::Unsupported("unreachable"))
        }
    }

    /// Returns the results of a run in which every entry passed for which `has` answers yes.
    fn passed(has: impl Fn(&str) -> bool) -> Earlier {
        let paths = entries().filter(|entry| has(&entry.path()));
        let results = paths.map(|entry| entry.result(Verdict::Passed)).collect();
        let report = Report { host: "h".to_owned(), version: "1".to_owned(), results };
        Earlier::read(&report::results(&[report]), "h").unwrap()
    }

    fn differing(case: &str) -> Differences {
        Differences::read(&format!(r#"[{{"why": "because", "cases": {{{case:?}: "1"}}}}]"#)).unwrap()
    }

    #[test]
    fn a_share_is_completed_by_an_earlier_run() {
        let exchange = || Examination::default().containing("exchange::");
        let all = exchange().of(&mut Unreachable, "").results;
        let share = exchange().share("1/10".parse().unwrap());
        let own: Vec<_> = share.of(&mut Unreachable, "").results.iter().map(Result::path).collect();
        assert!(!own.is_empty() && own.len() < all.len(), "{} of {}", own.len(), all.len());

        let told = share.clone().completed_by(passed(|_| true)).of(&mut Unreachable, "").results;
        assert_eq!(told.iter().map(Result::path).collect::<Vec<_>>(), all.iter().map(Result::path).collect::<Vec<_>>());
        for result in &told {
            let is_own = own.contains(&result.path());
            assert_eq!(result.is_earlier, !is_own, "{}", result.path());
            assert_eq!(matches!(result.verdict, Verdict::Passed), !is_own, "{}", result.path());
        }

        // What is known to differ now is held to what was seen then, and so is an entry that is new since.
        let case = told.iter().find(|result| result.is_earlier).unwrap().path();
        let failed = |examination: Examination| {
            let results = examination.of(&mut Unreachable, "").results;
            let failed = results.iter().filter(|result| matches!(result.verdict, Verdict::Failed { .. }));
            failed.map(Result::path).collect::<Vec<_>>()
        };
        let one = vec![case.clone()];
        assert_eq!(failed(share.clone().completed_by(passed(|_| true)).knowing(differing(&case))), one);
        assert_eq!(failed(share.completed_by(passed(|path| path != case))), one);
    }
}
