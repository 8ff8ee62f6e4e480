//! The trait by which the kit drives a host that it examines.

use bytes::Bytes;
use portcullis_core::abi::AbiVersion;

use crate::decisions::Decision;

/// A host with a [probe](crate::probe::Probe) in front of an upstream.
///
/// The upstream answers every request by [`Message::answer`]; its trailer where the protocol carries trailers. The
/// cluster `auth` leads to it, too. [`hosts::upstream`](crate::http::upstream) is one that listens.
pub trait HostUnderTest {
    /// Returns its name in reports, such as `wasmi` or `envoy`.
    fn name(&self) -> &str;

    /// Gets it ready for a task; called before each. A host that can begin anew does.
    ///
    /// # Errors
    /// The host cannot be set up like this.
    fn prepare(&mut self, needs: &Needs) -> Result<(), Trouble>;

    /// Sends a request through the probe and waits for the end of its stream.
    ///
    /// # Errors
    /// No response came.
    fn request(&mut self, request: &Message) -> Result<Message, Trouble>;

    /// Connects through the probe to a TCP server that answers `hello` for what it gets, sends these bytes, reads
    /// what comes and closes.
    ///
    /// # Errors
    /// The host has no TCP streams, or the connection failed.
    fn connect(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Trouble> {
        let _ = bytes;
        Err(Trouble::Unsupported("TCP streams are not examined here"))
    }

    /// Calls `proxy_on_foreign_function` of the probe's root.
    ///
    /// # Errors
    /// The host cannot be made to.
    fn call_foreign_function(&mut self, arguments: &'static [u8]) -> Result<(), Trouble> {
        let _ = arguments;
        Err(Trouble::Unsupported("nothing makes this host call a foreign function of a plugin"))
    }

    /// Asks the plugin to end (`proxy_on_done` of its root).
    ///
    /// # Errors
    /// The host cannot be made to.
    fn end_plugin(&mut self) -> Result<(), Trouble> {
        Err(Trouble::Unsupported("the plugin of this host does not end before it"))
    }

    /// Brings about that a plugin pauses a stream and something happens later; tells whether anything has passed before
    /// the plugin continued, and after.
    ///
    /// # Errors
    /// The host has no sockets that the kit holds both ends of, or the stream does not come to its pause.
    fn decide(&mut self, decision: &Decision) -> Result<String, Trouble> {
        let _ = decision;
        Err(Trouble::Unsupported("the kit holds no sockets of this host"))
    }

    /// Lets the host go on by itself for a moment: ticks, callouts, queues. The kit asks again what was seen.
    fn wait(&mut self) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Requirements of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The probe's version of the ABI.
    pub abi: AbiVersion,
    /// How the plugin is set up.
    pub setting: Setting,
    /// Whether the VM's configuration is [`the kit's`](crate::kit::start_configuration), so that programs run
    /// while the plugin starts.
    pub starts: bool,
}

/// How the plugin is set up.
///
/// In any case: the plugin's configuration is `{}`, the environment is `K=v`, no arguments, no directories, no
/// `capability_restriction_config`, vm_id empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Nothing particular.
    Plain,
    /// With limits of next to nothing: no callouts, metrics, shared data; one queue, for no items.
    WithoutRoom,
    /// By the specification, where it and Envoy differ.
    Spec,
    /// Asked to end, when it has asked for time.
    Pending,
    /// With the foreign functions `works`, which returns its argument, and `fails`, `cannot` and `breaks`, which
    /// answer 2, 3 and 10.
    Functions,
}

/// A request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Headers, with `:method` and `:path`, or `:status`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    /// Returns the value of a header, or nothing.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// Returns the upstream's answer to this request: status 200, the header `x-upstream: here`, the trailer
    /// `x-trailer: sent`, and a body that tells what it got: a line `ok`, a line `NAME: VALUE` for each header with
    /// `:method` and `:path`, a line `trailer NAME: VALUE` for each trailer, an empty line, and the body.
    pub fn answer(&self) -> Self {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        let trailers = self.trailers.iter().map(|(name, value)| format!("trailer {name}: {value}\n"));
        let told: String = headers.chain(trailers).collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            headers: vec![pair(":status", "200"), pair("x-upstream", "here")],
            body: [b"ok\n", told.as_bytes(), b"\n", &self.body].concat().into(),
            trailers: vec![pair("x-trailer", "sent")],
        }
    }
}

/// Why a task has no observations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// This host cannot be brought there: no verdict on it.
    #[error("not examined: {0}")]
    Unsupported(&'static str),
    /// The host does not have the hostcall: a plugin that imports it does not load.
    #[error("does not link {0}")]
    DoesNotLink(portcullis_core::abi::HostcallId),
    /// The host never called the callback.
    #[error("the callback was not called")]
    NotCalled,
    /// No response came.
    #[error("no response: {0}")]
    NoAnswer(String),
    /// The plugin's VM is gone.
    #[error("the plugin ended: {0}")]
    PluginEnded(String),
    /// The host itself is gone.
    #[error("the host died: {0}")]
    HostDied(String),
    /// The answer is not the probe's.
    #[error("no answer of a probe: {0}")]
    NoProbe(String),
}
