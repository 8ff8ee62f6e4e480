use std::collections::VecDeque;

use super::START_EVENTS;
use super::address_map::AddressMap;
use super::event::{self, Answer, Call, Event, Span, is_length_of};
use super::notes::bytes_at;
use super::replay::{Difference, End, Replay, Report, Source};
use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::memory::GuestMemory;
use crate::engine::recorded_trap::RecordedTrap;
use crate::engine::trap::Trap;

/// How many events before a difference are shown.
const BEFORE: usize = 5;

/// Plays a record to a guest, and compares.
pub(super) struct Player {
    source: Source,
    how: Replay,
    /// The events of the start section, while it runs, and how many of them have been played: an engine may begin it
    /// anew.
    start: Option<(VecDeque<Event>, usize)>,
    before: VecDeque<String>,
    report: Report,
    is_over: bool,
}

/// The continuation of a hostcall.
pub(super) enum Then {
    Answer(Answer),
    /// Run the guest's allocator for so many bytes.
    Allocate(AddressMap, u32),
}

impl Player {
    pub(super) fn new(source: Source, how: Replay) -> Self {
        let report = Report { events: 0, callbacks: 0, hostcalls: 0, end: End::Same };
        let start = Some((VecDeque::new(), 0));
        Self { source, how, start, before: VecDeque::new(), report, is_over: false }
    }

    pub(super) fn report(&self) -> Report {
        self.report.clone()
    }

    /// Begins the start section anew.
    pub(super) fn rewind(&mut self) {
        if let Some((_, played)) = &mut self.start {
            self.report.events -= *played as u64;
            self.report.hostcalls = 0;
            *played = 0;
            self.before.clear();
        }
    }

    pub(super) fn instantiated(&mut self, now: Result<(), RecordedTrap>) {
        let now = Event::Instantiated(now);
        match self.next() {
            Ok(recorded) if recorded == now => {}
            Ok(recorded) => drop(self.differ("the start section ended in another way", &recorded, now.to_string())),
            Err(_) => {}
        }
        self.start = None;
    }

    /// Returns the next callback to be called; `None` at the end.
    pub(super) fn callback(&mut self) -> Option<(CallbackId, Vec<i32>)> {
        match self.next() {
            Ok(Event::Callback { id, arguments }) => {
                self.report.callbacks += 1;
                Some((id, arguments))
            }
            Ok(other) => {
                drop(self.unreadable(&format!("a callback should follow here, not: {other}")));
                None
            }
            Err(_) => None,
        }
    }

    /// Compares the end of a callback; `None` if the guest does not have it.
    pub(super) fn returned(&mut self, now: Result<Option<Option<i32>>, Trap>) {
        let now = match now {
            Ok(Some(result)) => Ok(result),
            Ok(None) => {
                self.is_over = true;
                let last = self.before.pop_back().unwrap_or_default();
                let what = "the plugin does not export this callback".to_owned();
                return self.end_with(what.clone(), last, what);
            }
            Err(trap) => Err(trap.without_stack()),
        };
        if self.is_over {
            return;
        }
        let now = Event::Returned(now);
        match self.next() {
            Ok(recorded) if self.is_same_end(&recorded, &now) => {}
            Ok(recorded) => {
                let what = match &recorded {
                    Event::Returned(_) => "the callback ended in another way",
                    _ => "the callback ended without a hostcall that it made",
                };
                drop(self.differ(what, &recorded, now.to_string()));
            }
            Err(_) => {}
        }
    }

    /// Compares a hostcall of the guest.
    ///
    /// # Errors
    /// The record has another one, or has ended.
    pub(super) fn hostcall(
        &mut self,
        id: HostcallId,
        arguments: &[Value],
        memory: &mut GuestMemory<'_>,
    ) -> Result<Then, Trap> {
        let recorded = self.next()?;
        let now = || described(id, arguments, memory);
        let Event::Hostcall { id: was, arguments: had, reads, writes, then } = &recorded else {
            return Err(self.differ("the plugin made a hostcall more", &recorded, now()));
        };
        if *was != id {
            return Err(self.differ("the plugin made another hostcall", &recorded, now()));
        }
        self.report.hostcalls += 1;
        let places = AddressMap::of(id, had, arguments, self.how.is_moved);
        let mut places = match places {
            Ok(places) => places,
            Err(name) => return Err(self.differ(&format!("`{name}` differs"), &recorded, now())),
        };
        let all: Vec<_> = reads.iter().chain(writes).map(|span| span.address).collect();
        for span in reads {
            if let Err(at) = places.compare(span, &all, memory, self.how.is_redacted) {
                let name = argument_at(id, had, span.address).unwrap_or("what it points to");
                return Err(self.differ(&format!("the bytes of `{name}` differ from byte {at} on"), &recorded, now()));
            }
        }
        self.write(&places, writes, &mut None, memory, &recorded)?;
        Ok(match then {
            event::Then::Answer(answer) => Then::Answer(answer.clone()),
            event::Then::Allocate(len) => Then::Allocate(places, *len),
        })
    }

    /// Compares what the guest's allocator gave.
    ///
    /// # Errors
    /// The allocator did something else than in the record; the trap that ended it.
    pub(super) fn allocated(
        &mut self,
        mut places: AddressMap,
        address: Result<u32, Trap>,
        memory: &mut GuestMemory<'_>,
    ) -> Result<Answer, Trap> {
        let recorded = match self.is_over {
            true => return Err(address.err().unwrap_or_else(ended)),
            false => self.next()?,
        };
        let now = match &address {
            Ok(address) => format!("the allocator gives {address}"),
            Err(trap) => format!("the allocator ends: {}", trap.without_stack()),
        };
        let Event::Allocated { address: was, writes, answer } = &recorded else {
            return Err(self.differ("the allocator ended without a hostcall that it made", &recorded, now));
        };
        let (was, is) = match (was, address) {
            (Ok(was), Ok(is)) if *was == is || self.how.is_moved && (*was == 0) == (is == 0) => (*was, is),
            (Err(was), Err(trap)) if *was == trap.without_stack() => return Err(trap),
            _ => return Err(self.differ("the allocator did something else", &recorded, now)),
        };
        places.allocated(was, is);
        self.write(&places, writes, &mut Some(was), memory, &recorded)?;
        Ok(answer.clone())
    }

    /// Ends the replay, because the record has an answer of another type than the hostcall.
    pub(super) fn bad_answer(&mut self, id: HostcallId) -> Trap {
        self.unreadable(&format!("{id} does not answer so"))
    }

    fn write(
        &mut self,
        places: &AddressMap,
        writes: &[Span],
        allocated: &mut Option<u32>,
        memory: &mut GuestMemory<'_>,
        recorded: &Event,
    ) -> Result<(), Trap> {
        for span in writes {
            let bytes = places.translate(&span.bytes, allocated);
            let len = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
            match memory.slice_mut(places.find(span.address).cast_signed(), len) {
                Ok(target) => target.copy_from_slice(&bytes),
                Err(_) => {
                    let now = format!("it has no {len} bytes of memory at {}", places.find(span.address));
                    return Err(self.differ(
                        "what the host wrote does not fit into the plugin's memory",
                        recorded,
                        now,
                    ));
                }
            }
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Event, Trap> {
        if self.is_over {
            return Err(ended());
        }
        let kept = self.start.as_ref().and_then(|(events, played)| events.get(*played).cloned());
        let event = match kept.map_or_else(|| self.source.next(), |event| Some(Ok(event))) {
            Some(Ok(event)) => event,
            Some(Err(why)) => return Err(self.unreadable(&why.to_string())),
            None => {
                self.is_over = true;
                return Err(ended());
            }
        };
        if let Some((events, played)) = &mut self.start {
            if *played == events.len() {
                events.push_back(event.clone());
            }
            *played += 1;
            if *played > START_EVENTS {
                return Err(self.unreadable("a start section has fewer events"));
            }
        }
        self.report.events += 1;
        if self.before.len() > BEFORE {
            self.before.pop_front();
        }
        self.before.push_back(event.to_string());
        Ok(event)
    }

    fn is_same_end(&self, recorded: &Event, now: &Event) -> bool {
        match (recorded, now) {
            (Event::Returned(Err(was)), Event::Returned(Err(is))) if self.how.is_redacted => {
                let (was, is) = (was.as_str(), is.as_str());
                was.len() == is.len() && was.bytes().zip(is.bytes()).all(|(was, is)| was == is || was == b'*')
            }
            _ => recorded == now,
        }
    }

    fn differ(&mut self, what: &str, recorded: &Event, now: String) -> Trap {
        self.before.pop_back();
        self.end_with(what.to_owned(), recorded.to_string(), now);
        ended()
    }

    fn end_with(&mut self, what: String, recorded: String, now: String) {
        self.is_over = true;
        let (event, before) = (self.report.events, std::mem::take(&mut self.before).into());
        self.report.end = End::Different(Difference { event, what, before, recorded, now });
    }

    fn unreadable(&mut self, why: &str) -> Trap {
        self.is_over = true;
        self.report.end = End::Unreadable(why.to_owned());
        ended()
    }
}

/// Returns the trap that stops a guest that need not run on.
fn ended() -> Trap {
    Trap::Told(RecordedTrap::new("the replay has ended"))
}

/// Returns the parameter that has an address.
fn argument_at(id: HostcallId, arguments: &[Value], address: u32) -> Option<&'static str> {
    let mut named = id.decl().names.iter().zip(arguments);
    named.find(|(_, value)| value.address() == Some(address)).map(|(name, _)| *name)
}

/// Returns a call that the guest makes, as its author would write it.
fn described(id: HostcallId, arguments: &[Value], memory: &GuestMemory<'_>) -> String {
    let names = id.decl().names;
    let pairs = names.windows(2).zip(arguments.windows(2));
    let named = pairs.filter_map(|(names, values)| match (names, values) {
        ([of, name], [address, len]) if is_length_of(name, of) => address.address().zip(len.address()),
        _ => None,
    });
    // What nobody would read need not be copied.
    let named = named.filter(|(_, len)| *len <= 1 << 20);
    let read = |(address, len)| {
        let bytes = bytes_at(memory, address, usize::try_from(len).ok()?)?;
        Some(Span { address, bytes: bytes.to_vec() })
    };
    Call { id, arguments, reads: &named.filter_map(read).collect::<Vec<_>>() }.to_string()
}
