#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a finding")]

use portcullis_core::abi::{AbiVersion, CallbackId};
use portcullis_core::fuzzing::{Input, hostcalls_with};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, Plugin, Steering, StreamInfo};
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_core::vm::{Vm, VmConfig};

use super::envoy_functions;

/// Calls a foreign function with any arguments, from a root, an HTTP stream or a TCP stream.
pub fn foreign(data: &[u8]) {
    let mut input = Input::new(data);
    let (which, place) = (input.byte(), input.byte());
    let functions = envoy_functions();
    let names: Vec<String> = functions.names().into_iter().map(str::to_owned).collect();
    let name = names[usize::from(which) % names.len()].clone();
    let arguments = input.rest().to_vec();
    let engine = NullEngine::new(move || {
        let (name, arguments) = (name.clone(), arguments.clone());
        let call = move |caller: &mut NullCaller<'_>, _: &[i32]| {
            let result = called(caller, &name, &arguments);
            if let ("compress", Ok(compressed)) = (&*name, &result) {
                assert_eq!(called(caller, "uncompress", compressed).as_deref(), Ok(&*arguments));
            }
            // Properties are declared, and filter state set, more than once.
            let _ = called(caller, &name, &arguments);
            1
        };
        let (on_root, on_http) = (call.clone(), call.clone());
        Script::new()
            .on(CallbackId::on_tick, on_root)
            .on(CallbackId::on_request_headers, on_http)
            .on(CallbackId::on_new_connection, call)
    });
    let module = engine.module().expect("a script can be loaded");
    let config = VmConfig { foreign: functions, ..VmConfig::new(AbiVersion::V0_2_1) };
    let Ok(mut vm) = Vm::start(&*module, config, Box::new(FakeHost::new())) else { return };
    let Ok(root) = vm.add_plugin(Plugin::new("fuzz").into()) else { return };
    match place % 3 {
        0 => drop(vm.on_tick(root).is_ok()),
        1 => {
            let info = StreamInfo::default().into_shared();
            if let Ok(stream) = vm.create_stream(root, info) {
                let _ = vm.on_headers(stream, Direction::Request, true);
            }
        }
        _ => {
            let steering = Some(Steering::default());
            let info = StreamInfo { steering, ..StreamInfo::default() }.into_shared();
            if let Ok(stream) = vm.create_tcp_stream(root, info) {
                let _ = vm.on_new_connection(stream);
            }
        }
    }
    assert_eq!(vm.failure(), None);
    while vm.next_action().is_some() {}
}

/// Calls `proxy_call_foreign_function`, and returns the result or the status.
fn called(caller: &mut NullCaller<'_>, name: &str, arguments: &[u8]) -> Result<Vec<u8>, i32> {
    let ((name, name_len), (arguments, len)) = (caller.put(name.as_bytes()), caller.put(arguments));
    caller.bytes(|caller, ptr, size| {
        entry::proxy_call_foreign_function(caller, name, name_len, arguments, len, ptr, size)
    })
}

/// Does what the target of the core does, with Envoy's foreign functions to call.
pub fn hostcalls(data: &[u8]) {
    hostcalls_with(data, envoy_functions());
}
