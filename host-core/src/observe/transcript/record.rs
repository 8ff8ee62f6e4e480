use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, Mutex};

use super::event::{Answer, Event, Span, Then};
use super::notes::Notes;
use super::{START_EVENTS, lock};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::Guest;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::engine::memory;
use crate::engine::recorded_trap::RecordedTrap;
use crate::engine::trap::Trap;
use crate::model::limits::Limits;
use crate::observe::guest::ObservedGuest;
use crate::observe::observer::{Answered, Observed, ObservedCall, Observer, Seen};
use crate::vm::state::VmState;

/// Takes what crosses the wall of one VM, in order. It may be called from any thread, and must not wait for anything
/// but a file.
pub trait Sink: Send {
    /// Returns how many bytes of guest memory it would still take. When there is room for none, nothing is recorded any more.
    fn room(&self) -> usize;
    /// Takes an event.
    fn take(&mut self, event: Event);
    /// Takes note of the end of a callback, or of the start section.
    fn pause(&mut self) {}
    /// Takes note that the next event is larger than the room that is left. Nothing else follows.
    fn overflow(&mut self);
}

/// Makes a guest whose every crossing of the wall is told to `sink`. The guest notices nothing, and no rule is any
/// different.
///
/// # Errors
/// As [`AnyModule::instantiate`].
pub fn record(
    module: &dyn AnyModule,
    mut state: VmState,
    limits: &Limits,
    sink: Box<dyn Sink>,
) -> Result<Box<dyn Guest>, StartError> {
    let recording = Arc::new(Mutex::new(Recording { sink, start: Some(Vec::new()), pending: None, is_over: false }));
    state.set_observer(Box::new(Recorder(Arc::clone(&recording))));
    let made = module.instantiate(state, limits);
    lock(&recording).started(made.as_ref().map(drop).map_err(StartError::without_stack));
    Ok(Box::new(ObservedGuest { guest: made?, samples: None }))
}

/// Writes down what crosses the wall of a VM. What it has written is shared, because a VM that does not start takes its state with it.
struct Recorder(Arc<Mutex<Recording>>);

impl Observer for Recorder {
    fn callback(&mut self, id: CallbackId, arguments: &[i32], _: Seen<'_>) {
        lock(&self.0).pending = Some(Event::Callback { id, arguments: arguments.to_vec() });
    }

    fn returned(&mut self, outcome: Option<Result<Option<i32>, &Trap>>, _: Seen<'_>) -> bool {
        let mut recording = lock(&self.0);
        recording.returned(outcome.map(|outcome| outcome.map_err(Trap::without_stack)));
        !recording.is_over
    }

    fn hostcall(
        &mut self,
        id: HostcallId,
        arguments: &dyn Fn() -> Vec<Value>,
        begins_anew: bool,
        _: Seen<'_>,
    ) -> Observed {
        let mut now = lock(&self.0);
        if begins_anew {
            now.restart();
        }
        Observed::Call(Box::new(Recorded {
            id,
            arguments: RefCell::new(arguments()),
            recording: Arc::clone(&self.0),
            notes: RefCell::new(Notes::new(now.sink.room())),
            allocated: Cell::new(None),
        }))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// The record of a VM as it is made.
struct Recording {
    sink: Box<dyn Sink>,
    /// The events of the start section, while it runs: an engine may begin it anew.
    start: Option<Vec<Event>>,
    /// A callback that may turn out not to be there.
    pending: Option<Event>,
    is_over: bool,
}

impl Recording {
    /// Records the end of a callback; `None` if the guest does not have it.
    fn returned(&mut self, outcome: Option<Result<Option<i32>, RecordedTrap>>) {
        match outcome {
            None => self.pending = None,
            Some(outcome) => {
                self.event(Event::Returned(outcome));
                self.sink.pause();
            }
        }
    }

    fn started(&mut self, outcome: Result<(), RecordedTrap>) {
        for event in self.start.take().unwrap_or_default() {
            self.event(event);
        }
        self.event(Event::Instantiated(outcome));
        self.sink.pause();
    }

    fn event(&mut self, event: Event) {
        for event in self.pending.take().into_iter().chain([event]) {
            match &mut self.start {
                _ if self.is_over => {}
                Some(start) if start.len() >= START_EVENTS => self.overflow(),
                Some(start) => start.push(event),
                None => {
                    self.sink.take(event);
                    self.is_over = self.sink.room() == 0;
                }
            }
        }
    }

    fn overflow(&mut self) {
        if !self.is_over {
            self.is_over = true;
            self.sink.overflow();
        }
    }

    /// Begins the start section anew.
    fn restart(&mut self) {
        if let Some(start) = &mut self.start {
            start.clear();
        }
    }
}

/// One hostcall that is being recorded.
struct Recorded {
    id: HostcallId,
    arguments: RefCell<Vec<Value>>,
    recording: Arc<Mutex<Recording>>,
    notes: RefCell<Notes>,
    /// The result of the guest's allocator, if it has run.
    allocated: Cell<Option<Result<u32, RecordedTrap>>>,
}

impl ObservedCall for Recorded {
    fn notes(&self) -> &RefCell<dyn memory::Notes> {
        &self.notes
    }

    fn allocates(&self, len: u32, memory: &[u8], _: Seen<'_>) {
        self.hostcall(memory, Then::Allocate(len));
    }

    fn allocated(&self, address: Result<u32, &Trap>, _: Seen<'_>) {
        self.allocated.set(Some(address.map_err(Trap::without_stack)));
    }

    fn end(self: Box<Self>, answer: Result<Answered, &Trap>, memory: &[u8], _: Seen<'_>) {
        let answer: Answer = answer.map(|answered| answered.value).map_err(Trap::without_stack);
        match self.allocated.take() {
            None => self.hostcall(memory, Then::Answer(answer)),
            Some(address) => self.tell(memory, |_, writes| Event::Allocated { address, writes, answer }),
        }
    }
}

impl Recorded {
    fn hostcall(&self, memory: &[u8], then: Then) {
        let (id, arguments) = (self.id, self.arguments.take());
        self.tell(memory, |reads, writes| Event::Hostcall { id, arguments, reads, writes, then });
    }

    fn tell(&self, memory: &[u8], event: impl FnOnce(Vec<Span>, Vec<Span>) -> Event) {
        let noted = self.notes.take().finish(memory);
        let mut recording = lock(&self.recording);
        match noted {
            Some((reads, writes)) => recording.event(event(reads, writes)),
            None => recording.overflow(),
        }
        // What follows in this hostcall has the room that is left now.
        self.notes.replace(Notes::new(recording.sink.room()));
    }
}
