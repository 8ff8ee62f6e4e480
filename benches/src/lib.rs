//! Engines, guests and a host that does nothing, for all benches.
//!
//! `benches/run` measures everything and makes BENCHMARKING.md; `cargo bench --workspace --bench NAME` runs one bench, and
//! `-- --quick` tries it. `compare/` measures the gateway beside Envoy.

pub mod floor;
pub mod shapes;
#[cfg(feature = "timing")]
pub mod table;
pub mod traffic;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use portcullis::SystemHost;
use portcullis::abi::LogLevel;
use portcullis::engine::{AnyEngine, AnyModule, EngineError, EngineSettings};
use portcullis::module::Bytecode;
use portcullis::resources::Host;
use portcullis::vm::{Vm, VmConfig};

/// Any error that keeps a bench from measuring.
pub type Failure = Box<dyn Error>;

/// The number of turns that a guest of [`looping`] makes in one callback.
pub const LOOPS: u64 = 1000;

/// A guest that does nothing, so that the host is measured.
pub const EMPTY: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 0))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_tick") (param i32)))"#;

/// Starts every engine that is built in.
///
/// # Errors
/// An engine does not start.
pub fn engines() -> Result<Vec<Box<dyn AnyEngine>>, EngineError> {
    portcullis::engine::all().iter().map(|info| info.start(&EngineSettings::default())).collect()
}

/// Returns the text of a guest that runs `prepare` once and `work` [`LOOPS`] times in `proxy_on_tick`. `work` leaves a
/// status; any but `expected` traps, so that no bench measures a mistake.
pub fn looping(prepare: &str, work: &str, expected: u8) -> String {
    format!(
        r#"(module
            (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
            (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
            (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
            (import "env" "proxy_http_call"
                (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
            (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_replace_header_map_value" (func $replace (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_shared_data" (func $get_data (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_set_shared_data" (func $set_data (param i32 i32 i32 i32 i32) (result i32)))
            (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 1024) "twenty bytes of text:authority")
            (data (i32.const 1054) "request\00path")
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "malloc") (param i32) (result i32) (i32.const 2048))
            (func (export "proxy_on_tick") (param i32)
                (local $left i32)
                {prepare}
                (local.set $left (i32.const {LOOPS}))
                (loop $again
                    (if (i32.ne {work} (i32.const {expected})) (then unreachable))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#
    )
}

/// Returns the median, or zero without a time.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Compiles a guest from its text.
///
/// # Errors
/// The code is no valid module, or no plugin.
pub fn load(engine: &dyn AnyEngine, wat: &str) -> Result<Box<dyn AnyModule>, Failure> {
    Ok(engine.load(&Bytecode::judge(&wat::parse_str(wat)?)?)?)
}

/// Starts a VM without a plugin.
///
/// # Errors
/// The plugin does not start.
pub fn start(module: &dyn AnyModule) -> Result<Vm, Failure> {
    Ok(Vm::start(module, VmConfig::new(portcullis::abi::AbiVersion::V0_2_1), host(LogLevel::Trace))?)
}

/// Returns a host that drops log lines, of which it gets those from `level` on.
pub fn host(level: LogLevel) -> Box<dyn Host> {
    Box::new(SystemHost::new(|_| {}).with_level(level))
}

/// Reads the committed plugin `header_tour`.
///
/// # Errors
/// The file cannot be read.
pub fn header_tour() -> Result<Bytes, Failure> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/wasm/header_tour.wasm");
    Ok(std::fs::read(path).map_err(|error| format!("{path}: {error}"))?.into())
}
