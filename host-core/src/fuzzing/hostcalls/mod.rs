//! Any guest: every callback and hostcall with any arguments, on every ABI, under several sets of rights.

mod call;
mod rights;
mod world;

use call::{Guest, KNOWN, Left};
use world::World;

use super::Input;
use super::properties::hash;
use crate::abi::AbiVersion;
use crate::abi::callback::CALLBACKS;
use crate::model::plugin::{Compatibility, Plugin};
use crate::resources::foreign::ForeignFunctions;
use crate::testing::{FakeHost, NullEngine, Script};
use crate::vm::Vm;
use crate::vm::state::VmConfig;

/// Runs a guest that makes any calls in any callbacks, while any events reach it.
///
/// The first bytes choose ABI and rights; then comes what happens to the VM, and whenever that calls the guest, what the
/// guest calls. Nothing panics; a hidden header is nowhere in the guest's memory; what is forbidden is not asked for.
pub fn hostcalls(data: &[u8]) {
    hostcalls_with(data, ForeignFunctions::default());
}

/// Does the same with foreign functions of an embedder.
pub fn hostcalls_with(data: &[u8], foreign: ForeignFunctions) {
    let mut input = Input::new(data);
    let abi = AbiVersion::ALL[input.below(AbiVersion::ALL.len())];
    let rights = rights::choose(&mut input);
    let flags = input.byte();
    let secret = format!("secret-{:016x}", hash(data));
    let left = Left::new(input.rest());

    let guest = Guest::new(left.clone());
    let engine = NullEngine::new(move || {
        let callbacks = CALLBACKS.iter().map(|decl| decl.id);
        callbacks.filter(|id| flags & 1 == 0 || *id as u8 % 2 == 0).fold(Script::new(), |script, id| {
            let guest = guest.clone();
            script.try_on(id, move |caller, _| guest.run(caller))
        })
    });
    let Ok(module) = engine.module() else { return };
    let mut config = VmConfig::new(abi);
    config.vm.configuration = KNOWN[0].into();
    config.vm.environment = vec![("KEY".to_owned(), "value".to_owned())];
    config.vm.preopens = world::preopens();
    config.vm.any_effective_context = flags & 2 != 0;
    config.vm_id = "vm".to_owned();
    config.foreign = foreign.with("echo", |call| {
        call.result.extend_from_slice(call.arguments);
        Ok(())
    });
    let host = FakeHost::new().with_upstream("up");
    host.set_files(&world::files());
    let Ok(vm) = Vm::start(&*module, config, Box::new(host.clone())) else { return };
    let plugin = Plugin {
        capabilities: rights.capabilities,
        rules: rights.rules.clone(),
        on_denial: rights.on_denial,
        allow_on_headers_stop_iteration: flags & 4 != 0,
        compatibility: if flags & 8 == 0 { Compatibility::Envoy } else { Compatibility::Spec },
        root_id: "root".to_owned(),
        vm_id: "vm".to_owned(),
        configuration: KNOWN[1].into(),
        ..Plugin::new("plugin")
    };
    let mut world = World::new(vm, host, secret.clone(), rights.is_ruled);
    world.add(plugin.clone());
    world.add(Plugin { name: "other".to_owned(), ..plugin });
    while world.step(&left) {}
    if rights.hides {
        assert!(!contains(world.memory(), secret.as_bytes()), "a hidden header is in the guest's memory");
    }
}

/// Looks for a text in a memory, most of which is zeros.
fn contains(memory: &[u8], text: &[u8]) -> bool {
    const PAGE: usize = 4096;
    (0..memory.len()).step_by(PAGE).any(|start| {
        let page = &memory[start..memory.len().min(start + PAGE)];
        page != &[0; PAGE][..page.len()]
            && memory[start..memory.len().min(start + PAGE + text.len())].windows(text.len()).any(|part| part == text)
    })
}
