use std::sync::{Arc, Mutex};

use super::play::Player;
use super::{Event, lock};
use crate::abi::callback::CallbackId;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::observe::witness::{Witness, call};
use crate::resources::host::Host;
use crate::vm::state::{VmConfig, VmState};

/// How a record is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The module is another build than the one that was recorded. Addresses differ then, so pointers are compared by
    /// what they point to.
    pub is_moved: bool,
    /// Bytes were made unrecognizable: an asterisk in the record is equal to any byte.
    pub is_redacted: bool,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many events were played.
    pub events: u64,
    /// How many callbacks are among them.
    pub callbacks: u64,
    /// How many hostcalls are among them.
    pub hostcalls: u64,
    /// How it ended.
    pub end: End,
}

/// How a replay ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The record has ended, and the guest did all that stands in it.
    Same,
    /// The guest did something else.
    Different(Difference),
    /// The record is none; why.
    Unreadable(String),
}

/// Where a guest did something else than its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The number of the event, from 1.
    pub event: u64,
    /// What differs.
    pub what: String,
    /// The events before it, as text, oldest first.
    pub before: Vec<String>,
    /// What the record has.
    pub recorded: String,
    /// What the guest did.
    pub now: String,
}

/// Makes a guest and plays a record to it, as far as both agree. `host` is never asked for anything. A callback may
/// run for ten times the VM's deadline, because engines differ in speed.
pub fn replay(
    module: &dyn AnyModule,
    config: VmConfig,
    host: Box<dyn Host>,
    record: Box<dyn Iterator<Item = Result<Event, String>> + Send>,
    how: Replay,
) -> Report {
    let limits = config.limits.clone();
    let player = Arc::new(Mutex::new(Player::new(record, how)));
    let mut state = VmState::new(config, host);
    state.set_witness(Witness::Play(Arc::clone(&player)));
    let made = module.instantiate(state, &limits);
    lock(&player).instantiated(made.as_ref().map(drop).map_err(StartError::without_stack));
    if let Ok(mut guest) = made {
        loop {
            let next = lock(&player).callback();
            let Some((id, arguments)) = next else { break };
            let deadline = limits.deadline.saturating_mul(SLOWER);
            guest.set_deadline(if begins(id) { limits.deadline.max(limits.start_deadline) } else { deadline });
            let result = call(&mut *guest, id, &arguments);
            lock(&player).returned(result);
        }
    }
    lock(&player).report()
}

/// An interpreter is not much slower than this, where most of a plugin's time is its host's.
const SLOWER: u32 = 10;

/// Whether a callback may have had the time of those that start a plugin.
fn begins(id: CallbackId) -> bool {
    matches!(id, CallbackId::on_context_create | CallbackId::on_vm_start | CallbackId::on_configure)
        || id.is_start_function()
}
