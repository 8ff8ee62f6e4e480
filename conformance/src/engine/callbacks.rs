//! Each callback, with the right to it and without.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::collections::BTreeSet;

use portcullis::abi::{AbiVersion, CALLBACKS, CallbackDecl, CallbackId, HostcallId as Id};
use portcullis::engine::AnyEngine;
use portcullis::model::Plugin;
use portcullis::module::Bytecode;
use portcullis::rights::Capabilities;

use crate::engine::host::EngineHost;
use crate::engine::prelude;
use crate::engine::running::{Running, Setup};
use crate::host_under_test::HostUnderTest;
use crate::kit;

/// A callback that needs a capability, in an ABI version that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The callback.
    pub id: CallbackId,
    /// The version.
    pub abi: AbiVersion,
}

/// Returns every callback that is called at all. The version is the newest that has it.
pub fn callbacks() -> impl Iterator<Item = Callback> {
    let called = |decl: &&CallbackDecl| !decl.id.is_start_function() && !NEVER_CALLED.contains(&decl.id);
    CALLBACKS.iter().filter(called).map(|decl| Callback { id: decl.id, abi: decl.until })
}

/// Callbacks that a guest may export, and this host never calls: HTTP/2 metadata, statistics, and a configuration that is only
/// judged.
pub const NEVER_CALLED: &[CallbackId] = &[
    CallbackId::validate_configuration,
    CallbackId::on_request_metadata,
    CallbackId::on_response_metadata,
    CallbackId::envoy_on_stats_update,
];

impl Callback {
    /// Returns a guest that exports every callback of the version, and says which are called.
    pub fn wat(&self) -> String {
        let mut guest = GUEST.replace("MARKER", self.abi.marker());
        for decl in CALLBACKS.iter().filter(|decl| (decl.since..=decl.until).contains(&self.abi)) {
            if decl.id.is_start_function() {
                continue;
            }
            let (params, results) = (prelude::types(decl.params), prelude::types(decl.results));
            // What starts succeeds, and all else goes on.
            let result = match (decl.results.is_empty(), decl.id) {
                (true, _) => "",
                (_, id) if kit::is_of_the_start(id) || id == CallbackId::on_done => "(i32.const 1)",
                _ => "(i32.const 0)",
            };
            // From two, since one of them may be the one that is denied.
            let calls = match decl.id {
                CallbackId::on_tick | CallbackId::on_log => "(call $everything)",
                _ => "",
            };
            guest.push_str(&format!(
                "(func (export {:?}) (param{params}) (result{results})
                    (call $report (i32.const {})) {calls} {result})\n",
                decl.export, decl.id as u8
            ));
        }
        prelude::module(HOSTCALLS, &guest)
    }

    /// Runs a guest through each callback, but for one to which the plugin has no right.
    ///
    /// # Panics
    /// One is not called that should be, or that one is.
    pub fn run(&self, engine: &dyn AnyEngine) {
        let denied = self.id.decl().export;
        let rights = Capabilities::from_names(Capabilities::names().filter(|name| *name != denied)).unwrap();
        let all = self.called(engine, Capabilities::ALL);
        let is_there = |decl: &&CallbackDecl| {
            (decl.since..=decl.until).contains(&self.abi)
                && !decl.id.is_start_function()
                && !NEVER_CALLED.contains(&decl.id)
        };
        assert_eq!(all, CALLBACKS.iter().filter(is_there).map(|decl| decl.id as u8).collect());
        let mut but_one = all;
        assert!(but_one.remove(&(self.id as u8)));
        assert_eq!(self.called(engine, rights), but_one);
    }

    fn called(&self, engine: &dyn AnyEngine, capabilities: Capabilities) -> BTreeSet<u8> {
        let wasm = wat::parse_str(self.wat()).unwrap();
        let bytecode = Bytecode::judge(&wasm).unwrap();
        let plugin = Plugin::new("test").with_capabilities(capabilities);
        let running =
            Running::start(&*engine.load(&bytecode).unwrap(), bytecode.abi, Setup { plugin, ..Setup::default() });
        let mut host = EngineHost::of(running.unwrap());
        host.tick().unwrap();
        host.request(&kit::subject()).unwrap();
        host.connect(b"hello").unwrap();
        if self.abi > AbiVersion::V0_1_0 {
            host.call_foreign_function(b"args").unwrap();
        }
        host.end_plugin().unwrap();
        host.seen().iter().map(|number| number.parse().unwrap()).collect()
    }
}

const HOSTCALLS: &[Id] = &[
    Id::proxy_http_call,
    Id::proxy_grpc_stream,
    Id::envoy_resolve_dns,
    Id::proxy_register_shared_queue,
    Id::proxy_enqueue_shared_queue,
];

/// Hostcalls that cause the callbacks of callouts and queues.
const GUEST: &str = r#"
    (func (export "MARKER"))
    (data (i32.const 1024) "authSM")
    (data (i32.const 1100) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
    (func $everything
        (drop (call $proxy_http_call
            (i32.const 1024) (i32.const 4) (i32.const 1100) (i32.const 61) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 2000)))
        (drop (call $proxy_grpc_stream
            (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 1) (i32.const 1029) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 2004)))
        (drop (call $envoy_resolve_dns (i32.const 1024) (i32.const 4) (i32.const 2008)))
        (drop (call $proxy_register_shared_queue (i32.const 1024) (i32.const 4) (i32.const 2012)))
        (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 2012)) (i32.const 0) (i32.const 4))))
"#;
