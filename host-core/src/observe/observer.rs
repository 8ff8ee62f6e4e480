//! The hook for observers, which are called for each call of a VM.
//!
//! A VM without an observer pays nothing: one with an observer has no right that passes at the first look, so the branch that refuses
//! finds the observer.
//!
//! | event | what is called |
//! |---|---|
//! | the host calls the guest | [`Observer::callback`] |
//! | the guest calls the host | [`Observer::hostcall`] |
//! | the hostcall runs the guest's allocator | [`ObservedCall::allocates`], hostcalls of the allocator, [`ObservedCall::allocated`] |
//! | the hostcall ends | [`ObservedCall::end`] |
//! | the callback ends | [`Observer::returned`] |
//!
//! Learning of rights is no observer but a kind of rules ([`Rules::learning`](crate::rights::Rules::learning)). An argument is to be noted
//! in the form in which a rule judges it, and only the rule has that form: where a header map is shown to a guest
//! ([`Visible`](crate::model::visible::Visible)) there is no VM to ask for an observer, an observer's own reading of guest memory could differ
//! from the handler's, and a look for one wherever a plugin without rules hands over an argument would cost instructions while nobody learns.

use std::cell::RefCell;
use std::fmt;

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::memory::{GuestMemory, Notes};
use crate::engine::recorded_trap::RecordedTrap;
use crate::engine::trap::Trap;
use crate::model::plugin::Plugin;
use crate::resources::host::Host;

/// Looks at each call of a VM.
pub(crate) trait Observer: fmt::Debug + Send {
    /// Looks at a callback that begins.
    fn callback(&mut self, id: CallbackId, arguments: &[i32], seen: Seen<'_>);

    /// Looks at the end of that callback, `None` if the guest does not have it; returns whether it looks at what follows.
    fn returned(&mut self, outcome: Option<Result<Option<i32>, &Trap>>, seen: Seen<'_>) -> bool;

    /// Looks at a hostcall that begins. `begins_anew` says that the engine has begun the start section anew since the last one.
    fn hostcall(
        &mut self,
        id: HostcallId,
        arguments: &dyn Fn() -> Vec<Value>,
        begins_anew: bool,
        seen: Seen<'_>,
    ) -> Observed;
}

/// The rest of a VM that observers see.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) host: &'a dyn Host,
    /// The plugin that runs; none before there is one.
    pub(crate) plugin: Option<&'a Plugin>,
}

/// How a hostcall goes on.
pub(crate) enum Observed {
    /// The host answers it, looked at by this.
    Call(Box<dyn ObservedCall>),
    /// No handler runs: this answers in the host's place.
    Replayed(Box<dyn ReplayedCall>),
}

/// Looks at one hostcall.
pub(crate) trait ObservedCall {
    /// Takes note of what the hostcall is handed of guest memory.
    fn notes(&self) -> &RefCell<dyn Notes>;

    /// Looks at the guest before its allocator runs for `len` bytes.
    fn allocates(&self, len: u32, memory: &[u8], seen: Seen<'_>);

    /// Looks at what the allocator gave.
    fn allocated(&self, address: Result<u32, &Trap>, seen: Seen<'_>);

    /// Looks at the end of the hostcall.
    fn end(self: Box<Self>, answer: Result<Answered, &Trap>, memory: &[u8], seen: Seen<'_>);
}

/// The answer of a hostcall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    /// Its result, if it has one.
    pub(crate) value: Option<Value>,
    /// The number of a result that says why it was not done.
    pub(crate) failure: Option<i32>,
}

/// Answers one hostcall in the host's place.
pub(crate) trait ReplayedCall {
    /// Compares the hostcall with what it should be.
    ///
    /// # Errors
    /// The call is another one, and the guest ends.
    fn begin(&mut self, memory: &mut GuestMemory<'_>) -> Result<Step, Trap>;

    /// Goes on when the guest's allocator has run; returns the answer, or the trap that the hostcall raised, in words.
    ///
    /// # Errors
    /// The allocator did something else, and the guest ends.
    fn allocated(
        &mut self,
        address: Result<u32, Trap>,
        memory: &mut GuestMemory<'_>,
    ) -> Result<Result<Option<Value>, RecordedTrap>, Trap>;

    /// Ends the guest, because the answer has another type than the hostcall.
    fn has_bad_answer(&mut self) -> Trap;
}

/// How a replayed hostcall goes on.
pub(crate) enum Step {
    /// The hostcall answers, or raises a trap, in words.
    Answer(Result<Option<Value>, RecordedTrap>),
    /// The hostcall runs the guest's allocator for N bytes.
    Allocate(u32),
}
