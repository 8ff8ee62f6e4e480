//! Lines of a transcript, and their events.

use std::collections::BTreeMap;
use std::time::Duration;

use portcullis_core::abi::{CALLBACKS, HOSTCALLS, HostcallDecl, ValType};
use portcullis_core::model::Limits;
use portcullis_core::observe::{
    transcript::Answer, transcript::Event, transcript::RecordedTrap, transcript::Span, transcript::Then,
    transcript::Value,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::content::Content;

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) transcript: u32,
    pub(super) portcullis: String,
    pub(super) name: String,
    pub(super) engine: String,
    pub(super) abi: String,
    pub(super) sha256: String,
    pub(super) limits: RecordedLimits,
    pub(super) redacted: Vec<String>,
}

/// The limits of its VM that the guest can notice; times are in milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RecordedLimits {
    memory: usize,
    table_elements: usize,
    stack: usize,
    deadline: u64,
    start_deadline: u64,
}

impl From<&Limits> for RecordedLimits {
    fn from(limits: &Limits) -> Self {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            memory: limits.memory,
            table_elements: limits.table_elements,
            stack: limits.stack,
            deadline: millis(limits.deadline),
            start_deadline: millis(limits.start_deadline),
        }
    }
}

impl RecordedLimits {
    /// Returns the limits. A file cannot set more than a configuration may.
    pub(super) fn limits(&self) -> Limits {
        const STACK: std::ops::RangeInclusive<usize> = 64 << 10..=16 << 20;
        const LONGEST: u64 = 3_600_000;
        Limits::default()
            .with_memory(self.memory.min(4 << 30))
            .with_table_elements(self.table_elements.min(10_000_000))
            .with_stack(self.stack.clamp(*STACK.start(), *STACK.end()))
            .with_deadline(Duration::from_millis(self.deadline.clamp(1, LONGEST)))
            .with_start_deadline(Duration::from_millis(self.start_deadline.clamp(1, LONGEST)))
    }
}

/// Any other line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Instantiated(Outcome),
    Callback {
        name: String,
        args: Vec<i32>,
    },
    Returned(Outcome),
    Hostcall {
        name: String,
        args: Arguments,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        reads: Vec<(u32, Content)>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        writes: Vec<(u32, Content)>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allocate: Option<u32>,
        #[serde(flatten)]
        outcome: Outcome,
    },
    Allocated {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<u32>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        writes: Vec<(u32, Content)>,
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// Nothing follows; why.
    End(String),
}

/// How something ended: with a result, or with a trap, or just so.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trap: Option<String>,
}

/// A number. Floating-point numbers are texts, because JSON has not all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Integer(i64),
    Float(String),
}

/// Arguments by name, in the order of the table.
#[derive(Clone, Debug)]
pub(super) struct Arguments(Vec<(String, Number)>);

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, number)| (name, number)))
    }
}

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(BTreeMap::deserialize(deserializer)?.into_iter().collect()))
    }
}

impl From<Event> for Line {
    fn from(event: Event) -> Self {
        match event {
            Event::Instantiated(outcome) => Self::Instantiated(Outcome::of(outcome.map(|()| None))),
            Event::Callback { id, arguments } => Self::Callback { name: id.decl().export.to_owned(), args: arguments },
            Event::Returned(outcome) => Self::Returned(Outcome::of(outcome.map(|result| result.map(Value::I32)))),
            Event::Hostcall { id, arguments, reads, writes, then } => {
                let names = id.decl().names.iter().map(|name| (*name).to_owned());
                let (allocate, outcome) = match then {
                    Then::Allocate(len) => (Some(len), Outcome::default()),
                    Then::Answer(answer) => (None, Outcome::of(answer)),
                };
                Self::Hostcall {
                    name: id.decl().name.to_owned(),
                    args: Arguments(names.zip(arguments.into_iter().map(Number::from)).collect()),
                    reads: contents(reads),
                    writes: contents(writes),
                    allocate,
                    outcome,
                }
            }
            Event::Allocated { address, writes, answer } => {
                Self::Allocated { address: address.ok(), writes: contents(writes), outcome: Outcome::of(answer) }
            }
        }
    }
}

impl Line {
    /// Returns the event of a line; `None` for the line that ends a transcript. The error says what is wrong with the line.
    pub(super) fn event(self) -> Result<Option<Event>, String> {
        Ok(Some(match self {
            Self::Instantiated(outcome) => Event::Instantiated(outcome.answer(&[])?.map(drop)),
            Self::Callback { name, args } => {
                let same =
                    |decl: &&portcullis_core::abi::CallbackDecl| decl.export == name && decl.params.len() == args.len();
                let decl = CALLBACKS.iter().find(same);
                let id = decl.ok_or_else(|| format!("there is no callback {name:?} of {} arguments", args.len()))?.id;
                Event::Callback { id, arguments: args }
            }
            Self::Returned(Outcome { trap: Some(trap), .. }) => Event::Returned(Err(RecordedTrap::new(trap))),
            Self::Returned(Outcome { result: None, .. }) => Event::Returned(Ok(None)),
            Self::Returned(outcome) => match outcome.answer(&[ValType::I32])? {
                Ok(Some(Value::I32(result))) => Event::Returned(Ok(Some(result))),
                _ => return Err("a callback returns an integer or nothing".to_owned()),
            },
            Self::Hostcall { name, args, reads, writes, allocate, outcome } => {
                let decl = HOSTCALLS.iter().find(|decl| decl.name == name);
                let decl = decl.ok_or_else(|| format!("there is no hostcall {name:?}"))?;
                let then = match allocate {
                    Some(len) => Then::Allocate(len),
                    None => Then::Answer(outcome.answer(decl.results)?),
                };
                let arguments = args.values(decl)?;
                Event::Hostcall { id: decl.id, arguments, reads: spans(reads)?, writes: spans(writes)?, then }
            }
            Self::Allocated { address, writes, outcome } => {
                let types: &[ValType] = if outcome.result.is_some() { &[ValType::I32] } else { &[] };
                let answer = outcome.answer(types)?;
                let address = match (address, &answer) {
                    (Some(address), _) => Ok(address),
                    (None, Err(trap)) => Err(trap.clone()),
                    (None, Ok(_)) => return Err("an allocator gives an address or traps".to_owned()),
                };
                Event::Allocated { address, writes: spans(writes)?, answer }
            }
            Self::End(_) => return Ok(None),
        }))
    }
}

impl Outcome {
    fn of(answer: Answer) -> Self {
        match answer {
            Ok(result) => Self { result: result.map(Number::from), trap: None },
            Err(trap) => Self { result: None, trap: Some(trap.into_string()) },
        }
    }

    fn answer(self, types: &[ValType]) -> Result<Answer, String> {
        match (self.trap, self.result, types) {
            (Some(trap), ..) => Ok(Err(RecordedTrap::new(trap))),
            (None, Some(result), [ty]) => Ok(Ok(Some(result.value(*ty)?))),
            (None, None, []) => Ok(Ok(None)),
            (None, None, _) => Err("it has no result".to_owned()),
            (None, Some(_), _) => Err("it has a result, and should have none".to_owned()),
        }
    }
}

impl Arguments {
    fn values(self, decl: &HostcallDecl) -> Result<Vec<Value>, String> {
        let given: BTreeMap<_, _> = self.0.into_iter().collect();
        let count = given.len();
        let value = |(name, ty): (&&str, &ValType)| match given.get(*name) {
            Some(number) => number.clone().value(*ty),
            None => Err(format!("{} lacks the argument {name:?}", decl.name)),
        };
        let values: Vec<_> = decl.names.iter().zip(decl.params).map(value).collect::<Result<_, _>>()?;
        if count == values.len() { Ok(values) } else { Err(format!("{} has too many arguments", decl.name)) }
    }
}

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        match value {
            Value::I32(number) => Self::Integer(number.into()),
            Value::I64(number) => Self::Integer(number),
            Value::F64(number) => Self::Float(format!("{number:?}")),
        }
    }
}

impl Number {
    fn value(self, ty: ValType) -> Result<Value, String> {
        let value = match (ty, &self) {
            (ValType::I32, Self::Integer(number)) => i32::try_from(*number).ok().map(Value::I32),
            (ValType::I64, Self::Integer(number)) => Some(Value::I64(*number)),
            (ValType::F64, Self::Float(text)) => text.parse().ok().map(Value::F64),
            _ => None,
        };
        value.ok_or_else(|| format!("{self:?} is no {ty}"))
    }
}

fn contents(spans: Vec<Span>) -> Vec<(u32, Content)> {
    spans.into_iter().map(|span| (span.address, Content::of(&span.bytes))).collect()
}

fn spans(contents: Vec<(u32, Content)>) -> Result<Vec<Span>, String> {
    let span = |(address, content): (u32, Content)| {
        let bytes = content.bytes().ok_or_else(|| format!("the bytes at {address} cannot be decoded"))?;
        Ok(Span { address, bytes })
    };
    contents.into_iter().map(span).collect()
}

#[cfg(test)]
mod tests;
