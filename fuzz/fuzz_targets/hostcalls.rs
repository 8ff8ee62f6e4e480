//! Any hostcalls with any arguments, from a request headers callback: answered without a panic.
//!
//! Each 56 bytes of input are one call: a row of the table (modulo), then its arguments. The last
//! bytes are put into guest memory first, so that pairs and paths are fuzzed too.
#![no_main]

use portcullis_core::testing::{FakeHost, NullEngine, Script};
use portcullis_core::{
    AbiVersion, Access, CallbackId, Direction, HOSTCALLS, Headers, HostcallId, Plugin, StreamInfo, Vm, VmConfig, entry,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let input = bytes.to_vec();
    let engine = NullEngine::new(move || {
        let input = input.clone();
        Script::new().try_on(CallbackId::on_request_headers, move |caller, _| {
            caller.put(&input);
            for call in input.chunks_exact(56) {
                let word = |at: usize| i32::from_le_bytes([call[at], call[at + 1], call[at + 2], call[at + 3]]);
                let id = HOSTCALLS[usize::from(call[0]) % HOSTCALLS.len()].id;
                let mut words = (4..56).step_by(4).map(word);
                macro_rules! dispatch {
                    ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident; )*) => {
                        match id { $(
                            HostcallId::$name => { entry::$name(caller, $(words.next().unwrap_or(0) as $ty),*).map(drop)?; }
                        )* }
                    };
                }
                portcullis_core::for_each_hostcall!(dispatch);
            }
            Ok(0)
        })
    });
    let Ok(module) = engine.module() else { return };
    let host = FakeHost::new().with_upstream("up");
    let Ok(mut vm) = Vm::start(&*module, VmConfig::new(AbiVersion::V0_2_1), Box::new(host)) else { return };
    let Ok(root) = vm.add_plugin(Plugin::new("fuzz").into()) else { return };
    let Ok(stream) = vm.create_stream(root, StreamInfo::default().into_shared()) else { return };
    let headers: Headers = [(":method", "GET"), (":path", "/"), (":authority", "a")].into_iter().collect();
    if let Some(lent) = vm.stream(stream) {
        lent.lend_headers(Direction::Request, headers, Access::Write);
    }
    let _ = vm.on_headers(stream, Direction::Request, true);
    while vm.next_action().is_some() {}
});
