use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use super::event::{Answer, Event, Span, Then};
use super::notes::Notes;
use super::{START_EVENTS, lock};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::outcome::Raw;
use crate::abi::value::Value;
use crate::engine::any::AnyModule;
use crate::engine::error::StartError;
use crate::engine::trap::Trap;
use crate::engine::{Caller, Guest};
use crate::model::limits::Limits;
use crate::observe::witness::{Witness, Witnessed};
use crate::vm::state::VmState;

/// Takes what crosses the wall of one VM, in order. It may be called from any thread, and must not wait for anything
/// but a file.
pub trait Sink: Send {
    /// How many bytes of guest memory it would still take. When there is room for none, nothing is recorded any more.
    fn room(&self) -> usize;
    /// An event.
    fn take(&mut self, event: Event);
    /// A callback has ended, or the start section.
    fn pause(&mut self) {}
    /// The next event is larger than what there is room for. It is the last that the sink hears.
    fn overflow(&mut self);
}

/// Makes a guest whose every crossing of the wall is told to `sink`. The guest notices nothing, and no rule is any
/// different.
///
/// # Errors
/// Those of [`AnyModule::instantiate`].
pub fn record(
    module: &dyn AnyModule,
    mut state: VmState,
    limits: &Limits,
    sink: Box<dyn Sink>,
) -> Result<Box<dyn Guest>, StartError> {
    let recording = Arc::new(Mutex::new(Recording { sink, start: Some(Vec::new()), pending: None, is_over: false }));
    state.set_witness(Witness::Record(Arc::clone(&recording)));
    let made = module.instantiate(state, limits);
    lock(&recording).started(made.as_ref().map(drop).map_err(StartError::without_stack));
    Ok(Box::new(Witnessed { guest: made?, samples: None }))
}

/// What is being recorded of a VM.
pub(crate) struct Recording {
    sink: Box<dyn Sink>,
    /// The events of the start section, while it runs: an engine may begin it anew.
    start: Option<Vec<Event>>,
    /// A callback that may turn out not to be there.
    pending: Option<Event>,
    is_over: bool,
}

impl Recording {
    /// Whether nothing more is recorded.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(crate) fn callback(&mut self, id: CallbackId, arguments: Vec<i32>) {
        self.pending = Some(Event::Callback { id, arguments });
    }

    /// A callback has ended; `None` if the guest does not have it.
    pub(crate) fn returned(&mut self, outcome: Option<Result<Option<i32>, String>>) {
        match outcome {
            None => self.pending = None,
            Some(outcome) => {
                self.event(Event::Returned(outcome));
                self.sink.pause();
            }
        }
    }

    fn started(&mut self, outcome: Result<(), String>) {
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

    /// The start section has begun anew.
    fn restart(&mut self) {
        if let Some(start) = &mut self.start {
            start.clear();
        }
    }
}

/// One hostcall that is being recorded.
pub(crate) struct Recorded {
    id: HostcallId,
    arguments: RefCell<Vec<Value>>,
    recording: Arc<Mutex<Recording>>,
    pub(crate) notes: RefCell<Notes>,
    /// What the guest's allocator gave, if it has run.
    allocated: Cell<Option<Result<u32, String>>>,
}

impl Recorded {
    pub(crate) fn begin(
        id: HostcallId,
        arguments: Vec<Value>,
        recording: Arc<Mutex<Recording>>,
        vm: &mut VmState,
    ) -> Self {
        let mut now = lock(&recording);
        if vm.budget().take_was_reset() {
            now.restart();
        }
        let notes = RefCell::new(Notes::new(now.sink.room()));
        drop(now);
        Self { id, arguments: RefCell::new(arguments), recording, notes, allocated: Cell::new(None) }
    }

    pub(crate) fn allocates<C: Caller + ?Sized>(&self, caller: &mut C, len: u32) {
        self.hostcall(caller, Then::Allocate(len));
    }

    pub(crate) fn allocated(&self, address: &Result<u32, Trap>) {
        self.allocated.set(Some(address.as_ref().map(|address| *address).map_err(Trap::without_stack)));
    }

    pub(crate) fn end<C: Caller + ?Sized, R: Raw>(self, caller: &mut C, answer: &Result<R, Trap>) {
        let answer: Answer = answer.as_ref().map(|raw| raw.value()).map_err(Trap::without_stack);
        match self.allocated.take() {
            None => self.hostcall(caller, Then::Answer(answer)),
            Some(address) => self.tell(caller, |_, writes| Event::Allocated { address, writes, answer }),
        }
        if lock(&self.recording).is_over {
            caller.state().drop_witness();
        }
    }

    fn hostcall<C: Caller + ?Sized>(&self, caller: &mut C, then: Then) {
        let (id, arguments) = (self.id, self.arguments.take());
        self.tell(caller, |reads, writes| Event::Hostcall { id, arguments, reads, writes, then });
    }

    fn tell<C: Caller + ?Sized>(&self, caller: &mut C, event: impl FnOnce(Vec<Span>, Vec<Span>) -> Event) {
        let (memory, _) = caller.split();
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
