//! A guest with its streams and callouts, while events happen to it.

use portcullis::engine::{AnyEngine, StartError};
use portcullis::model::{Action, CallId, ContextId, Limits, Plugin, SharedStreamInfo};
use portcullis::module::Bytecode;
use portcullis::sandbox::VmSpec;
use portcullis::vm::{Vm, VmConfig};

use super::traced::Traced;
use super::witness::{Witness, without_stack};

/// A guest that runs.
pub(super) struct Stage {
    pub(super) vm: Vm,
    pub(super) root: ContextId,
    pub(super) streams: Vec<(ContextId, SharedStreamInfo)>,
    pub(super) calls: Vec<CallId>,
    pub(super) witness: Witness,
}

impl Stage {
    /// Starts the guest. Memory and tables end where a generated guest can reach.
    pub(super) fn set(engine: &dyn AnyEngine, wasm: &[u8], witness: &Witness) -> Result<Self, String> {
        let text = |error: StartError| error.to_string();
        let bytecode = Bytecode::judge(wasm).map_err(|error| error.to_string())?;
        let module = engine.load(&bytecode).map_err(|error| error.to_string())?;
        let traced = Traced { module: &*module, witness: witness.clone() };
        let limits = Limits::default().with_memory(8 << 16).with_table_elements(200).with_metrics(5).with_callouts(3);
        let configuration = b"of the VM".as_slice();
        let environment = vec![("KEY".to_owned(), "value".to_owned())];
        let vm = VmSpec::default().with_limits(limits).with_configuration(configuration).with_environment(environment);
        let config = VmConfig { vm, ..VmConfig::new(bytecode.abi) };
        let mut vm = Vm::start(&traced, config, Box::new(witness.clone())).map_err(text)?;
        let mut plugin = Plugin::new("test");
        plugin.configuration = b"of the plugin".as_slice().into();
        let root = vm.add_plugin(plugin.into()).map_err(text)?;
        Ok(Self { vm, root, streams: Vec::new(), calls: Vec::new(), witness: witness.clone() })
    }

    /// Writes down what the guest asked for.
    pub(super) fn drain(&mut self) {
        /// A guest may feed its own queues for ever.
        const ITEMS: usize = 3;
        for _ in 0..ITEMS {
            if self.vm.on_queue_ready() != Ok(true) {
                break;
            }
        }
        while let Some(action) = self.vm.next_action() {
            if let Action::HttpCall { call, .. } = &action {
                self.calls.push(*call);
            }
            self.witness.write(format!("  asks for {action:?}"));
        }
    }

    /// Writes down what remains.
    pub(super) fn close(&mut self) {
        for (stream, info) in &self.streams {
            self.witness.write(info.with(|info| format!("stream {stream}: {info:?}")));
        }
        let (contexts, memory, tick) = (self.vm.context_count(), self.vm.memory_size(), self.vm.tick_period(self.root));
        let state = self.vm.state();
        let denials = state.denials();
        let metrics = self.witness.metrics();
        self.witness.write(format!(
            "{contexts} contexts, {memory} bytes of memory, tick {tick:?}, {denials} denials, \
             metrics {metrics:?}, failure {:?}",
            self.vm.failure().map(without_stack)
        ));
    }
}
