//! Shared by the benchmarks: engines, guests, a host that does nothing.
//!
//! `cargo bench -p portcullis-benches`, and `-- --quick` for a first look. `compare/` measures the
//! gateway against other proxies instead.

pub mod floor;
pub mod shapes;
#[cfg(feature = "timing")]
pub mod table;
pub mod traffic;

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use portcullis::SystemHost;
use portcullis::core::{AnyEngine, AnyModule, Bytecode, EngineError, EngineSettings, Host, LogLevel, Vm, VmConfig};

/// An error before anything is measured.
pub type Failure = Box<dyn Error>;

/// How often a guest of [`looping`] does its work in one callback.
pub const LOOPS: u64 = 1000;

/// A guest that does nothing; it is the host that is measured.
pub const EMPTY: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 0))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_tick") (param i32)))"#;

/// The engines that are built in.
///
/// # Errors
/// One does not start.
pub fn engines() -> Result<Vec<Box<dyn AnyEngine>>, EngineError> {
    portcullis::engines().iter().map(|info| info.start(&EngineSettings::default())).collect()
}

/// A guest that does something [`LOOPS`] times in `proxy_on_tick`, having prepared it once. `work`
/// leaves a status; any but `expected` ends the guest, so that no benchmark measures a mistake.
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

/// Returns the median of some times; zero of none.
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
    Ok(Vm::start(module, VmConfig::new(portcullis::core::AbiVersion::V0_2_1), host(LogLevel::Trace))?)
}

/// A host that drops what is logged, and is told of it from `level` on.
pub fn host(level: LogLevel) -> Box<dyn Host> {
    Box::new(SystemHost::new(|_| {}).with_level(level))
}

/// The committed plugin `header_tour`.
///
/// # Errors
/// The file cannot be read.
pub fn header_tour() -> Result<Bytes, Failure> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../guests/wasm/header_tour.wasm");
    Ok(std::fs::read(path).map_err(|error| format!("{path}: {error}"))?.into())
}
