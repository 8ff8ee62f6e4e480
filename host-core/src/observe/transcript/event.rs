use std::fmt;

use crate::abi::callback::CallbackId;
use crate::abi::hostcall::HostcallId;
use crate::abi::value::Value;
use crate::engine::recorded_trap::RecordedTrap;

/// Bytes of guest memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where they begin.
    pub address: u32,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The answer of a hostcall: its result, if it has one, or the trap that it raised.
pub type Answer = Result<Option<Value>, RecordedTrap>;

/// One thing that crossed the wall.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The guest was made, and its start section ended: well, or by a trap.
    Instantiated(Result<(), RecordedTrap>),
    /// The host called the guest.
    Callback {
        /// Which callback.
        id: CallbackId,
        /// With which arguments.
        arguments: Vec<i32>,
    },
    /// The callback ended: with a result, if it has one, or by a trap.
    Returned(Result<Option<i32>, RecordedTrap>),
    /// The guest called the host.
    Hostcall {
        /// Which hostcall.
        id: HostcallId,
        /// With which arguments.
        arguments: Vec<Value>,
        /// Bytes of its memory that the host read.
        reads: Vec<Span>,
        /// Bytes that the host wrote to its memory.
        writes: Vec<Span>,
        /// The continuation.
        then: Then,
    },
    /// The guest's allocator, which a hostcall ran, has ended, and so has the hostcall.
    Allocated {
        /// The address that it gave.
        address: Result<u32, RecordedTrap>,
        /// Bytes that the host wrote to the guest's memory since.
        writes: Vec<Span>,
        /// The answer of the hostcall.
        answer: Answer,
    },
}

/// The continuation of a hostcall that has read its arguments.
#[derive(Clone, Debug, PartialEq)]
pub enum Then {
    /// The hostcall answers.
    Answer(Answer),
    /// The hostcall runs the guest's allocator for N bytes. The calls of that follow, and then [`Event::Allocated`].
    Allocate(u32),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instantiated(Ok(())) => f.write_str("the start section ended"),
            Self::Instantiated(Err(trap)) => write!(f, "the start section failed: {trap}"),
            Self::Callback { id, arguments } => {
                let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
                write!(f, "the host calls {id}({})", arguments.join(", "))
            }
            Self::Returned(Ok(None)) => f.write_str("the callback returns"),
            Self::Returned(Ok(Some(result))) => write!(f, "the callback returns {result}"),
            Self::Returned(Err(trap)) => write!(f, "the callback ends: {trap}"),
            Self::Hostcall { id, arguments, reads, then, .. } => {
                Call { id: *id, arguments, reads }.fmt(f)?;
                match then {
                    Then::Answer(answer) => write_answer(f, answer),
                    Then::Allocate(len) => write!(f, ", which allocates {len} bytes"),
                }
            }
            Self::Allocated { address: Ok(address), writes, answer } => {
                write!(f, "the allocator gives {address}")?;
                if let Some(handed) = writes.iter().find(|span| span.address == *address) {
                    write!(f, " for {}", shown(&handed.bytes))?;
                }
                write_answer(f, answer)
            }
            Self::Allocated { address: Err(trap), .. } => write!(f, "the allocator ends: {trap}"),
        }
    }
}

/// A hostcall as its author would write it: bytes in the place of pointer and length.
pub(super) struct Call<'a> {
    pub(super) id: HostcallId,
    pub(super) arguments: &'a [Value],
    pub(super) reads: &'a [Span],
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.id)?;
        let mut separator = "";
        let mut arguments = self.id.decl().names.iter().zip(self.arguments).peekable();
        while let Some((name, value)) = arguments.next() {
            write!(f, "{separator}{name}: ")?;
            separator = ", ";
            let len = arguments.peek().filter(|(next, _)| is_length_of(next, name)).and_then(|(_, len)| len.address());
            let is_meant =
                |span: &&Span| Some(span.address) == value.address() && u32::try_from(span.bytes.len()).ok() == len;
            match self.reads.iter().find(is_meant) {
                Some(span) => {
                    f.write_str(&shown(&span.bytes))?;
                    arguments.next();
                }
                None => write!(f, "{value}")?,
            }
        }
        f.write_str(")")
    }
}

fn write_answer(f: &mut fmt::Formatter<'_>, answer: &Answer) -> fmt::Result {
    match answer {
        Ok(None) => Ok(()),
        Ok(Some(value)) => write!(f, " -> {value}"),
        Err(trap) => write!(f, ", which ends the plugin: {trap}"),
    }
}

/// Returns whether a parameter is the length of the one before it.
pub(super) fn is_length_of(name: &str, of: &str) -> bool {
    name.strip_suffix("_len") == Some(of)
}

/// Bytes as text, cut where they are too long to be read.
fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 200;
    match bytes.get(..LONGEST) {
        Some(start) if bytes.len() > LONGEST => format!("\"{}\"... ({} bytes)", start.escape_ascii(), bytes.len()),
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
