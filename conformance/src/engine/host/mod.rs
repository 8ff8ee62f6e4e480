//! A host in memory: one plugin on one engine, without IO.

mod info;
mod traffic;

use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use portcullis::abi::{AbiVersion, Status};
use portcullis::engine::{AnyEngine, AnyModule};
use portcullis::model::{Compatibility, Limits, Plugin};
use portcullis::module::Bytecode;
use portcullis::resources::{ForeignCall, ForeignFunctions};
use portcullis::vm::VmFailed;

use crate::check::{Seen, Task};
use crate::engine::running::{Running, Setup};
use crate::host_under_test::{HostUnderTest, Message, Needs, Setting, Trouble};
use crate::kit;
use crate::probe::{Probe, dialogue};
use crate::suite;
use traffic::{connection, exchange, settle};

/// The probes as modules of an engine, each compiled when it is first asked for.
pub struct Probes<'a> {
    engine: &'a dyn AnyEngine,
    /// Tasks that are run while a plugin starts.
    starts: Vec<Task>,
    modules: [OnceLock<Result<Box<dyn AnyModule>, String>>; AbiVersion::ALL.len()],
    /// The last task that several checks share, and what came of it.
    recent: Mutex<Option<Observed>>,
}

/// A task, and what came of it.
type Observed = (Task, Result<Seen, Trouble>);

/// Any engine as a host under test. Each task gets a VM of its own.
pub struct EngineHost<'a> {
    /// None for one that runs already.
    probes: Option<&'a Probes<'a>>,
    running: Option<Running>,
}

impl<'a> Probes<'a> {
    /// Returns the probes of an engine.
    pub fn new(engine: &'a dyn AnyEngine) -> Self {
        Self { engine, starts: suite::starts(), modules: Default::default(), recent: Mutex::default() }
    }

    /// Runs a task in a VM of its own, unless it is the one that ran last: checks that look at one part each of what a
    /// task observes share it.
    pub(crate) fn observe_once(&self, task: &Task) -> Result<Seen, Trouble> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, result)) = recent.as_ref().filter(|(last, _)| last == task) {
            return result.clone();
        }
        let result = kit::observe(&mut EngineHost::new(self), task, 0, &self.starts);
        *recent = Some((task.clone(), result.clone()));
        result
    }

    /// Returns the tasks that are run while a plugin starts.
    pub(crate) fn starts(&self) -> &[Task] {
        &self.starts
    }

    fn module(&self, abi: AbiVersion) -> Result<&dyn AnyModule, String> {
        let load = || {
            let wasm = Probe::new(abi).wasm().map_err(|error| error.to_string())?;
            let bytecode = Bytecode::judge(&wasm).map_err(|error| error.to_string())?;
            self.engine.load(&bytecode).map_err(|error| error.to_string())
        };
        let index = AbiVersion::ALL.iter().position(|version| *version == abi);
        let module = index.and_then(|index| self.modules.get(index)).ok_or("no such version")?;
        module.get_or_init(load).as_deref().map_err(Clone::clone)
    }
}

impl<'a> EngineHost<'a> {
    /// Returns a host on an engine.
    pub fn new(probes: &'a Probes<'a>) -> Self {
        Self { probes: Some(probes), running: None }
    }

    /// Returns a host of a guest that runs, which need be no probe.
    pub(crate) fn of(running: Running) -> Self {
        Self { probes: None, running: Some(running) }
    }

    /// Returns what the guest has logged and reported since the last call.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.running.as_ref().map(Running::seen).unwrap_or_default()
    }

    /// Runs a tick, and the callbacks that follow from it.
    pub(crate) fn tick(&mut self) -> Result<(), Trouble> {
        let running = self.vm()?;
        let result = running.tick().and_then(|()| settle(running));
        result.map_err(|VmFailed| ended(running))
    }

    fn vm(&mut self) -> Result<&mut Running, Trouble> {
        self.running.as_mut().ok_or(Trouble::Unsupported("nothing was prepared"))
    }
}

impl HostUnderTest for EngineHost<'_> {
    fn name(&self) -> &str {
        self.probes.map_or("engine", |probes| probes.engine.name())
    }

    fn prepare(&mut self, needs: &Needs) -> Result<(), Trouble> {
        let probes = self.probes.ok_or(Trouble::Unsupported("it runs another guest"))?;
        let module = probes.module(needs.abi).map_err(Trouble::NoProbe)?;
        let mut setup = setup(needs.setting);
        setup.configuration = match needs.starts {
            true => kit::start_configuration(&Probe::new(needs.abi), &probes.starts).into(),
            // No programs.
            false => dialogue::configuration(&[]).into(),
        };
        let started = Running::start(module, needs.abi, setup);
        self.running = Some(started.map_err(|error| Trouble::PluginEnded(error.to_string()))?);
        Ok(())
    }

    fn request(&mut self, request: &Message) -> Result<Message, Trouble> {
        let running = self.vm()?;
        let response = exchange(running, request);
        response.and_then(|response| settle(running).map(|()| response)).map_err(|VmFailed| ended(running))
    }

    fn connect(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Trouble> {
        let running = self.vm()?;
        let answer = connection(running, bytes);
        answer.and_then(|answer| settle(running).map(|()| answer)).map_err(|VmFailed| ended(running))
    }

    fn call_foreign_function(&mut self, arguments: &'static [u8]) -> Result<(), Trouble> {
        let running = self.vm()?;
        let result = running.vm.on_foreign_function(running.root, 1, Bytes::from_static(arguments));
        result.map_err(|VmFailed| ended(running))
    }

    fn end_plugin(&mut self) -> Result<(), Trouble> {
        let running = self.vm()?;
        let result = running.vm.end_root(running.root);
        result.map(drop).map_err(|VmFailed| ended(running))
    }

    fn wait(&mut self) {
        if let Some(running) = &mut self.running {
            // A failure shows when the kit asks what was seen.
            let _ = settle(running);
        }
    }
}

fn ended(running: &Running) -> Trouble {
    Trouble::PluginEnded(running.vm.failure().unwrap_or_default().to_owned())
}

fn setup(setting: Setting) -> Setup {
    let plugin = Plugin::new("test").with_configuration(Bytes::from_static(b"{}"));
    let mut setup = Setup { plugin, environment: vec![("K".to_owned(), "v".to_owned())], ..Setup::default() };
    match setting {
        Setting::Plain | Setting::Pending => {}
        Setting::Spec => setup.plugin.compatibility = Compatibility::Spec,
        Setting::WithoutRoom => {
            // One queue with a short name, and nothing else then.
            let shared = Limits::NAME_COST + Limits::ENTRY_COST / 2;
            setup.limits = setup.limits.with_callouts(0).with_metrics(0).with_shared(shared);
        }
        Setting::Functions => {
            let works = |call: &mut ForeignCall<'_>| {
                call.result.extend_from_slice(call.arguments);
                Ok(())
            };
            setup.foreign = ForeignFunctions::default()
                .with("works", works)
                .with("fails", |_| Err(Status::BadArgument))
                .with("cannot", |_| Err(Status::SerializationFailure))
                .with("breaks", |_| Err(Status::InternalFailure));
        }
    }
    setup
}
