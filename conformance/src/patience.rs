//! When a host is waited for no more: thousands of checks would each wait for what does not come.

use std::collections::HashMap;

use portcullis_core::abi::{AbiVersion, CallbackId};

use crate::check::{Seen, Task};
use crate::host_under_test::Trouble;
use crate::selection::is_of_grpc;

/// After so many vain attempts in a row, with none before that succeeded, the next are not made.
const ATTEMPTS: u32 = 3;

/// The observed behaviour of a host so far, in one run of the kit.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    phases: HashMap<Key, Phase>,
    /// How often in a row no probe answered.
    absent: u32,
    /// The last task, and what came of it.
    recent: Option<(Task, Result<Seen, Trouble>)>,
}

/// A callback of a version of the ABI, and whether a connection of TCP leads to it.
type Key = (AbiVersion, CallbackId, bool);

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
        let phase = self.phases.get(&key(task))?;
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
        let phase = self.phases.entry(key(task)).or_default();
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

impl Patience {
    /// Returns the cause of a trouble that all tasks like it share, if there is one.
    pub(crate) fn cause(&self, task: &Task, trouble: &Trouble) -> Option<String> {
        Some(match trouble {
            Trouble::NotCalled => {
                let family = family(task);
                let is_known = |(key, phase): (&Key, &Phase)| phase.is_known && family.has(key);
                let never = !self.phases.iter().any(is_known);
                never.then(|| format!("{family} was called in no case"))?
            }
            Trouble::DoesNotLink(hostcall) => format!("the host does not link {hostcall}"),
            Trouble::NoProbe(_) => "no probe answers".to_owned(),
            Trouble::HostDied(_) => "the host died".to_owned(),
            _ => return None,
        })
    }
}

/// Callbacks that a host has all of, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Grpc,
    Tcp,
    Alone(CallbackId),
}

impl Family {
    fn has(self, (_, phase, connects): &Key) -> bool {
        match self {
            Self::Grpc => is_of_grpc(*phase),
            Self::Tcp => *connects,
            Self::Alone(alone) => alone == *phase && !connects,
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Grpc => f.write_str("proxy_on_grpc_*"),
            Self::Tcp => f.write_str("a callback of TCP streams"),
            Self::Alone(phase) => f.write_str(phase.decl().export),
        }
    }
}

fn family(task: &Task) -> Family {
    if task.connects() {
        Family::Tcp
    } else if is_of_grpc(task.phase) {
        Family::Grpc
    } else {
        Family::Alone(task.phase)
    }
}

fn key(task: &Task) -> Key {
    (task.abi, task.phase, task.connects())
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

    #[test]
    fn callbacks_that_never_came_are_one_cause() {
        let mut patience = Patience::default();
        let (queue, tick) = (task(CallbackId::on_queue_ready), task(CallbackId::on_tick));
        let (message, end) = (task(CallbackId::on_grpc_receive), task(CallbackId::on_grpc_close));
        let tcp = Task { course: Course::Tcp, ..tick.clone() };
        let cause = |patience: &Patience, task| patience.cause(task, &Trouble::NotCalled);
        for task in [&queue, &message, &end, &tcp] {
            patience.note(task, &Err(Trouble::NotCalled));
        }
        patience.note(&tick, &Ok(Seen::default()));
        assert_eq!(cause(&patience, &queue).as_deref(), Some("proxy_on_queue_ready was called in no case"));
        assert_eq!(cause(&patience, &message).as_deref(), Some("proxy_on_grpc_* was called in no case"));
        assert_eq!(cause(&patience, &message), cause(&patience, &end));
        assert_eq!(cause(&patience, &tcp).as_deref(), Some("a callback of TCP streams was called in no case"));
        assert_eq!(cause(&patience, &tick), None, "it came in another case");
        patience.note(&end, &Ok(Seen::default()));
        assert_eq!(cause(&patience, &message), None, "another of its family came");
        assert_eq!(patience.cause(&tick, &Trouble::NoAnswer(String::new())), None);
    }
}
