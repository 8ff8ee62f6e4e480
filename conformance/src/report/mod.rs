//! Reports of an examination, and their forms.

mod differences;
mod earlier;
mod junit;
mod markdown;
mod results;
mod text;

use serde::{Deserialize, Serialize};

pub use differences::{Differences, Known};
pub use earlier::Earlier;
pub use junit::junit;
pub use markdown::{markdown, totals};
pub use results::results;
pub use text::text;

/// Report of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The host.
    pub host: String,
    /// Its version.
    pub version: String,
    /// One for each entry that was run.
    pub results: Vec<Result>,
}

/// Result of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// Topic of the case.
    pub topic: String,
    /// Its name within the topic.
    pub name: String,
    /// Where the rule stands.
    pub spec: String,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Whether it is of an earlier run, because this one examined a share of the entries.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_earlier: bool,
}

/// Result of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The host does what it must.
    Passed,
    /// The host does something else.
    Failed {
        /// The observed behaviour.
        what: String,
        /// Why many fail at once, such as a callback that is never called; nothing where an entry fails by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The engine is known not to be able to.
    Gap {
        /// Why not.
        why: String,
    },
    /// The host is known to do something else.
    Differs {
        /// The expected behaviour.
        expected: String,
        /// The observed behaviour.
        observed: String,
        /// Why, as far as that is known.
        why: String,
    },
    /// The host could not be brought there.
    NotExamined {
        /// Why not.
        why: String,
    },
}

/// How many entries came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that passed.
    pub passed: usize,
    /// Entries that failed.
    pub failed: usize,
    /// Known gaps.
    pub gaps: usize,
    /// Known differences.
    pub differs: usize,
    /// Entries that were not examined.
    pub not_examined: usize,
}

impl Report {
    /// Returns name and version, if that is known.
    pub fn title(&self) -> String {
        format!("{} {}", self.host, self.version).trim_end().to_owned()
    }

    /// Returns how many entries came to what.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for result in &self.results {
            *match result.verdict {
                Verdict::Passed => &mut counts.passed,
                Verdict::Failed { .. } => &mut counts.failed,
                Verdict::Gap { .. } => &mut counts.gaps,
                Verdict::Differs { .. } => &mut counts.differs,
                Verdict::NotExamined { .. } => &mut counts.not_examined,
            } += 1;
        }
        counts
    }

    /// Takes in what another run of the same host came to: where one of them examined, that counts, before what an earlier run saw.
    pub fn merge(&mut self, other: Self) {
        for result in other.results {
            match self.results.iter_mut().find(|own| own.topic == result.topic && own.name == result.name) {
                Some(own) if own.is_earlier && !result.is_earlier => *own = result,
                Some(own) if matches!(own.verdict, Verdict::NotExamined { .. }) => *own = result,
                Some(_) => {}
                None => self.results.push(result),
            }
        }
    }
}

impl Verdict {
    /// Makes the verdict on a host that does something else, for no cause that it shares with others.
    pub(crate) fn failed(what: String) -> Self {
        Self::Failed { what, cause: None }
    }
}

impl Result {
    /// Returns the full name.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_report_has_of_an_earlier_run_what_no_other_examined() {
        let result = |name: &str, verdict, is_earlier| Result {
            topic: "t".to_owned(),
            name: name.to_owned(),
            spec: "wasi#x".to_owned(),
            verdict,
            is_earlier,
        };
        let report = |results| Report { host: "h".to_owned(), version: "1".to_owned(), results };
        let wrong = || Verdict::failed("1 for 2".to_owned());
        let share = vec![result("a", wrong(), false), result("b", Verdict::Passed, true)];
        let full = vec![result("a", Verdict::Passed, true), result("b", wrong(), false)];
        let expected = report(vec![result("a", wrong(), false), result("b", wrong(), false)]);
        for [first, second] in [[share.clone(), full.clone()], [full, share]] {
            let mut merged = report(first);
            merged.merge(report(second));
            assert_eq!(merged, expected);
        }
    }
}
