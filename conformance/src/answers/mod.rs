//! Every answer that the ABI lists for a hostcall, driven by a guest on every engine.
//!
//! A [`Row`] is data: what the guest calls, when, and the answer. [`LISTED`] says which answers there
//! are; the suite fails if one of them has no row, or a row has an answer that is not listed.

mod buffers;
mod callouts;
mod contexts;
mod headers;
mod listed;
mod logs;
mod memory;
mod metrics;
mod properties;
mod shared;
mod stage;
mod streams;
mod wasi;
mod wasi_files;

pub use listed::LISTED;
use portcullis_core::abi::{HOSTCALLS, HostcallId};

use crate::check::{Check, Sees};

/// One answer of one hostcall.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Where the guest is when it calls.
    pub at: Stage,
    /// Calls with their arguments, with semicolons between. The last is the one whose answer counts.
    ///
    /// [`Program::compile`](crate::probe::Program::compile) has the language.
    pub script: &'static str,
    /// The answer as the guest gets it: a status, or an errno of WASI.
    pub answer: i32,
    /// Why that is the answer.
    pub why: &'static str,
}

/// Where a guest is when it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In `proxy_on_configure`.
    Configure,
    /// In a tick of its root.
    Tick,
    /// In a tick, with limits of next to nothing.
    TickWithoutRoom,
    /// In a tick, after `proxy_on_done` asked for time.
    TickOfPending,
    /// In a tick of a plugin that is made for the specification, and not for Envoy.
    TickOfSpec,
    /// In a tick of a plugin that has foreign functions.
    TickWithFunctions,
    /// In a tick of a plugin of ABI 0.1.0.
    TickOf010,
    /// In the headers of a request with `x-id: 7`, `:path: /` and an empty header `empty`.
    RequestHeaders,
    /// The same for a plugin of ABI 0.1.0.
    RequestHeadersOf010,
    /// In the body of a request, `hello`.
    RequestBody,
    /// In the log of a stream that had request headers.
    Log,
    /// In the answer to an HTTP callout.
    CallResponse,
    /// In a message of a gRPC callout.
    GrpcMessage,
    /// In the initial metadata of a gRPC callout.
    GrpcMetadata,
    /// In data of a TCP client, `hello`.
    Downstream,
    /// In a foreign function of the guest, with arguments.
    ForeignFunction,
}

impl Row {
    /// Returns the hostcall that answers.
    ///
    /// # Panics
    /// The script names none that there is.
    pub fn hostcall(&self) -> HostcallId {
        let call = self.script.rsplit(';').next().unwrap_or_default();
        let name = call.split_whitespace().next().unwrap_or_default();
        let decl = HOSTCALLS.iter().find(|decl| decl.name == name);
        decl.unwrap_or_else(|| panic!("there is no hostcall {name:?}")).id
    }

    /// Returns the row's name.
    pub fn name(&self) -> String {
        format!("{}_answers_{}_{}", self.hostcall(), self.answer, self.why)
    }
}

/// Returns all rows, as checks.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    rows().map(|row| Check {
        topic: "answers",
        name: row.name(),
        task: stage::task(row.at, row.script),
        expected: row.answer.to_string(),
        sees: Sees::LastAnswer,
        spec: "host#answers",
    })
}

/// Returns all rows.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    let files = [
        logs::ROWS,
        headers::ROWS,
        buffers::ROWS,
        properties::ROWS,
        streams::ROWS,
        callouts::ROWS,
        shared::ROWS,
        metrics::ROWS,
        contexts::ROWS,
        memory::ROWS,
        wasi::ROWS,
        wasi_files::ROWS,
    ];
    files.into_iter().flatten()
}

const fn row(at: Stage, script: &'static str, answer: i32, why: &'static str) -> Row {
    Row { at, script, answer, why }
}
