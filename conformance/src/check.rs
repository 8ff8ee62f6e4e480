//! Checks as data: what the probe is made to do, what is looked at, and what must be seen.

use portcullis_core::abi::{AbiVersion, CallbackId};

use crate::cell::Cell;
use crate::host_under_test::{Message, Setting, Trouble};
use crate::names::{short, with_names};
use crate::probe::Observation;

/// Something that a host must do, as a task of the probe.
#[derive(Clone, Debug)]
pub struct Check {
    /// Topic: `answers`, `exchange` or `phases`.
    pub topic: &'static str,
    /// Its name within the topic, a sentence of what a host must do.
    pub name: String,
    /// The task of the probe.
    pub task: Task,
    /// The part of the observations that is compared.
    pub sees: Sees,
    /// The expected observation, as [`Sees::of`] has it.
    pub expected: String,
    /// Where the rule stands.
    pub spec: &'static str,
}

/// Outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The expected behaviour.
    Passed,
    /// Something else was observed.
    Differs(String),
    /// Nothing was observed, and it does not count.
    NotExamined(&'static str),
}

/// Hostcalls to be made in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The probe's version of the ABI.
    pub abi: AbiVersion,
    /// How the plugin is set up.
    pub setting: Setting,
    /// The callback that makes the calls, the first time that it is called.
    pub phase: CallbackId,
    /// The calls; see [`Program::compile`](crate::probe::Program::compile).
    pub script: String,
    /// The value that the callback returns then, if not its usual one (0; of a callback that succeeds or fails, 1).
    pub returns: Option<u8>,
    /// The way to that callback.
    pub course: Course,
}

/// The way to the callback of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// The cause of the callback by itself: a request where it belongs to streams of HTTP, a connection where it belongs to those
    /// of TCP, a callout in a tick where it belongs to a callout.
    Direct,
    /// A connection, where a callback belongs to streams of both.
    Tcp,
    /// A callout in the headers of a request, which waits for it.
    PausedRequest,
    /// A callout in a new connection, which waits for it.
    PausedConnection,
}

/// Observations of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Observations of the program, in order.
    pub observations: Vec<Observation>,
    /// The response to the subject, for phases that have one.
    pub response: Option<Message>,
    /// The callbacks of the subject, and those of no stream, in order. Ticks are left out.
    pub trace: Vec<CallbackId>,
}

impl Task {
    /// Returns whether it is led to by a connection of TCP, and not by a request.
    pub(crate) fn connects(&self) -> bool {
        use CallbackId as Id;
        match self.course {
            Course::Tcp | Course::PausedConnection => true,
            Course::PausedRequest => false,
            Course::Direct => matches!(
                self.phase,
                Id::on_new_connection
                    | Id::on_downstream_data
                    | Id::on_upstream_data
                    | Id::on_downstream_connection_close
                    | Id::on_upstream_connection_close
            ),
        }
    }
}

impl Seen {
    /// Returns the answer of the last hostcall.
    pub fn answer(&self) -> Option<i64> {
        self.observations.iter().rev().find_map(|observation| match observation {
            Observation::Answer(answer) => Some(*answer),
            Observation::Bytes(_) => None,
        })
    }
}

/// The part of the observations that a check compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// All that the program observed.
    Everything,
    /// The last hostcall's answer.
    LastAnswer,
    /// A header of the response, or `:status`.
    Response(&'static str),
    /// A trailer of the response.
    ResponseTrailer(&'static str),
    /// The first bytes of the response's body.
    ResponseBody(usize),
    /// A header that the upstream got; `trailer NAME` for a trailer.
    Upstream(&'static str),
    /// The body that the upstream got.
    UpstreamBody,
    /// The callbacks of the stream, in order; those that come several times in a row, once.
    Callbacks,
    /// The outcome of one of the properties that the program read, each by a hostcall and `bytes`.
    Property {
        /// Which hostcall of the program.
        at: usize,
        /// The expected value; see [`Cell`].
        cell: &'static str,
    },
}

impl Sees {
    /// Returns that part as text; `none` if it is absent, values of one name with commas between.
    pub fn of(self, seen: &Seen) -> String {
        let response = seen.response.as_ref();
        match self {
            Self::Everything => text(seen),
            Self::LastAnswer => seen.answer().map(|answer| answer.to_string()).unwrap_or_default(),
            Self::Response(name) => named(response.map(|response| &response.headers[..]).unwrap_or_default(), name),
            Self::ResponseTrailer(name) => {
                named(response.map(|response| &response.trailers[..]).unwrap_or_default(), name)
            }
            Self::ResponseBody(count) => {
                let body = response.map(|response| &response.body[..]).unwrap_or_default();
                body.get(..count).unwrap_or(body).escape_ascii().to_string()
            }
            Self::Upstream(name) => {
                let (head, _) = echo(seen);
                let lines = head.lines().filter_map(|line| line.split_once(": "));
                let pairs: Vec<_> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                named(&pairs, name)
            }
            Self::UpstreamBody => echo(seen).1,
            Self::Property { at, cell } => property(seen, at, cell).unwrap_or_else(|| "not read".to_owned()),
            Self::Callbacks => {
                let mut callbacks = seen.trace.clone();
                callbacks.dedup();
                // What comes then is of the requests that ask for it.
                let end = callbacks.iter().position(|id| *id == CallbackId::on_delete);
                callbacks.truncate(end.map_or(callbacks.len(), |end| end + 1));
                callbacks.into_iter().map(short).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

impl Check {
    /// Returns its full name: `topic::name`.
    pub fn path(&self) -> String {
        format!("{}::{}", self.topic, self.name)
    }

    /// Compares what was seen with what must be.
    pub(crate) fn judge(&self, result: Result<Seen, Trouble>) -> Outcome {
        match result {
            Ok(seen) => {
                let observed = self.sees.of(&seen);
                if observed == self.expected { Outcome::Passed } else { Outcome::Differs(observed) }
            }
            Err(Trouble::Unsupported(why)) => Outcome::NotExamined(why),
            Err(trouble) => Outcome::Differs(trouble.to_string()),
        }
    }

    /// Returns the message when something else was observed.
    pub fn complaint(&self, observed: &str) -> String {
        let Task { phase, script, abi, setting, .. } = &self.task;
        let script = match self.sees {
            // One of many reads.
            Sees::Property { at, .. } => script.split(';').nth(2 * at).unwrap_or(script).trim(),
            _ => script,
        };
        let setting = if *setting == Setting::Plain { String::new() } else { format!(", {setting:?}") };
        let (expected, observed) = match self.sees {
            Sees::Everything | Sees::LastAnswer => (with_names(script, &self.expected), with_names(script, observed)),
            _ => (self.expected.clone(), observed.to_owned()),
        };
        format!("`{script}` in {phase} ({abi}{setting}): expected {expected:?}, observed {observed:?}")
    }
}

/// Returns a task in the newest version of the ABI that nothing is particular about.
pub(crate) fn plain(phase: CallbackId, script: &str) -> Task {
    Task {
        abi: AbiVersion::V0_2_1,
        setting: Setting::Plain,
        phase,
        script: script.to_owned(),
        returns: None,
        course: Course::Direct,
    }
}

/// Returns the outcome of a read: the status that a hostcall answered, and the bytes that were noted behind it.
fn property(seen: &Seen, at: usize, cell: &str) -> Option<String> {
    let is_answer = |(_, observation): &(usize, &Observation)| matches!(observation, Observation::Answer(_));
    let (index, answer) = seen.observations.iter().enumerate().filter(is_answer).nth(at)?;
    match (answer, seen.observations.get(index + 1)?) {
        (Observation::Answer(status), Observation::Bytes(bytes)) => Some(Cell::describe(cell, *status, bytes)),
        _ => None,
    }
}

/// Returns head and body of the request, as the upstream tells of it.
fn echo(seen: &Seen) -> (String, String) {
    let body = seen.response.as_ref().map(|response| String::from_utf8_lossy(&response.body).into_owned());
    let body = body.unwrap_or_default();
    let told = body.strip_prefix("ok\n").and_then(|told| told.split_once("\n\n"));
    told.map(|(head, body)| (head.to_owned(), body.to_owned())).unwrap_or_default()
}

fn named(pairs: &[(String, String)], name: &str) -> String {
    let values: Vec<_> = pairs.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
    if values.is_empty() { "none".to_owned() } else { values.join(",") }
}

/// Returns observations as a text: numbers, and bytes in quotes, with commas between.
fn text(seen: &Seen) -> String {
    let one = |observation: &Observation| match observation {
        Observation::Answer(answer) => answer.to_string(),
        Observation::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
    };
    seen.observations.iter().map(one).collect::<Vec<_>>().join(",")
}
