//! What the probe is made to call, as one list: the same for every host.

use portcullis::core::{AbiVersion, CallbackId};

use crate::exchange::{self, Sees};
use crate::host_under_test::{HostUnderTest, Setting, Trouble};
use crate::hosts::{EngineHost, Probes};
use crate::kit::{self, Course, Seen, Task};
use crate::patience::Patience;
use crate::{answers, attributes, phases};

/// Something that a host must do, as a task of the probe.
#[derive(Clone, Debug)]
pub struct Check {
    /// What it is about: `answers`, `exchange` or `phases`.
    pub topic: &'static str,
    /// Its name within the topic, a sentence of what a host must do.
    pub name: String,
    /// What the probe is made to do.
    pub task: Task,
    /// What is looked at.
    pub sees: Sees,
    /// What must be seen, as [`Sees::of`] has it.
    pub expected: String,
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
    of_any_phase().chain(attributes::checks())
}

/// Checks that may be of a phase in which the plugin starts; attributes are read of streams alone.
fn of_any_phase() -> impl Iterator<Item = Check> {
    answers::checks().chain(exchange::checks()).chain(phases::checks())
}

/// Every task that may be of a phase in which the plugin starts.
pub(crate) fn tasks() -> impl Iterator<Item = Task> {
    of_any_phase().map(|check| check.task)
}

impl Check {
    /// Its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// Runs it on a host. `number` tells it from every other check that the host has seen.
    pub fn run(&self, host: &mut dyn HostUnderTest, number: usize) -> Outcome {
        self.judge(kit::observe(host, &self.task, number))
    }

    /// As [`Self::run`], on a host of which is known what it has done so far.
    pub(crate) fn run_with(&self, host: &mut dyn HostUnderTest, number: usize, patience: &mut Patience) -> Outcome {
        if let Some(trouble) = patience.is_over_for(&self.task) {
            return self.judge(Err(trouble));
        }
        let is_shared = matches!(self.sees, Sees::Property { .. });
        if let Some(result) = patience.recall(&self.task).filter(|_| is_shared) {
            return self.judge(result);
        }
        let result = kit::observe(host, &self.task, number);
        patience.note(&self.task, &result);
        if is_shared {
            patience.keep(&self.task, &result);
        }
        self.judge(result)
    }

    fn judge(&self, result: Result<Seen, Trouble>) -> Outcome {
        match result {
            Ok(seen) => {
                let observed = self.sees.of(&seen);
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
        let outcome = match self.sees {
            Sees::Property { .. } => self.judge(probes.observe_once(&self.task)),
            _ => self.run(&mut EngineHost::new(probes), 0),
        };
        match outcome {
            Outcome::Passed => Ok(()),
            Outcome::Differs(observed) => Err(self.complaint(&observed)),
            Outcome::NotExamined(why) => Err(format!("not examined: {why}")),
        }
    }

    /// The message when something else was observed.
    pub fn complaint(&self, observed: &str) -> String {
        let Task { phase, script, abi, setting, .. } = &self.task;
        let script = match self.sees {
            // One of many reads.
            Sees::Property { at, .. } => script.split(';').nth(2 * at).unwrap_or(script).trim(),
            _ => script,
        };
        let setting = if *setting == Setting::Plain { String::new() } else { format!(", {setting:?}") };
        format!("`{script}` in {phase} ({abi}{setting}): expected {:?}, observed {observed:?}", self.expected)
    }
}

/// A task in the newest version of the ABI that nothing is particular about.
pub(crate) fn plain(phase: CallbackId, script: &str) -> Task {
    Task {
        abi: AbiVersion::V0_2_1,
        setting: Setting::Plain,
        phase,
        script: script.to_owned(),
        returns: None,
        course: Course::Direct,
    }
}
