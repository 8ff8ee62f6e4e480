//! The checks, as one list: the same for every host.

use crate::check::{Check, Task};
use crate::probe::Probe;
use crate::{answers, attributes, exchange, kit, phases};

/// Returns every check, in the order in which reports show them.
pub fn checks() -> impl Iterator<Item = Check> {
    of_any_phase().chain(attributes::checks())
}

/// Returns the tasks that are run while a plugin starts.
pub fn starts() -> Vec<Task> {
    of_any_phase().map(|check| check.task).filter(|task| kit::is_of_the_start(task.phase)).collect()
}

/// Returns the VM's configuration that makes a probe run what is to be seen while a plugin starts.
pub fn start_configuration(probe: &Probe) -> String {
    kit::start_configuration(probe, &starts())
}

/// Returns checks that may be of a phase in which the plugin starts; attributes are read of streams alone.
fn of_any_phase() -> impl Iterator<Item = Check> {
    answers::checks().chain(exchange::checks()).chain(phases::checks())
}
