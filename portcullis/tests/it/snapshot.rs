//! Plugins in the state after configure, on every engine that is built in.

use std::sync::Arc;

use bytes::Bytes;
use portcullis::chain::Isolation;
use portcullis::engine::EngineInfo;
use portcullis::snapshot::{SnapshotError, snapshot};
use portcullis::{Chain, Module, PluginSpec, Worker, engine};
use portcullis_core::engine::{AnyEngine, EngineSettings};
use portcullis_core::model::{Direction, Limits, Plugin, StreamInfo};
use portcullis_core::resources::{ForeignFunctions, Host, Shared, Wake};
use portcullis_core::sandbox::VmSpec;
use portcullis_core::testing::FakeHost;

use crate::common;

mod copies;

/// A guest that counts in everything that it has: two memories' worth of bytes, globals of each type, the start section.
/// Each request logs one line: how often each of them was counted.
const COUNTER: &str = r#"
    (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
    (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
    (import "env" "proxy_register_shared_queue" (func $queue (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $i32 (mut i32) (i32.const 1))
    (global $fixed i32 (i32.const 7))
    (global $i64 (mut i64) (i64.const 0x100000000))
    (global $f32 (mut f32) (f32.const nan:0x200001))
    (global $f64 (mut f64) (f64.const -0.5))
    (data (i32.const 64) "0")
    (data $passive "P")
    (data $active (i32.const 65) "A")
    (start $begin)
    (func $begin (i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1))))
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func $count
        (i32.store8 (i32.const 64) (i32.add (i32.load8_u (i32.const 64)) (i32.const 1)))
        (global.set $i32 (i32.add (global.get $i32) (i32.const 1)))
        (global.set $i64 (i64.add (global.get $i64) (i64.const 1)))
        (global.set $f64 (f64.add (global.get $f64) (f64.const 1))))
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        (call $count)
        (drop (memory.grow (i32.const 2)))
        (i32.store8 (i32.const 196607) (i32.const 120))
        (i32.const 1))
    (func $digit (param $at i32) (param $number i32)
        (i32.store8 (local.get $at) (i32.add (i32.const 48) (local.get $number))))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $count)
        (call $digit (i32.const 66) (global.get $i32))
        (call $digit (i32.const 67) (i32.sub (i32.wrap_i64 (i64.shr_u (global.get $i64) (i64.const 32))) (i32.const 1)))
        (call $digit (i32.const 68) (i32.wrap_i64 (global.get $i64)))
        (call $digit (i32.const 69) (i32.eq (i32.reinterpret_f32 (global.get $f32)) (i32.const 0x7fa00001)))
        (call $digit (i32.const 70) (i32.trunc_f64_s (global.get $f64)))
        (call $digit (i32.const 71) (memory.size))
        (i32.store8 (i32.const 72) (i32.load8_u (i32.const 196607)))
        (memory.init $passive (i32.const 73) (i32.const 0) (i32.const 1))
        (memory.init $active (i32.const 74) (i32.const 0) (i32.const 0))
        (drop (call $log (i32.const 2) (i32.const 64) (i32.const 10)))
        (i32.const 0))"#;

#[test]
fn each_stream_begins_in_the_state_after_configure() {
    each(|engine, name| {
        let mut gate = Gate::new(engine, &spec(engine, COUNTER));
        for _ in 0..3 {
            gate.request();
        }
        // "0" and a start section, configure and a request; of the globals what two calls leave; three pages.
        assert_eq!(gate.host.messages(), ["3A302113xP"; 3], "on {name}");
        assert_eq!(common::vm_counts(&gate.worker), (0, 0), "on {name}");
    });
}

#[test]
fn a_trap_ends_one_stream_and_a_leak_ends_with_it() {
    let guest = COUNTER.replace("(i32.const 0))\"", "")
        + r#"(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (unreachable))
            (func (export "proxy_on_log") (param i32) (drop (memory.grow (i32.const 5))))"#;
    each(|engine, name| {
        let mut gate = Gate::new(engine, &spec(engine, &guest));
        let (trapped, other) = (gate.open(), gate.open());
        assert_eq!(common::vm_counts(&gate.worker), (2, 0), "on {name}");
        gate.worker.headers(trapped, Direction::Response, [(":status", "200")].into_iter().collect(), true);
        assert_eq!(common::vm_counts(&gate.worker), (1, 1), "on {name}");
        gate.worker.finish(trapped);
        gate.worker.finish(other);
        gate.request();
        assert_eq!(common::vm_counts(&gate.worker), (0, 0), "on {name}");
        let counted: Vec<_> = gate.host.messages().into_iter().filter(|line| line.ends_with("xP")).collect();
        assert_eq!(counted, ["3A302113xP"; 3], "on {name}");
    });
}

#[test]
fn a_stream_has_neither_ticks_nor_queues() {
    let guest = COUNTER.to_owned()
        + r#"(func (export "proxy_on_log") (param i32)
            (call $digit (i32.const 66) (call $tick (i32.const 0)))
            (call $digit (i32.const 67) (call $tick (i32.const 10)))
            (call $digit (i32.const 68) (call $queue (i32.const 64) (i32.const 1) (i32.const 128)))
            (drop (call $log (i32.const 2) (i32.const 66) (i32.const 3))))"#;
    each(|engine, name| {
        let mut gate = Gate::new(engine, &spec(engine, &guest));
        gate.request();
        gate.request();
        let lines = gate.host.messages();
        // Status 12 is shown as '<'.
        assert_eq!(lines.iter().filter(|line| *line == "0<<").count(), 2, "on {name}: {lines:?}");
        let told: Vec<_> = lines.iter().filter(|line| line.contains("isolation: worker")).collect();
        assert_eq!(told.len(), 2, "each once, on {name}: {lines:?}");
        assert!(told[0].contains("proxy_set_tick_period_milliseconds"), "{told:?}");
        assert!(told[1].contains("proxy_register_shared_queue"), "{told:?}");
        assert_eq!(gate.worker.next_tick(), None);
    });
}

#[test]
fn what_cannot_be_kept_is_refused_with_its_reason() {
    let configure = |body: &str| {
        COUNTER.replace("(drop (memory.grow (i32.const 2)))", &format!("(drop (memory.grow (i32.const 2))) {body}"))
            + r#"(table $t 2 funcref) (elem declare func $count)
               (func (export "proxy_on_foreign_function") (param i32 i32 i32) (drop (i32.const 0)))"#
    };
    let cases = [
        (configure("(drop (call $tick (i32.const 1000)))"), "proxy_set_tick_period_milliseconds"),
        (configure("(drop (call $queue (i32.const 64) (i32.const 1) (i32.const 128)))"), "proxy_register_shared_queue"),
        (configure("(table.set $t (i32.const 0) (ref.func $count))"), "the module has table.set"),
        (configure("(data.drop $passive)"), "the module has data.drop"),
        (configure("") + "(global (mut funcref) (ref.null func))", "a mutable global that holds a reference"),
        (configure("unreachable"), "proxy_on_configure failed"),
        (configure("(memory.fill (i32.const 0) (i32.const 1) (i32.mul (i32.const 65536) (i32.add (i32.const 1) (memory.grow (i32.const 1024)))))
            (memory.fill (i32.const 0) (i32.const 1) (i32.mul (i32.const 65536) (memory.size)))"),
            "a snapshot holds at most 67108864"),
    ];
    each(|engine, name| {
        for (guest, reason) in &cases {
            let error = take(engine, &spec(engine, guest), &FakeHost::new()).unwrap_err().to_string();
            assert!(error.contains(reason), "on {name}: {error}");
        }
        // Ticks that have ended are no reason.
        let ended = configure("(drop (call $tick (i32.const 1000))) (drop (call $tick (i32.const 0)))");
        assert!(take(engine, &spec(engine, &ended), &FakeHost::new()).is_ok(), "on {name}");
    });
}

#[test]
fn a_rust_plugin_does_in_each_stream_what_it_does_in_its_first() {
    each_stream_is_as_the_first("header_tour");
}

#[test]
fn a_c_plugin_does_in_each_stream_what_it_does_in_its_first() {
    each_stream_is_as_the_first("c_headers");
}

#[test]
fn a_go_plugin_does_in_each_stream_what_it_does_in_its_first() {
    each_stream_is_as_the_first("go_headers");
}

#[test]
fn an_assemblyscript_plugin_does_in_each_stream_what_it_does_in_its_first() {
    each_stream_is_as_the_first("as_headers");
}

#[test]
fn a_plugin_that_changes_bodies_does_in_each_stream_what_it_does_in_its_first() {
    each_stream_is_as_the_first("body_rewrite");
}

fn each_stream_is_as_the_first(guest: &str) {
    let code = common::guest(guest);
    each(|engine, name| {
        let plugin = Plugin::new("plugin").with_root_id(guest);
        let spec = PluginSpec::new(plugin, common::load(engine, &code)).with_isolation(Isolation::Stream);
        let lasting = {
            let mut gate = Gate::without_snapshot(&spec);
            let before = gate.host.messages().len();
            gate.request();
            gate.host.messages().split_off(before)
        };
        let mut gate = Gate::new(engine, &spec);
        let configured = gate.host.messages().len();
        for stream in 0..3 {
            gate.request();
            let lines = gate.host.messages().split_off(configured + stream * lasting.len());
            assert_eq!(lines, lasting, "{guest} on {name}, stream {stream}");
        }
        assert_eq!(common::vm_counts(&gate.worker), (0, 0), "{guest} on {name}");
    });
}

#[test]
fn streams_beyond_the_places_of_an_engine_go_without_and_say_so() {
    for info in engine::all().iter().filter(|info| info.name == "wasmtime") {
        let engine = info.start(&EngineSettings::default().with_places(Some(1))).unwrap();
        let mut gate = Gate::new(&*engine, &spec(&*engine, COUNTER));
        let (first, _second) = (gate.open(), gate.open());
        assert_eq!(common::vm_counts(&gate.worker), (1, 0));
        let lines = gate.host.messages();
        assert!(lines.iter().any(|line| line.starts_with("no VM can be made for a stream: ")), "{lines:?}");
        gate.worker.finish(first);
        gate.request();
        assert_eq!(gate.host.messages().iter().filter(|line| *line == "3A302113xP").count(), 2);
    }
}

/// The engine has fewer places than the plugin may have VMs: who has most of them loses one, as if the plugin had all it may have.
#[test]
fn a_place_that_the_engine_lacks_is_taken_from_who_has_most() {
    for info in engine::all().iter().filter(|info| info.name == "wasmtime") {
        let engine = info.start(&EngineSettings::default().with_places(Some(3))).unwrap();
        let mut gate = Gate::new(&*engine, &spec(&*engine, COUNTER));
        let served =
            |gate: &Gate| gate.host.messages().iter().filter(|line| line.starts_with("no VM can be made")).count() == 0;
        for _ in 0..3 {
            gate.open_from(1);
        }
        let other = gate.open_from(2);
        assert!(served(&gate) && common::vm_counts(&gate.worker) == (3, 0), "{:?}", gate.host.messages());
        gate.worker.body(other, Direction::Request, Bytes::from_static(b"body").into(), true);
        gate.worker.finish(other);
        assert_eq!(common::vm_counts(&gate.worker), (2, 0), "the one that was served had a VM");
        // A plugin has a line in a second.
        gate.host.set_time(2_000_000_000);
        let (_own, _more) = (gate.open_from(1), gate.open_from(1));
        assert!(!served(&gate), "nobody has more than the one that asks");
        assert_eq!(common::vm_counts(&gate.worker), (3, 0));
    }
}

#[test]
fn a_worker_has_no_more_vms_than_a_snapshot_says() {
    for info in engine::all() {
        let engine = info.start(&EngineSettings::default()).unwrap();
        let (spec, host) = (spec(&*engine, COUNTER), host());
        let snapshot = take(&*engine, &spec, &host).unwrap().with_at_most(2);
        let mut gate = Gate::over(&spec.with_snapshot(Some(Arc::new(snapshot))), host);
        let _open = [1, 1, 1].map(|connection| gate.open_from(connection));
        assert_eq!(common::vm_counts(&gate.worker), (2, 0), "{}", info.name);
        assert!(gate.host.messages().iter().any(|line| line.contains("there are 2 of them")));
        gate.host.set_time(2_000_000_000);
        gate.open_from(2);
        assert_eq!(common::vm_counts(&gate.worker), (2, 0), "{}", info.name);
        assert!(gate.host.messages().iter().any(|line| line.contains("all places are taken")), "{}", info.name);
    }
}

/// A worker over one plugin.
struct Gate {
    worker: Worker,
    chain: Chain,
    host: FakeHost,
}

impl Gate {
    /// Each stream has a VM.
    fn new(engine: &dyn AnyEngine, spec: &PluginSpec) -> Self {
        let host = host();
        let snapshot = take(engine, spec, &host).unwrap_or_else(|error| panic!("on {}: {error}", engine.name()));
        Self::over(&spec.clone().with_snapshot(Some(Arc::new(snapshot))), host)
    }

    /// One VM has all streams.
    fn without_snapshot(spec: &PluginSpec) -> Self {
        Self::over(spec, host())
    }

    fn over(spec: &PluginSpec, host: FakeHost) -> Self {
        let hosts = host.clone();
        let worker = Worker::new(move || Box::new(hosts.clone()) as Box<dyn Host>);
        let mut worker = worker.with_shared(Shared::default(), Wake::new(|| ()));
        let chain = worker.load(std::slice::from_ref(spec)).unwrap();
        Self { worker, chain, host }
    }

    fn open(&mut self) -> portcullis::chain::StreamId {
        self.open_from(0)
    }

    /// A stream of the client's connection of this number.
    fn open_from(&mut self, connection_id: u64) -> portcullis::chain::StreamId {
        let info = StreamInfo { connection_id, ..StreamInfo::default() };
        let stream = self.worker.open(&self.chain, info.into_shared(), 1 << 20);
        let headers = [(":method", "POST"), (":path", "/"), (":authority", "a"), ("x", "y")].into_iter().collect();
        self.worker.headers(stream, Direction::Request, headers, false);
        stream
    }

    fn request(&mut self) {
        let stream = self.open();
        self.worker.body(stream, Direction::Request, Bytes::from_static(b"body").into(), true);
        self.worker.finish(stream);
    }
}

/// Go gives up where the clock says 0.
fn host() -> FakeHost {
    let host = FakeHost::new();
    host.set_time(1);
    host
}

fn take(
    engine: &dyn AnyEngine,
    spec: &PluginSpec,
    host: &FakeHost,
) -> Result<portcullis::chain::Snapshot, SnapshotError> {
    snapshot(engine, spec, Shared::default(), ForeignFunctions::default(), || Box::new(host.clone()))
}

fn spec(engine: &dyn AnyEngine, guest: &str) -> PluginSpec {
    let wasm = wat::parse_str(format!("(module {guest})")).unwrap();
    let module = Module::load(engine, wasm.into()).unwrap_or_else(|error| panic!("{error}"));
    PluginSpec::new(Plugin::new("plugin"), Arc::new(module))
        .with_isolation(Isolation::Stream)
        .with_vm(VmSpec::default().with_limits(Limits::default().with_memory(128 << 20)))
}

/// Runs a test on each engine, on a thread of its own.
fn each(test: impl Fn(&dyn AnyEngine, &str) + Sync) {
    let places = EngineSettings::default().with_places(Some(100));
    std::thread::scope(|scope| {
        let run = |info: &'static EngineInfo, settings: EngineSettings, name| {
            let test = &test;
            scope.spawn(move || test(&*info.start(&settings).unwrap(), name));
        };
        for info in engine::all() {
            run(info, EngineSettings::default(), info.name);
            if info.name == "wasmtime" {
                run(info, places.clone(), "wasmtime with places");
            }
        }
    });
}
