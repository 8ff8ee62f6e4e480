//! Programs of a probe, and its observations.

use portcullis_core::abi::{HOSTCALLS, HostcallId};

/// Hostcalls with their arguments, in the language of the probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its hostcalls, in order.
    pub hostcalls: Vec<HostcallId>,
    bytes: Vec<u8>,
}

/// One thing that a program observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The result of a hostcall. A floating-point number stands as its bits; a hostcall that returns nothing, as 0.
    Answer(i64),
    /// Bytes of the guest's memory.
    Bytes(Vec<u8>),
}

/// A script is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in the call {call:?}: {what}")]
pub struct ScriptError {
    call: String,
    what: String,
}

/// Where texts begin, and where they must end.
const TEXTS: std::ops::Range<usize> = 1024..4096;

/// The rows of what a probe does besides hostcalls.
const PSEUDO: [(&str, u8, usize); 2] = [("bytes", 255, 2), ("word", 254, 1)];

impl Program {
    /// Compiles a script: calls with their arguments, with semicolons between.
    ///
    /// An argument is a number (`-1`), the word at an address of the guest's memory (`@64`), the id of the stream's context
    /// (`subject`), or the address and length of a text (`'text'`, with `~` for a zero byte, `\xx` for any, and `#` for what `unique` is).
    /// Two calls are none of the ABI: `bytes ADDRESS LENGTH` and `word ADDRESS` make the probe observe a part of its
    /// memory.
    ///
    /// # Errors
    /// The hostcall is unknown, takes other arguments, or there are too many texts.
    pub fn compile(script: &str, unique: &str) -> Result<Self, ScriptError> {
        let mut texts = Texts { segments: Vec::new(), free: TEXTS.start };
        let (mut calls, mut hostcalls) = (Vec::new(), Vec::new());
        let mut count = 0_u8;
        for call in script.split(';').filter(|call| !call.trim().is_empty()) {
            let fail = |what: String| ScriptError { call: call.trim().to_owned(), what };
            let mut words = words(call).into_iter();
            let name = words.next().unwrap_or_default();
            let arguments = words.map(|word| texts.arguments(&word, unique)).collect::<Result<Vec<_>, _>>();
            let arguments = arguments.map_err(&fail)?.concat();
            let (row, wanted) = match HOSTCALLS.iter().find(|decl| decl.name == name) {
                Some(decl) => {
                    hostcalls.push(decl.id);
                    (decl.id as u8, decl.params.len())
                }
                None => match PSEUDO.iter().find(|(pseudo, ..)| *pseudo == name) {
                    Some((_, row, wanted)) => (*row, *wanted),
                    None => return Err(fail("there is no such hostcall".to_owned())),
                },
            };
            if arguments.len() != wanted {
                return Err(fail(format!("it has {} arguments, and takes {wanted}", arguments.len())));
            }
            calls.extend([row, byte(wanted)]);
            for (kind, value) in arguments {
                calls.push(kind as u8);
                calls.extend(value.to_le_bytes());
            }
            count = count.checked_add(1).ok_or_else(|| fail("it is one too many".to_owned()))?;
        }
        let mut bytes = vec![byte(texts.segments.len())];
        for (at, text) in &texts.segments {
            bytes.extend(half(*at));
            bytes.extend(half(text.len()));
            bytes.extend(text);
        }
        bytes.push(count);
        bytes.extend(calls);
        Ok(Self { hostcalls, bytes })
    }

    /// Returns the program as the probe reads it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Observation {
    /// Reads what a probe answered; `None` if that is malformed.
    pub fn read(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut observations = Vec::new();
        while let Some((kind, rest)) = bytes.split_first() {
            let (observation, rest) = match kind {
                0 => {
                    let (word, rest) = rest.split_first_chunk()?;
                    (Self::Answer(i64::from_le_bytes(*word)), rest)
                }
                1 => {
                    let (len, rest) = rest.split_first_chunk()?;
                    let (text, rest) = rest.split_at_checked(u16::from_le_bytes(*len).into())?;
                    (Self::Bytes(text.to_vec()), rest)
                }
                _ => return None,
            };
            observations.push(observation);
            bytes = rest;
        }
        Some(observations)
    }
}

/// How a number in a call is meant.
#[derive(Clone, Copy)]
enum Kind {
    /// As it is.
    Number,
    /// The word at that address.
    Word,
    /// The id of the stream's context, whatever the number.
    Subject,
}

/// Texts, and where in the guest's memory they are laid out.
struct Texts {
    segments: Vec<(usize, Vec<u8>)>,
    free: usize,
}

impl Texts {
    /// Returns one argument, or two for a text; and how each is meant.
    fn arguments(&mut self, word: &str, unique: &str) -> Result<Vec<(Kind, i64)>, String> {
        if let Some(text) = word.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
            let text = unescape(&text.replace('#', unique))?;
            let (at, len) = (self.free, text.len());
            self.free += len;
            if !TEXTS.contains(&self.free) {
                return Err("its texts are too long".to_owned());
            }
            self.segments.push((at, text));
            let number = |number: usize| (Kind::Number, number.try_into().unwrap_or(i64::MAX));
            return Ok(vec![number(at), number(len)]);
        }
        if word == "subject" {
            return Ok(vec![(Kind::Subject, 0)]);
        }
        let (kind, number) = word.strip_prefix('@').map_or((Kind::Number, word), |address| (Kind::Word, address));
        let number = number.parse().map_err(|_| format!("{word:?} is no argument"))?;
        Ok(vec![(kind, number)])
    }
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(next) = rest.next() {
        bytes.push(match next {
            b'~' => 0,
            b'\\' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                u8::from_str_radix(digits, 16).map_err(|_| format!("\\{digits:?} is no byte"))?
            }
            other => other,
        });
    }
    Ok(bytes)
}

/// Words of a call; texts may hold spaces.
fn words(call: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_text = false;
    for c in call.trim().chars() {
        is_text ^= c == '\'';
        match words.last_mut() {
            Some(word) if is_text || !c.is_whitespace() => word.push(c),
            _ => words.push(String::new()),
        }
    }
    words
}

fn byte(number: usize) -> u8 {
    number.try_into().unwrap_or(u8::MAX)
}

fn half(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap_or(u16::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_texts_and_calls() {
        let program = Program::compile("proxy_log 2 'a~\\ff#'; bytes @64 3", "7").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(program.hostcalls, [HostcallId::proxy_log]);
        let mut expected = vec![1, 0, 4, 4, 0, b'a', 0, 0xff, b'7', 2, HostcallId::proxy_log as u8, 3];
        for (tag, value) in [(0, 2_i64), (0, 1024), (0, 4)] {
            expected.push(tag);
            expected.extend(value.to_le_bytes());
        }
        expected.extend([255, 2, 1]);
        expected.extend(64_i64.to_le_bytes());
        expected.push(0);
        expected.extend(3_i64.to_le_bytes());
        assert_eq!(program.as_bytes(), expected);
    }

    #[test]
    fn mistakes_in_a_script_are_told() {
        for (script, told) in [
            ("proxy_lag 1", "there is no such hostcall"),
            ("proxy_log 1 2", "it has 2 arguments, and takes 3"),
            ("proxy_done x", "\"x\" is no argument"),
        ] {
            let error = Program::compile(script, "").err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(told)), "{error:?}");
        }
    }

    #[test]
    fn what_a_probe_answers_is_not_trusted() {
        let answer = [&[0_u8][..], &(-1_i64).to_le_bytes(), &[1, 2, 0, b'h', b'i']].concat();
        let expected = vec![Observation::Answer(-1), Observation::Bytes(b"hi".to_vec())];
        assert_eq!(Observation::read(&answer), Some(expected));
        for malformed in [&[0_u8, 1][..], &[1, 9, 0, 1], &[2]] {
            assert_eq!(Observation::read(malformed), None);
        }
    }
}
