//! Plugins with `isolation: stream`: their state after configure, taken before traffic flows.

use std::collections::HashMap;
use std::sync::Arc;
use std::{io, panic, thread};

use portcullis::PluginSpec;
use portcullis::chain::{Isolation, Snapshot};
use portcullis::engine::EngineSettings;
use portcullis::model::{Drawn, Plugin};
use portcullis::resources::{Host, Shared};
use portcullis::sandbox::SandboxKey;
use portcullis::snapshot::{Observed, SnapshotError};

use crate::plan::compiler::Compiler;
use crate::plan::places::share_of_places;
use crate::plan::remedy::not_started;
use crate::plan::stack;
use crate::{ConfigError, Diagnostic, SnapshotRandomness};

/// Makes the host of a plugin that is started once.
pub type NewHost<'a> = &'a (dyn Fn() -> Box<dyn Host> + Sync);

/// Starts each plugin whose streams get VMs of their own, once, and gives it its state and its part of the VMs that its engine makes for so
/// many workers. Plugins that share data share those of `shared`.
///
/// # Errors
/// The thread that they start on cannot be started; within, the first plugin that does not start, or whose state cannot be kept.
pub fn take(
    plugins: &mut [(&crate::Plugin, &mut PluginSpec)],
    compiler: &mut Compiler,
    workers: usize,
    host: NewHost<'_>,
    shared: &Shared,
) -> io::Result<Result<(), ConfigError>> {
    let stack = stack::size(plugins.iter().map(|(_, spec)| &**spec));
    // Guests need a stack of that size, which this thread may not have.
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("snapshots".to_owned()).stack_size(stack);
        let taken = builder.spawn_scoped(scope, || take_here(plugins, compiler, workers, host, shared))?.join();
        Ok(taken.unwrap_or_else(|panic| panic::resume_unwind(panic)))
    })
}

fn take_here(
    plugins: &mut [(&crate::Plugin, &mut PluginSpec)],
    compiler: &mut Compiler,
    workers: usize,
    host: NewHost<'_>,
    shared: &Shared,
) -> Result<(), ConfigError> {
    let mut taken: Vec<(SandboxKey, Plugin, Arc<Snapshot>)> = Vec::new();
    let pools = pools(plugins, compiler)?;
    for (plugin, spec) in plugins.iter_mut().filter(|(_, spec)| spec.isolation == Isolation::Stream) {
        let key = spec.sandbox();
        let known = taken.iter().find(|(other, plugin, _)| *other == key && *plugin == spec.plugin);
        let beside = compiler.sharers(pools.get(&compiler.pool(plugin)?).map_or(1, Vec::len));
        let most = share_of_places(workers, beside);
        let running = || {
            let mut known = compiler.known_snapshots();
            let same = known.find(|(other, plugin, of)| *other == key && **plugin == spec.plugin && of.most() == most);
            same.map(|(_, _, snapshot)| Arc::clone(snapshot))
        };
        let snapshot = match known.map(|(_, _, snapshot)| Arc::clone(snapshot)).or_else(running) {
            Some(snapshot) => snapshot,
            None => {
                if most < Snapshot::MOST {
                    tracing::info!(
                        plugin = plugin.name,
                        "isolation: stream: at most {most} VMs in a worker; {beside} such plugins in {workers} workers share those that \
                         their engine makes"
                    );
                }
                let snapshot = take_one(plugin, spec, compiler, most, host, shared)?;
                if let Some(notice) = tell(plugin, snapshot.drawn()) {
                    compiler.note(notice);
                }
                taken.push((key, spec.plugin.clone(), Arc::clone(&snapshot)));
                snapshot
            }
        };
        refuse(plugin, snapshot.drawn())?;
        spec.snapshot = Some(snapshot);
    }
    Ok(())
}

/// The plugins whose streams get VMs of their own, by the engine that makes these, each once.
type Pools = HashMap<(&'static str, EngineSettings), Vec<(SandboxKey, Plugin)>>;

fn pools(plugins: &[(&crate::Plugin, &mut PluginSpec)], compiler: &Compiler) -> Result<Pools, ConfigError> {
    let mut pools = Pools::new();
    for (plugin, spec) in plugins.iter().filter(|(_, spec)| spec.isolation == Isolation::Stream) {
        let pool = pools.entry(compiler.pool(plugin)?).or_default();
        let key = spec.sandbox();
        if !pool.iter().any(|(other, known)| *other == key && *known == spec.plugin) {
            pool.push((key, spec.plugin.clone()));
        }
    }
    Ok(pools)
}

fn take_one(
    plugin: &crate::Plugin,
    spec: &PluginSpec,
    compiler: &mut Compiler,
    most: usize,
    host: NewHost<'_>,
    shared: &Shared,
) -> Result<Arc<Snapshot>, ConfigError> {
    let refused = |error: SnapshotError| match &error {
        SnapshotError::Start(error) => not_started(plugin, error, "isolation: stream: "),
        _ => plugin.origin.diagnostic(format!("isolation: stream: {error}"), help(&error)),
    };
    let observed = Observed::new(spec.module.code().to_vec().into()).map_err(refused)?;
    let module = compiler.load_once(plugin, observed.wasm())?.map_err(|error| refused(error.into()))?;
    let foreign = portcullis::foreign::envoy_functions();
    let state = observed.start(&module, spec, shared.clone(), foreign, host()).map_err(refused)?;
    let module = compiler.load_for_many(plugin, state.wasm.clone())?.map_err(|error| refused(error.into()))?;
    let snapshot = Arc::new(Snapshot::new(module, state.snapshot).with_at_most(most));
    snapshot.try_out(host()).map_err(|error| refused(error.into()))?;
    compiler.tier_up_later(plugin, state.wasm, &snapshot)?;
    Ok(snapshot)
}

/// Logs what is the same in each stream because the plugin drew it before its snapshot was taken; returns what was a warning.
fn tell(plugin: &crate::Plugin, drawn: Drawn) -> Option<Diagnostic> {
    if plugin.vm.snapshot_randomness == SnapshotRandomness::Refuse {
        return None;
    }
    let message = |repeats| format!("isolation: stream: before its snapshot was taken, the plugin {drawn}; {repeats}");
    if drawn.random > 0 {
        let message = message(
            "every stream begins with these bytes, so a generator that was seeded with them gives every client the same numbers, ids, keys and \
             nonces, and hash maps have the same order",
        );
        let diagnostic = plugin.origin.diagnostic(message, REPEATS);
        tracing::warn!(plugin = plugin.name, "{diagnostic}");
        return Some(diagnostic);
    } else if drawn.clock > 0 {
        let repeats = "every stream begins with the times that it read then";
        tracing::info!(plugin = plugin.name, "{}", message(repeats));
    }
    None
}

/// The remedy. Sixteen bytes are what Rust draws for its hash maps.
const REPEATS: &str = "let it draw them in callbacks of streams, or give it isolation: worker; snapshot_randomness: refuse makes this an error";

/// # Errors
/// The plugin drew at random, and its operator wants none that does.
fn refuse(plugin: &crate::Plugin, drawn: Drawn) -> Result<(), ConfigError> {
    if drawn.random == 0 || plugin.vm.snapshot_randomness == SnapshotRandomness::Tell {
        return Ok(());
    }
    let message = format!(
        "isolation: stream: before its snapshot was taken, the plugin {drawn}, which every stream would begin with, and \
         snapshot_randomness is refuse"
    );
    let help = "let the plugin draw at random in callbacks of streams alone, or give it isolation: worker";
    Err(plugin.origin.diagnostic(message, help).into())
}

fn help(error: &SnapshotError) -> &'static str {
    match error {
        SnapshotError::NeedsLongLivedVm(_) | SnapshotError::Module(_) | SnapshotError::TooLarge { .. } => {
            "give the plugin isolation: worker, which is the default"
        }
        _ => "give the plugin isolation: worker, or another engine",
    }
}
