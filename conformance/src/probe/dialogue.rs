//! The dialogue between kit and probe: values of the header `x-probe`, and answers.
//!
//! A control request goes no further than the probe, which answers it by a local response of status 200.
//! Every other request is the *subject*: its callbacks are those in which an armed program may run.

use std::fmt::Write;

use portcullis_core::abi::{AbiVersion, CallbackId, HOSTCALLS, HostcallId};

use super::{LANGUAGE, Program};

/// The header of a control request.
pub const HEADER: &str = "x-probe";

/// Asks which probe it is; the answer is a [`Hello`].
pub const HELLO: &str = "h";
/// Asks whether the armed program has run, and what it observed.
pub const FETCH: &str = "f";
/// Asks what programs observed while the plugin started; see [`configuration`].
pub const STARTED: &str = "s";
/// Asks which callbacks were called since a program was armed.
pub const TRACE: &str = "t";
/// Tells it to ask for time when it is asked to end.
pub const PENDING: &str = "p";
/// Tells it to tick no more.
pub const QUIET: &str = "q";

/// Ends a [`hold`].
pub const LET_GO: &str = "dffffff";

/// Returns the VM's configuration, a text with programs of the start: these cannot be armed before it, and each runs
/// in its phase.
///
/// The answer to [`STARTED`] has what each observed, by its number here.
pub fn configuration(programs: &[(CallbackId, Program)]) -> String {
    let mut text = "prb1".to_owned();
    for (phase, program) in programs {
        let [low, high] = u16::try_from(program.as_bytes().len()).unwrap_or(u16::MAX).to_le_bytes();
        hex(&mut text, &[*phase as u8, low, high]);
        hex(&mut text, program.as_bytes());
    }
    text
}

/// Arms a program for a phase. `returns` is what that callback returns after it. Ticks begin.
pub fn arm(phase: CallbackId, returns: Option<u8>, program: &Program) -> String {
    let mut text = "a".to_owned();
    hex(&mut text, &[phase as u8, returns.unwrap_or(u8::MAX)]);
    hex(&mut text, program.as_bytes());
    text
}

/// Holds the next stream: its callback of a phase returns this each time, and that of the phase behind it, if one is given,
/// 1. No other stream is held, or the subject. Ticks begin.
pub fn hold(phase: CallbackId, returns: u8, also: Option<CallbackId>) -> String {
    let mut text = "d".to_owned();
    hex(&mut text, &[phase as u8, returns, also.map_or(u8::MAX, |also| also as u8)]);
    text
}

/// Gives the probe a program that leads to the phase of another one. It runs first, and what it observes is
/// dropped. `returns` is what its callback returns after it.
pub fn lead(phase: CallbackId, returns: Option<u8>, program: &Program) -> String {
    let mut text = "l".to_owned();
    hex(&mut text, &[phase as u8, returns.unwrap_or(u8::MAX)]);
    hex(&mut text, program.as_bytes());
    text
}

/// The answer to a control request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the armed program has run.
    pub has_run: bool,
    /// The observations or the trace that were asked for.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// Reads a response's body; `None` if no probe wrote it.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (state, bytes) = body.strip_prefix(b"prb1")?.split_first()?;
        Some(Self { has_run: *state != 0, bytes: bytes.to_vec() })
    }
}

/// Which probe it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its version of the ABI.
    pub abi: AbiVersion,
    /// Hostcalls that it imports.
    pub imports: Vec<HostcallId>,
}

impl Hello {
    /// Reads the answer to a hello; `None` if it is malformed, or a probe of another kit.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [LANGUAGE, abi, bits @ ..] = bytes else { return None };
        let has = |row: usize| bits.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 != 0);
        let imports = HOSTCALLS.iter().map(|decl| decl.id).filter(|id| has(*id as usize)).collect();
        Some(Self { abi: *AbiVersion::ALL.get(usize::from(*abi))?, imports })
    }
}

/// Returns the observations of a program, by its number, while the plugin started.
pub fn started(mut bytes: &[u8], number: usize) -> Option<&[u8]> {
    while let Some(([a, b, c, d], rest)) = bytes.split_first_chunk() {
        let (observed, rest) = rest.split_at_checked(u16::from_le_bytes([*c, *d]).into())?;
        if usize::from(u16::from_le_bytes([*a, *b])) == number {
            return Some(observed);
        }
        bytes = rest;
    }
    None
}

fn hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_care() {
        assert_eq!(Answer::read(b"prb1\x01xy"), Some(Answer { has_run: true, bytes: b"xy".to_vec() }));
        assert_eq!(Answer::read(b"prb1"), None);
        assert_eq!(Answer::read(b"<html>"), None);
        assert_eq!(Hello::read(&[LANGUAGE, 9]), None);
        assert_eq!(Hello::read(&[LANGUAGE, 2, 1]).map(|hello| hello.imports.len()), Some(1));
        assert_eq!(started(&[7, 0, 1, 0, 9, 8, 0, 2, 0, 5, 6], 8), Some(&[5, 6][..]));
        assert_eq!(started(&[7, 0, 9, 0, 9], 7), None);
    }
}
