#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use portcullis::abi::{AbiVersion, HeadersStatus};
use portcullis::engine::{AnyEngine, AnyModule, StartError};
use portcullis::model::{Access, Action, Body, ContextId, Direction, Headers, Limits, Plugin, StreamInfo};
use portcullis::module::Bytecode;
use portcullis::resources::{ForeignFunctions, Preopen, Shared};
use portcullis::sandbox::{SandboxKey, VmSpec};
use portcullis::vm::{Vm, VmConfig, VmFailed};

use crate::engine::case::Case;
use crate::engine::recorder::{Line, Recorder};

/// Parameters of the start of a guest.
#[derive(Debug)]
pub struct Setup {
    /// Its plugin, `test` with every right by default.
    pub plugin: Plugin,
    /// The VM's configuration.
    pub configuration: Bytes,
    /// WASI's environment.
    pub environment: Vec<(String, String)>,
    /// WASI's directories.
    pub preopens: Vec<Preopen>,
    /// Limits of the VM.
    pub limits: Limits,
    /// Whether its plugins may act on each other's contexts.
    pub any_effective_context: bool,
    /// The id of its VM.
    pub vm_id: String,
    /// Data and queues, shared with others that get the same.
    pub shared: Shared,
    /// The sandbox with whose other VMs it has its budgets; none has its own.
    pub sandbox: Option<SandboxKey>,
    /// Functions that its plugin may call beyond the ABI.
    pub foreign: ForeignFunctions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            plugin: Plugin::new("test"),
            configuration: Bytes::new(),
            environment: Vec::new(),
            preopens: Vec::new(),
            limits: Limits::default(),
            any_effective_context: false,
            vm_id: String::new(),
            shared: Shared::default(),
            sandbox: None,
            foreign: ForeignFunctions::default(),
        }
    }
}

/// A guest that runs, with one plugin.
#[derive(Debug)]
pub struct Running {
    /// Its VM.
    pub vm: Vm,
    /// The plugin's root.
    pub root: ContextId,
    recorder: Recorder,
}

/// Starting a guest.
impl Case {
    /// Starts the guest.
    ///
    /// # Panics
    /// The start fails.
    pub fn start(&self, engine: &dyn AnyEngine) -> Running {
        self.start_with(engine, Setup::default())
    }

    /// Starts the guest with something particular.
    ///
    /// # Panics
    /// The start fails.
    pub fn start_with(&self, engine: &dyn AnyEngine, setup: Setup) -> Running {
        self.try_start(engine, setup).unwrap()
    }

    /// Starts the guest, which may not succeed.
    ///
    /// # Errors
    /// The VM or the plugin does not start.
    ///
    /// # Panics
    /// The module cannot be loaded.
    pub fn try_start(&self, engine: &dyn AnyEngine, setup: Setup) -> Result<Running, StartError> {
        let wasm = wat::parse_str(self.wat()).unwrap();
        let bytecode = Bytecode::judge(&wasm).unwrap();
        Running::start(&*engine.load(&bytecode).unwrap(), bytecode.abi, setup)
    }

    /// Returns the reports of a guest that has started and ticked once.
    ///
    /// # Panics
    /// The guest does not start, or traps.
    pub fn tick(&self, engine: &dyn AnyEngine) -> Vec<String> {
        let mut guest = self.start(engine);
        guest.tick().unwrap_or_else(|_| panic!("{}", guest.failure()));
        guest.seen()
    }

    /// Returns the reports of a guest that has started and got the headers of one request.
    ///
    /// # Panics
    /// The guest does not start, or traps.
    pub fn request(&self, engine: &dyn AnyEngine, headers: &[(&str, &str)]) -> Vec<String> {
        let mut guest = self.start(engine);
        let stream = guest.open(headers);
        guest.headers(stream).unwrap_or_else(|_| panic!("{}", guest.failure()));
        guest.seen()
    }
}

impl Running {
    /// Starts a VM of a module, with one plugin.
    ///
    /// # Errors
    /// The VM or the plugin does not start.
    pub fn start(module: &dyn AnyModule, abi: AbiVersion, setup: Setup) -> Result<Self, StartError> {
        let Setup {
            plugin,
            configuration,
            environment,
            preopens,
            limits,
            any_effective_context,
            vm_id,
            shared,
            sandbox,
            foreign,
        } = setup;
        let vm = VmSpec::default()
            .with_configuration(configuration)
            .with_environment(environment)
            .with_preopens(preopens)
            .with_limits(limits)
            .with_any_effective_context(any_effective_context);
        let config = VmConfig { vm, vm_id, shared, sandbox, foreign, ..VmConfig::new(abi) };
        let recorder = Recorder::default();
        let mut vm = Vm::start(module, config, Box::new(recorder.clone()))?;
        let root = vm.add_plugin(Arc::new(plugin))?;
        Ok(Self { vm, root, recorder })
    }

    /// Returns what the guest has logged and reported since the last call.
    pub fn seen(&self) -> Vec<String> {
        self.lines().into_iter().filter(|line| !line.from_host).map(|line| line.text).collect()
    }

    /// Returns all lines since the last time, the host's too.
    pub fn lines(&self) -> Vec<Line> {
        self.recorder.take()
    }

    /// Calls the guest for a tick.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn tick(&mut self) -> Result<(), VmFailed> {
        self.vm.on_tick(self.root)
    }

    /// Opens a stream with these request headers, lent to be written.
    ///
    /// # Panics
    /// The guest traps.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> ContextId {
        let stream = self.vm.create_stream(self.root, StreamInfo::default().into_shared()).unwrap();
        self.lend(stream, Direction::Request, headers);
        stream
    }

    /// Opens a TCP stream.
    ///
    /// # Panics
    /// The guest traps.
    pub fn connect(&mut self) -> ContextId {
        self.connect_with(StreamInfo::default())
    }

    /// Opens a TCP stream of which this is known.
    ///
    /// # Panics
    /// The guest traps.
    pub fn connect_with(&mut self, info: StreamInfo) -> ContextId {
        self.vm.create_tcp_stream(self.root, info.into_shared()).unwrap()
    }

    /// Lends headers to be written.
    ///
    /// # Panics
    /// No stream has this id.
    pub fn lend(&mut self, stream: ContextId, direction: Direction, headers: &[(&str, &str)]) {
        let headers: Headers = headers.iter().copied().collect();
        self.vm.stream(stream).unwrap().lend_headers(direction, headers, Access::Write);
    }

    /// Lends a chunk of a body, or of the data of a TCP stream.
    ///
    /// # Panics
    /// No stream has this id.
    pub fn lend_body(&mut self, stream: ContextId, direction: Direction, chunk: &'static str) {
        self.vm.stream(stream).unwrap().lend_body(direction, Body::from(Bytes::from_static(chunk.as_bytes())));
    }

    /// Calls the callback for request headers, which end the request.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn headers(&mut self, stream: ContextId) -> Result<HeadersStatus, VmFailed> {
        self.vm.on_headers(stream, Direction::Request, true)
    }

    /// Returns why the VM has failed.
    ///
    /// # Panics
    /// The VM has not failed.
    pub fn failure(&self) -> &str {
        self.vm.failure().unwrap()
    }

    /// Returns the requests of the guest since the last call.
    pub fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.vm.next_action()).collect()
    }
}
