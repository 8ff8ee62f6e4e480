//! Profiles of VMs: how often each callback and hostcall ran, for how long, with how many bytes.
//!
//! A measured VM runs as it would otherwise, by the same rules. Time is that of [`Host::monotonic_clock`], in
//! nanoseconds; bytes are those of guest memory that a hostcall reads or writes. Each nanosecond of a callback is in one row
//! alone as own time: the guest's own code in the row of its callback or of its allocator, the host's in the row of the
//! hostcall. So the own times of all rows together are the total times of the callbacks and the instantiations.
//!
//! A table is bounded: a row for each callback and hostcall that there are, for each plugin by its name.
//!
//! [`Host::monotonic_clock`]: crate::resources::Host::monotonic_clock

mod measured;
mod meter;
mod table;

use std::sync::{Arc, Mutex};

use meter::{Meter, Profiler};
pub use table::{HostcallTime, Part, PluginProfile, Profile, Time};

use crate::engine::Guest;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::model::limits::Limits;
use crate::observe::guest::ObservedGuest;
use crate::observe::transcript::lock;
use crate::vm::state::VmState;

/// Takes the samples of a guest that has ended, as a file ([`Guest::take_samples`]). It is called by the guest's thread,
/// and not at all if the engine has no samples.
pub type Samples = Box<dyn FnOnce(Vec<u8>) + Send>;

/// Makes a guest that is measured, as a part of `profile`: what is done between callbacks is waited for, so profiles of
/// VMs on several threads are best kept apart, and [merged](Profile::merge) to be read. If `samples` wants them, under a
/// name, the guest is sampled, too.
///
/// # Errors
/// As [`AnyModule::instantiate`].
pub fn profile(
    module: &dyn AnyModule,
    mut state: VmState,
    limits: &Limits,
    profile: &Arc<Mutex<Profile>>,
    samples: Option<(&str, Samples)>,
) -> Result<Box<dyn Guest>, StartError> {
    let meter = Meter::new(Arc::clone(profile));
    state.set_observer(Box::new(Profiler::new(meter.clone())));
    let span = meter.begin(state.seen());
    let mut guest = module.instantiate(state, limits)?;
    meter.end_guest(guest.state().seen(), span, Part::Instantiation, false);
    let samples = samples.map(|(name, samples)| {
        guest.begin_samples(name);
        samples
    });
    Ok(Box::new(ObservedGuest { guest, samples }))
}

/// Returns a copy of a profile that may be measured into meanwhile.
pub fn snapshot(profile: &Mutex<Profile>) -> Profile {
    lock(profile).clone()
}
