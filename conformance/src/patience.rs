//! When a host is waited for no more: thousands of checks would each wait for what does not come.

use std::collections::HashMap;

use portcullis_core::abi::{AbiVersion, CallbackId};

use crate::check::{Seen, Task};
use crate::host_under_test::Trouble;

/// After so many vain attempts in a row, with none before that succeeded, the next are not made.
const ATTEMPTS: u32 = 3;

/// The observed behaviour of a host so far, in one run of the kit.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    phases: HashMap<(AbiVersion, CallbackId), Phase>,
    /// How often in a row no probe answered.
    absent: u32,
    /// The last task, and what came of it.
    recent: Option<(Task, Result<Seen, Trouble>)>,
}

#[derive(Debug, Default)]
struct Phase {
    is_known: bool,
    waited: u32,
}

impl Patience {
    /// Returns why a task need not be tried, if it need not.
    pub(crate) fn is_over_for(&self, task: &Task) -> Option<Trouble> {
        if self.absent >= ATTEMPTS {
            return Some(Trouble::NoProbe(format!("none came {ATTEMPTS} times, and it was asked no more")));
        }
        let phase = self.phases.get(&(task.abi, task.phase))?;
        (!phase.is_known && phase.waited >= ATTEMPTS).then_some(Trouble::NotCalled)
    }

    /// Returns the outcome of a task, if it was the last that was tried: checks that look at one part each of what a task
    /// observes share it.
    pub(crate) fn recall(&self, task: &Task) -> Option<Result<Seen, Trouble>> {
        let (_, result) = self.recent.as_ref().filter(|(recent, _)| recent == task)?;
        Some(result.clone())
    }

    /// Keeps what came of a task.
    pub(crate) fn keep(&mut self, task: &Task, result: &Result<Seen, Trouble>) {
        self.recent = Some((task.clone(), result.clone()));
    }

    /// Notes what came of a task that was tried.
    pub(crate) fn note(&mut self, task: &Task, result: &Result<Seen, Trouble>) {
        let phase = self.phases.entry((task.abi, task.phase)).or_default();
        match result {
            Ok(_) => phase.is_known = true,
            Err(Trouble::NotCalled) => phase.waited += 1,
            Err(_) => {}
        }
        match result {
            Err(Trouble::NoProbe(_)) => self.absent += 1,
            _ => self.absent = 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_core::abi::AbiVersion;

    use super::*;
    use crate::check::Course;
    use crate::host_under_test::Setting;

    fn task(phase: CallbackId) -> Task {
        Task {
            abi: AbiVersion::V0_2_1,
            setting: Setting::Plain,
            phase,
            script: String::new(),
            returns: None,
            course: Course::Direct,
        }
    }

    #[test]
    fn a_callback_that_never_came_is_waited_for_three_times() {
        let mut patience = Patience::default();
        let (queue, tick) = (task(CallbackId::on_queue_ready), task(CallbackId::on_tick));
        for _ in 0..ATTEMPTS {
            assert_eq!(patience.is_over_for(&queue), None);
            patience.note(&queue, &Err(Trouble::NotCalled));
        }
        assert_eq!(patience.is_over_for(&queue), Some(Trouble::NotCalled));
        assert_eq!(patience.is_over_for(&tick), None, "another may come");
    }

    #[test]
    fn only_the_last_task_is_recalled() {
        let mut patience = Patience::default();
        let (tick, queue) = (task(CallbackId::on_tick), task(CallbackId::on_queue_ready));
        patience.keep(&tick, &Ok(Seen::default()));
        assert_eq!(patience.recall(&tick), Some(Ok(Seen::default())));
        assert_eq!(patience.recall(&queue), None);
        patience.keep(&queue, &Err(Trouble::NotCalled));
        assert_eq!((patience.recall(&tick), patience.recall(&queue)), (None, Some(Err(Trouble::NotCalled))));
    }

    #[test]
    fn a_callback_that_came_once_is_always_waited_for() {
        let mut patience = Patience::default();
        let tick = task(CallbackId::on_tick);
        patience.note(&tick, &Ok(Seen::default()));
        for _ in 0..2 * ATTEMPTS {
            patience.note(&tick, &Err(Trouble::NotCalled));
        }
        assert_eq!(patience.is_over_for(&tick), None);
    }

    #[test]
    fn a_host_that_does_not_come_back_is_given_up() {
        let mut patience = Patience::default();
        let (tick, queue) = (task(CallbackId::on_tick), task(CallbackId::on_queue_ready));
        let gone = || Err(Trouble::NoProbe("refused".to_owned()));
        for came in [gone(), gone(), Ok(Seen::default()), gone(), gone()] {
            patience.note(&tick, &came);
            assert_eq!(patience.is_over_for(&queue), None);
        }
        patience.note(&tick, &gone());
        assert!(matches!(patience.is_over_for(&queue), Some(Trouble::NoProbe(_))));
    }
}
