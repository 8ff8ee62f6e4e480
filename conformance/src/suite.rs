//! What the probe is made to call, as one list: the same for every host.

use portcullis::core::{AbiVersion, CallbackId};

use crate::host_under_test::{HostUnderTest, Setting, Trouble};
use crate::hosts::{EngineHost, Probes};
use crate::kit::{self, Seen, Task};
use crate::probe::Observation;
use crate::{answers, phases};

/// Something that a host must do, as a task of the probe.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is about: `answers` or `phases`.
    pub topic: &'static str,
    /// Its name within the topic, a sentence of what a host must do.
    pub name: String,
    /// What the probe is made to do.
    pub task: Task,
    /// What must be observed, as [`text`] has it.
    pub expected: String,
    /// Whether the last answer counts alone.
    pub last_only: bool,
    /// Where the rule stands.
    pub spec: &'static str,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What must be.
    Passed,
    /// Something else was observed.
    Differs(String),
    /// Nothing was observed, and it does not count.
    NotExamined(&'static str),
}

/// Every check, in the order in which reports show them.
pub fn checks() -> impl Iterator<Item = Check> {
    answers::checks().chain(phases::checks())
}

/// Every task with the place of its check in [`checks`].
pub(crate) fn tasks() -> impl Iterator<Item = (usize, Task)> {
    checks().map(|check| check.task).enumerate()
}

impl Check {
    /// Its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// Runs it on a host. `number` tells it from every other check that the host has seen.
    pub fn run(&self, host: &mut dyn HostUnderTest, number: usize) -> Outcome {
        match kit::observe(host, &self.task, number) {
            Ok(seen) => {
                let observed = self.observed(&seen);
                if observed == self.expected { Outcome::Passed } else { Outcome::Differs(observed) }
            }
            Err(Trouble::Unsupported(why)) => Outcome::NotExamined(why),
            Err(trouble) => Outcome::Differs(trouble.to_string()),
        }
    }

    /// Runs it on an engine, in a VM of its own.
    ///
    /// # Errors
    /// What was observed instead.
    pub fn run_on(&self, probes: &Probes<'_>) -> Result<(), String> {
        match self.run(&mut EngineHost::new(probes), 0) {
            Outcome::Passed => Ok(()),
            Outcome::Differs(observed) => Err(self.complaint(&observed)),
            Outcome::NotExamined(why) => Err(format!("not examined: {why}")),
        }
    }

    /// What to say when something else was observed.
    pub fn complaint(&self, observed: &str) -> String {
        let Task { phase, script, abi, setting, .. } = &self.task;
        let setting = if *setting == Setting::Plain { String::new() } else { format!(", {setting:?}") };
        format!("`{script}` in {phase} ({abi}{setting}): expected {}, observed {observed}", self.expected)
    }

    fn observed(&self, seen: &Seen) -> String {
        if self.last_only { seen.answer().map(|answer| answer.to_string()).unwrap_or_default() } else { text(seen) }
    }
}

/// Observations as a text: numbers, and bytes in quotes, with commas between.
pub fn text(seen: &Seen) -> String {
    let one = |observation: &Observation| match observation {
        Observation::Answer(answer) => answer.to_string(),
        Observation::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
    };
    seen.observations.iter().map(one).collect::<Vec<_>>().join(",")
}

/// A task in the newest version of the ABI that nothing is particular about.
pub(crate) fn plain(phase: CallbackId, script: &str) -> Task {
    Task { abi: AbiVersion::V0_2_1, setting: Setting::Plain, phase, script: script.to_owned(), returns: None }
}
