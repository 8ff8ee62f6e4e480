//! No hostcall of the hot path allocates, on any engine: what a thousand calls take is what one takes.

use std::sync::Arc;

use portcullis::core::{Access, AnyEngine, Body, ContextId, Direction, Plugin, StreamInfo, Vm};
use portcullis_benches::{Failure, LOOPS, engines, load, looping, start};

/// Name, what is prepared, what is repeated, the status that it must have.
const HOSTCALLS: &[(&str, &str, &str, u8)] = &[
    ("nothing", "", "(local.get 0)", 1),
    ("log", "", "(call $log (i32.const 2) (i32.const 1024) (i32.const 20))", 0),
    ("time", "", "(call $time (i32.const 16))", 0),
    (
        "metric",
        "(drop (call $define (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0)))",
        "(call $increment (i32.const 4) (i64.const 1))",
        0,
    ),
    (
        "header value",
        "(drop (call $effective (i32.const 2)))",
        "(call $header (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 0) (i32.const 4))",
        0,
    ),
    (
        "header pairs",
        "(drop (call $effective (i32.const 2)))",
        "(call $pairs (i32.const 0) (i32.const 0) (i32.const 4))",
        0,
    ),
    (
        "replaced header",
        "(drop (call $effective (i32.const 2)))",
        "(call $replace (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 1024) (i32.const 20))",
        0,
    ),
    (
        "property",
        "(drop (call $effective (i32.const 2)))",
        "(call $property (i32.const 1054) (i32.const 12) (i32.const 0) (i32.const 4))",
        0,
    ),
    (
        "body",
        "(drop (call $effective (i32.const 2)))",
        "(call $buffer (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4))",
        0,
    ),
];

#[test]
fn a_hostcall_allocates_nothing() -> Result<(), Failure> {
    for engine in engines()? {
        for (name, prepare, work, expected) in HOSTCALLS {
            let (mut vm, root) = guest(&*engine, &looping(prepare, work, *expected))?;
            // What is kept for later calls is there after the first.
            tick(&mut vm, root)?;
            let info = allocation_counter::measure(|| assert!(tick(&mut vm, root).is_ok()));
            // The callback itself may, as far as the engine does: wasmi has a stack for each call.
            assert!(info.count_total < LOOPS / 100, "{} {name}: {info:?}", engine.name());
        }
    }
    Ok(())
}

/// A guest that allocates for each call is one that the measure must see.
#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(info.count_total, 1);
}

fn tick(vm: &mut Vm, root: ContextId) -> Result<(), Failure> {
    vm.on_tick(root).map_err(|_| vm.failure().unwrap_or_default().into())
}

/// A guest with a plugin, whose id is 1, and a stream with headers and a body, whose id is 2.
fn guest(engine: &dyn AnyEngine, wat: &str) -> Result<(Vm, ContextId), Failure> {
    let mut vm = start(&*load(engine, wat)?)?;
    let root = vm.add_plugin(Arc::new(Plugin::new("bench")))?;
    let stream = vm.create_stream(root, StreamInfo::default().into_shared())?;
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "example.com:8080 abcd")];
    if let Some(stream) = vm.stream(stream) {
        stream.lend_headers(Direction::Request, headers.into_iter().collect(), Access::Write);
        stream.lend_body(Direction::Request, Body::from(bytes::Bytes::from_static(&[b'x'; 1000])));
    }
    Ok((vm, root))
}
