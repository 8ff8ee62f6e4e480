//! A row: what a guest calls, when, and the answer.

use portcullis_core::abi::{HOSTCALLS, HostcallId};

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

/// Makes a row.
pub(super) const fn row(at: Stage, script: &'static str, answer: i32, why: &'static str) -> Row {
    Row { at, script, answer, why }
}
