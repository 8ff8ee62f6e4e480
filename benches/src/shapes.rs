//! The hostcalls that are measured, each in a loop inside a guest.

use std::sync::Arc;

use bytes::Bytes;
use portcullis::engine::{AnyEngine, AnyModule};
use portcullis::model::{Access, Body, ContextId, Direction, Plugin, StreamInfo};
use portcullis::vm::Vm;

use crate::{Failure, load, looping, start};

/// One hostcall in a loop.
#[derive(Debug)]
pub struct Shape {
    /// The name in results.
    pub name: &'static str,
    /// The statements before the loop.
    prepare: &'static str,
    /// The statements in each turn of the loop.
    work: &'static str,
    /// The status that the statements must leave.
    status: u8,
}

/// The hostcalls that plugins make most; `nothing` is the empty loop.
pub const SHAPES: &[Shape] = &[
    Shape { name: "nothing", prepare: "", work: "(local.get 0)", status: 1 },
    Shape { name: "set_effective_context", prepare: "", work: "(call $effective (i32.const 2))", status: 0 },
    Shape {
        name: "increment_metric",
        prepare: "(drop (call $define (i32.const 0) (i32.const 1024) (i32.const 6) (i32.const 0)))",
        work: "(call $increment (i32.const 4) (i64.const 1))",
        status: 0,
    },
    Shape {
        name: "log_20_bytes",
        prepare: "",
        work: "(call $log (i32.const 2) (i32.const 1024) (i32.const 20))",
        status: 0,
    },
    Shape { name: "time", prepare: "", work: "(call $time (i32.const 16))", status: 0 },
    Shape {
        name: "header_value_through_the_allocator",
        prepare: FOR_THE_STREAM,
        work: "(call $header (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 0) (i32.const 4))",
        status: 0,
    },
    Shape {
        name: "header_pairs",
        prepare: FOR_THE_STREAM,
        work: "(call $pairs (i32.const 0) (i32.const 0) (i32.const 4))",
        status: 0,
    },
    Shape {
        name: "replaced_header",
        prepare: FOR_THE_STREAM,
        work: "(call $replace (i32.const 0) (i32.const 1044) (i32.const 10) (i32.const 1024) (i32.const 20))",
        status: 0,
    },
    Shape {
        name: "property",
        prepare: FOR_THE_STREAM,
        work: "(call $property (i32.const 1054) (i32.const 12) (i32.const 0) (i32.const 4))",
        status: 0,
    },
    Shape {
        name: "body",
        prepare: FOR_THE_STREAM,
        work: "(call $buffer (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4))",
        status: 0,
    },
    Shape {
        name: "set_shared_data",
        prepare: "",
        work: "(call $set_data (i32.const 1024) (i32.const 6) (i32.const 1024) (i32.const 20) (i32.const 0))",
        status: 0,
    },
    Shape {
        name: "http_call_that_fails_early",
        prepare: "",
        work: "(call $http_call (i32.const 1024) (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        status: 2,
    },
];

const FOR_THE_STREAM: &str = "(drop (call $effective (i32.const 2)))";

impl Shape {
    /// Returns the text of a guest that makes the hostcall [`LOOPS`](crate::LOOPS) times in `proxy_on_tick`.
    pub fn guest(&self) -> String {
        looping(self.prepare, self.work, self.status)
    }
}

/// Returns the shape of this name.
///
/// # Errors
/// No shape has the name.
pub fn shape(name: &str) -> Result<&'static Shape, Failure> {
    SHAPES.iter().find(|shape| shape.name == name).ok_or_else(|| format!("no hostcall has the shape {name}").into())
}

/// Starts a guest with a plugin, whose id is 1, and a stream with headers and a body, whose id is 2.
///
/// # Errors
/// The guest does not start.
pub fn guest(engine: &dyn AnyEngine, wat: &str) -> Result<(Vm, ContextId), Failure> {
    guest_of(&*load(engine, wat)?)
}

/// Starts such a guest of a module that is loaded.
///
/// # Errors
/// The guest does not start.
pub fn guest_of(module: &dyn AnyModule) -> Result<(Vm, ContextId), Failure> {
    let mut vm = start(module)?;
    let root = vm.add_plugin(Arc::new(Plugin::new("bench")))?;
    let stream = vm.create_stream(root, StreamInfo::default().into_shared())?;
    let headers = [(":method", "GET"), (":path", "/"), (":authority", "example.com:8080 abcd")];
    if let Some(stream) = vm.stream(stream) {
        stream.lend_headers(Direction::Request, headers.into_iter().collect(), Access::Write);
        stream.lend_body(Direction::Request, Body::from(Bytes::from_static(&[b'x'; 1000])));
    }
    Ok((vm, root))
}

/// Calls `proxy_on_tick` once.
///
/// # Errors
/// The guest failed, for the reason that the VM gives.
pub fn tick(vm: &mut Vm, root: ContextId) -> Result<(), Failure> {
    vm.on_tick(root).map_err(|_| vm.failure().unwrap_or_default().into())
}
