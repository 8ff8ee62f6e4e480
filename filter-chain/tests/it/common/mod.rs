//! A worker over plugins that are Rust closures; what happens is read back as text.

mod exchange;
mod guest;
mod text;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_chain::{Chain, Effect, Isolation, Module, PluginSpec, Snapshot, StreamId, Worker};
use portcullis_core::abi::AbiVersion;
use portcullis_core::model::{CallResponse, Direction, FailurePolicy, Headers, Plugin, SharedStreamInfo, StreamInfo};
use portcullis_core::resources::{ForeignFunctions, Host, Shared};
use portcullis_core::rights::Capabilities;
use portcullis_core::testing::{FakeHost, NullEngine, Script};
use portcullis_core::vm::{CallOutcome, Vm};

pub(crate) use exchange::*;
pub(crate) use guest::*;
pub(crate) use text::*;

/// A worker, a chain, and the stream that is fed now.
pub(crate) struct Bench {
    pub(crate) worker: Worker,
    pub(crate) host: FakeHost,
    pub(crate) chain: Chain,
    pub(crate) info: SharedStreamInfo,
    pub(crate) stream: StreamId,
    callouts: Vec<portcullis_chain::CalloutId>,
    read: usize,
    seconds: u64,
}

/// A plugin in a VM of its own.
pub(crate) fn plugin(name: &str, script: impl Fn() -> Script + Send + Sync + 'static) -> PluginSpec {
    let exports = script().exports();
    of_exports(name, Some(exports), script)
}

/// The same of a guest that is another each time.
pub(crate) fn changing(name: &str, script: impl Fn() -> Script + Send + Sync + 'static) -> PluginSpec {
    of_exports(name, None, script)
}

fn of_exports(
    name: &str,
    exports: Option<Capabilities>,
    script: impl Fn() -> Script + Send + Sync + 'static,
) -> PluginSpec {
    let module = NullEngine::new(script).module().unwrap_or_else(|error| panic!("{error}"));
    let mut plugin = Plugin::new(name);
    plugin.vm_id = name.to_owned();
    PluginSpec::new(plugin, Arc::new(Module::from_compiled("null", AbiVersion::V0_2_1, exports, module)))
}

/// A plugin with a VM for each stream.
pub(crate) fn per_stream(name: &str, script: impl Fn() -> Script + Clone + Send + Sync + 'static) -> PluginSpec {
    let spec = plugin(name, script.clone()).with_isolation(Isolation::Stream);
    per_stream_of(&spec, script)
}

/// The same of a plugin that is described already.
pub(crate) fn per_stream_of(spec: &PluginSpec, script: impl Fn() -> Script + Send + Sync + 'static) -> PluginSpec {
    let name = &spec.plugin.name;
    let config = spec.vm_config(Shared::default(), ForeignFunctions::default(), None);
    let state = || {
        let mut vm = Vm::start(spec.module.compiled(), config, Box::new(FakeHost::new())).ok()?;
        let root = vm.add_plugin(spec.plugin.clone().into()).ok()?;
        vm.snapshot(root).ok()
    };
    let state = state().unwrap_or_else(|| panic!("{name} does not start"));
    let compiled = NullEngine::new(script).module().unwrap_or_else(|error| panic!("{error}"));
    let module = Module::from_compiled("null", AbiVersion::V0_2_1, spec.module.exports(), compiled);
    spec.clone().with_snapshot(Some(Arc::new(Snapshot::new(module, state))))
}

/// The same plugin, with another failure policy.
pub(crate) fn with_policy(mut spec: PluginSpec, policy: FailurePolicy) -> PluginSpec {
    spec.plugin.failure_policy = policy;
    spec
}

/// The same plugin, whose headers callbacks may hold the headers alone.
pub(crate) fn with_headers_stop(mut spec: PluginSpec) -> PluginSpec {
    spec.plugin.allow_on_headers_stop_iteration = true;
    spec
}

impl Bench {
    /// A stream over these plugins, with a limit that no test meets by chance.
    pub(crate) fn new(specs: &[PluginSpec]) -> Self {
        Self::limited(specs, 1 << 20)
    }

    /// A stream that may hold so many bytes.
    pub(crate) fn limited(specs: &[PluginSpec], limit: usize) -> Self {
        let host = FakeHost::new().with_upstream("auth");
        let hosts = host.clone();
        let mut worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let chain = worker.load(specs).unwrap_or_else(|error| panic!("{error}"));
        let info = StreamInfo::default().into_shared();
        let stream = worker.open(&chain, info.clone(), limit);
        Self { worker, host, chain, info, stream, callouts: Vec::new(), read: 0, seconds: 0 }
    }

    /// Opens another stream and makes it the one that is fed; returns the one before.
    /// Returns the details of the response.
    pub(crate) fn details(&self) -> Option<String> {
        self.info.with(|info| info.response_details.clone())
    }

    pub(crate) fn open(&mut self) -> (StreamId, SharedStreamInfo) {
        let info = StreamInfo::default().into_shared();
        let stream = self.worker.open(&self.chain, info.clone(), 1 << 20);
        (std::mem::replace(&mut self.stream, stream), std::mem::replace(&mut self.info, info))
    }

    /// Turns to another stream.
    pub(crate) fn turn_to(&mut self, (stream, info): (StreamId, SharedStreamInfo)) -> (StreamId, SharedStreamInfo) {
        (std::mem::replace(&mut self.stream, stream), std::mem::replace(&mut self.info, info))
    }

    pub(crate) fn request(&mut self, end: bool) -> Vec<String> {
        self.headers(Direction::Request, &[(":method", "POST")], end)
    }

    pub(crate) fn response(&mut self, end: bool) -> Vec<String> {
        self.headers(Direction::Response, &[(":status", "200")], end)
    }

    pub(crate) fn headers(&mut self, direction: Direction, headers: &[(&str, &str)], end: bool) -> Vec<String> {
        self.worker.headers(self.stream, direction, headers.iter().copied().collect(), end);
        self.effects()
    }

    pub(crate) fn request_body(&mut self, data: &str, end: bool) -> Vec<String> {
        self.body(Direction::Request, data, end)
    }

    pub(crate) fn response_body(&mut self, data: &str, end: bool) -> Vec<String> {
        self.body(Direction::Response, data, end)
    }

    pub(crate) fn body(&mut self, direction: Direction, data: &str, end: bool) -> Vec<String> {
        self.worker.body(self.stream, direction, Bytes::copy_from_slice(data.as_bytes()).into(), end);
        self.effects()
    }

    pub(crate) fn request_trailers(&mut self) -> Vec<String> {
        self.trailers(Direction::Request)
    }

    pub(crate) fn response_trailers(&mut self) -> Vec<String> {
        self.trailers(Direction::Response)
    }

    pub(crate) fn trailers(&mut self, direction: Direction) -> Vec<String> {
        self.worker.trailers(self.stream, direction, [("t", "1")].into_iter().collect());
        self.effects()
    }

    /// Lets a second pass, and all plugins tick whose time has come.
    pub(crate) fn tick(&mut self) -> Vec<String> {
        self.pass_second();
        let now = Duration::from_secs(self.seconds);
        while self.worker.next_tick().is_some_and(|at| at <= now) {
            self.worker.tick();
        }
        self.effects()
    }

    pub(crate) fn pass_second(&mut self) {
        self.seconds += 1;
        self.host.set_time(self.seconds * 1_000_000_000);
    }

    /// Answers the oldest callout that was made and not answered yet.
    pub(crate) fn answer_callout(&mut self) -> Vec<String> {
        assert!(!self.callouts.is_empty(), "no callout was made");
        let id = self.callouts.remove(0);
        let headers: Headers = [(":status", "200")].into_iter().collect();
        let response = CallResponse::default().with_headers(headers);
        self.worker.callout_done(id, CallOutcome::Response(response));
        self.effects()
    }

    pub(crate) fn wants(&mut self, direction: Direction) -> bool {
        self.worker.wants_body(self.stream, direction)
    }

    /// Returns the effects for the stream since the last call.
    pub(crate) fn effects(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(effect) = self.worker.stream_effect(self.stream) {
            all.push(show_effect(effect, &self.info));
        }
        all
    }

    /// Returns the effects for the worker since the last call. Callouts are noted, to
    /// be answered.
    pub(crate) fn worker_effects(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(effect) = self.worker.effect() {
            let told = match effect {
                Effect::Callout { id, request, .. } => {
                    self.callouts.push(id);
                    format!("callout to {}", request.upstream)
                }
                Effect::CancelCallout { .. } => "cancel".to_owned(),
                Effect::Tick { .. } => continue,
                Effect::Wake { stream } if stream == self.stream => "wake".to_owned(),
                Effect::Wake { .. } => "wake another".to_owned(),
                other => format!("{other:?}"),
            };
            all.push(told);
        }
        all
    }

    /// Returns the lines that guests logged since the last call, as `plugin: text`.
    pub(crate) fn journal(&mut self) -> Vec<String> {
        let lines = self.host.lines();
        let new = lines.iter().skip(std::mem::replace(&mut self.read, lines.len()));
        new.filter(|line| !line.from_host).map(|line| format!("{}: {}", line.plugin, line.message)).collect()
    }

    /// Ends the stream; what guests logged meanwhile.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        self.journal();
        self.worker.finish(self.stream);
        self.journal()
    }
}

/// Returns how many VMs of a worker run, and how many have failed.
pub(crate) fn vm_counts(worker: &Worker) -> (usize, usize) {
    let counts = worker.vm_counts();
    (counts.running, counts.failed)
}
