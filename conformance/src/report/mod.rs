//! What came of an examination, and the forms in which it is told.

mod differences;
mod junit;
mod markdown;
mod results;
mod text;

use serde::{Deserialize, Serialize};

pub use differences::{Differences, Known};
pub use junit::junit;
pub use markdown::{markdown, totals};
pub use results::results;
pub use text::text;

/// What a host did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The host.
    pub host: String,
    /// Its version.
    pub version: String,
    /// One for each entry that was run.
    pub results: Vec<Result>,
}

/// What came of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Result {
    /// What it is about.
    pub topic: String,
    /// Its name within the topic.
    pub name: String,
    /// Where the rule stands.
    pub spec: String,
    /// What came of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The host does what it must.
    Passed,
    /// It does not.
    Failed {
        /// What it did.
        what: String,
    },
    /// It is known that this engine cannot.
    Gap {
        /// Why not.
        why: String,
    },
    /// It is known that this host does something else.
    Differs {
        /// What was expected.
        expected: String,
        /// What was observed.
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
    /// That passed.
    pub passed: usize,
    /// That failed.
    pub failed: usize,
    /// Known gaps.
    pub gaps: usize,
    /// Known differences.
    pub differs: usize,
    /// That were not examined.
    pub not_examined: usize,
}

impl Report {
    /// Name and version, if that is known.
    pub fn title(&self) -> String {
        format!("{} {}", self.host, self.version).trim_end().to_owned()
    }

    /// How many entries came to what.
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

    /// Takes in what another run of the same host came to: where one of them examined, that counts.
    pub fn merge(&mut self, other: Self) {
        for result in other.results {
            match self.results.iter_mut().find(|own| own.topic == result.topic && own.name == result.name) {
                Some(own) if matches!(own.verdict, Verdict::NotExamined { .. }) => *own = result,
                Some(_) => {}
                None => self.results.push(result),
            }
        }
    }
}

impl Result {
    /// The full name.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }
}
