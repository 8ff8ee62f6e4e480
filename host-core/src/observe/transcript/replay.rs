use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex};

use super::address_map::AddressMap;
use super::player::{Player, Then};
use super::{Answer, Event, lock};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::engine::memory::GuestMemory;
use crate::engine::trap::Trap;
use crate::observe::guest::call;
use crate::observe::observer::{Observed, Observer, ReplayedCall, Seen, Step};
use crate::resources::host::Host;
use crate::setters::setters;
use crate::vm::state::{VmConfig, VmState};

/// How a record is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replay {
    /// The module is another build than the one that was recorded. Addresses differ then, so pointers are compared by
    /// what they point to.
    pub is_moved: bool,
    /// Bytes were made unrecognizable: an asterisk in the record is equal to any byte.
    pub is_redacted: bool,
}

impl Replay {
    setters! {
        with_moved(bool) -> is_moved;
        with_redacted(bool) -> is_redacted;
    }
}

/// The result of a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Difference {
    /// The number of the event, from 1.
    pub event: u64,
    /// The difference.
    pub what: String,
    /// The events before it, as text, oldest first.
    pub before: Vec<String>,
    /// The event of the record.
    pub recorded: String,
    /// The event of the guest.
    pub now: String,
}

/// The events of a record, and what is wrong with one that cannot be read; nothing is asked of it after that.
pub type Source = Box<dyn Iterator<Item = Result<Event, Box<dyn Error + Send + Sync>>> + Send>;

/// Makes a guest and plays a record to it, as far as both agree. `host` is never asked for anything. A callback may
/// run for ten times the VM's deadline, because engines differ in speed.
pub fn replay(module: &dyn AnyModule, config: VmConfig, host: Box<dyn Host>, record: Source, how: Replay) -> Report {
    let limits = config.vm.limits.clone();
    let player = Arc::new(Mutex::new(Player::new(record, how)));
    let mut state = VmState::new(config, host);
    state.set_observer(Box::new(Replayer(Arc::clone(&player))));
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

/// Answers in the host's place. The player is shared, because a VM that does not start takes its state with it.
struct Replayer(Arc<Mutex<Player>>);

/// One hostcall that the record answers.
struct Replayed {
    id: HostcallId,
    arguments: Vec<Value>,
    player: Arc<Mutex<Player>>,
    /// Where the guest has what it points to, while its allocator runs.
    places: Option<AddressMap>,
}

/// Callbacks are called by [`replay()`] itself.
impl Observer for Replayer {
    fn callback(&mut self, _: CallbackId, _: &[i32], _: Seen<'_>) {}

    fn returned(&mut self, _: Option<Result<Option<i32>, &Trap>>, _: Seen<'_>) -> bool {
        true
    }

    fn hostcall(
        &mut self,
        id: HostcallId,
        arguments: &dyn Fn() -> Vec<Value>,
        begins_anew: bool,
        _: Seen<'_>,
    ) -> Observed {
        if begins_anew {
            lock(&self.0).rewind();
        }
        let player = Arc::clone(&self.0);
        Observed::Replayed(Box::new(Replayed { id, arguments: arguments(), player, places: None }))
    }
}

impl ReplayedCall for Replayed {
    fn begin(&mut self, memory: &mut GuestMemory<'_>) -> Result<Step, Trap> {
        Ok(match lock(&self.player).hostcall(self.id, &self.arguments, memory)? {
            Then::Answer(answer) => Step::Answer(answer),
            Then::Allocate(places, len) => {
                self.places = Some(places);
                Step::Allocate(len)
            }
        })
    }

    fn allocated(&mut self, address: Result<u32, Trap>, memory: &mut GuestMemory<'_>) -> Result<Answer, Trap> {
        let places = self.places.take().ok_or_else(|| self.has_bad_answer())?;
        lock(&self.player).allocated(places, address, memory)
    }

    fn has_bad_answer(&mut self) -> Trap {
        lock(&self.player).bad_answer(self.id)
    }
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replayer")
    }
}

/// An interpreter is not much slower than this, where most of a plugin's time is its host's.
const SLOWER: u32 = 10;

/// Returns whether a callback may have had the time of those that start a plugin.
fn begins(id: CallbackId) -> bool {
    matches!(id, CallbackId::on_context_create | CallbackId::on_vm_start | CallbackId::on_configure)
        || id.is_start_function()
}
