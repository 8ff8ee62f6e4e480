//! Workers that move between threads, on every engine whose guests may.

use std::sync::Arc;
use std::thread;

use portcullis::chain::StreamId;
use portcullis::engine::EngineInfo;
use portcullis::engine::EngineSettings;
use portcullis::model::{Direction, Plugin, StreamInfo};
use portcullis::resources::Host;
use portcullis::{Chain, Module, PluginSpec, StreamEffect, Worker, engine};
use portcullis_core::testing::FakeHost;

/// Holds each request until its body has come, which calls count in a global.
const GUEST: &str = r#"(module
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.const 4))
  (func (export "proxy_on_tick") (param i32)))"#;

fn begin(info: &EngineInfo) -> (Worker, Chain) {
    let engine = info.start(&EngineSettings::default()).unwrap();
    let module = Module::load(&*engine, wat::parse_str(GUEST).unwrap().into()).unwrap();
    let mut worker = Worker::new(|| Box::new(FakeHost::new()) as Box<dyn Host>);
    let chain = worker.load(&[PluginSpec::new(Plugin::new("moves"), Arc::new(module))]).unwrap();
    (worker, chain)
}

fn open(worker: &mut Worker, chain: &Chain) -> StreamId {
    let stream = worker.open(chain, StreamInfo::default().into_shared(), 1 << 20);
    worker.headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    stream
}

/// Whether a stream is held, and not answered because its plugin has failed.
fn is_held(worker: &mut Worker, stream: StreamId) -> bool {
    !std::iter::from_fn(|| worker.stream_effect(stream))
        .any(|effect| matches!(effect, StreamEffect::ResponseHeaders { .. }))
}

#[test]
fn a_worker_moves_with_its_open_streams() {
    for info in engine::all().iter().filter(|info| info.features.moves) {
        let (mut worker, chain) = begin(info);
        let first = open(&mut worker, &chain);
        let moved = thread::spawn(move || {
            let second = open(&mut worker, &chain);
            assert!(is_held(&mut worker, first) && is_held(&mut worker, second));
            worker.finish(first);
            (worker, second)
        });
        let (mut worker, second) = moved.join().unwrap_or_else(|_| panic!("on {}", info.name));
        worker.finish(second);
        assert_eq!(crate::common::vm_counts(&worker), (1, 0), "{}", info.name);
        worker.shut_down();
        assert_eq!(worker.pending_roots(), 0, "{}", info.name);
    }
}

#[test]
fn engines_say_whether_their_guests_move() {
    for info in engine::all() {
        assert_eq!(info.features.moves, !info.name.starts_with("wasmer"), "{}", info.name);
    }
}
