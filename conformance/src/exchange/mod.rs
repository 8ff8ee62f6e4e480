//! What a plugin's edits come to: what the upstream gets, and what the client gets; and in which order a stream's
//! callbacks come.

mod rows;

use portcullis::core::CallbackId;

use crate::cell::Cell;
use crate::kit::Seen;
use crate::probe::Observation;
use crate::suite::{Check, plain};

/// What a check looks at.
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
    /// What there is to see; `none` for what is not there, values of one name with commas between.
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
                callbacks.into_iter().map(crate::phases::short).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// The checks.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    rows::ROWS.iter().map(|(name, phase, script, sees, expected)| Check {
        topic: "exchange",
        name: (*name).to_owned(),
        task: plain(*phase, script),
        expected: (*expected).to_owned(),
        sees: *sees,
        spec: "v0.2.1#Callbacks",
    })
}

/// The outcome of a read: the status that a hostcall answered, and the bytes that were noted behind it.
fn property(seen: &Seen, at: usize, cell: &str) -> Option<String> {
    let is_answer = |(_, observation): &(usize, &Observation)| matches!(observation, Observation::Answer(_));
    let (index, answer) = seen.observations.iter().enumerate().filter(is_answer).nth(at)?;
    match (answer, seen.observations.get(index + 1)?) {
        (Observation::Answer(status), Observation::Bytes(bytes)) => Some(Cell::describe(cell, *status, bytes)),
        _ => None,
    }
}

/// Head and body of the request, as the upstream tells of it.
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

/// Observations as a text: numbers, and bytes in quotes, with commas between.
fn text(seen: &Seen) -> String {
    let one = |observation: &Observation| match observation {
        Observation::Answer(answer) => answer.to_string(),
        Observation::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
    };
    seen.observations.iter().map(one).collect::<Vec<_>>().join(",")
}
