//! Plugins written in WAT, for what no SDK would do.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Builds a plugin from callbacks: `(name, code)`, the name without `proxy_on_`. The parameters are `$id` and, where
/// there are such, `$n` and `$end`. In the code, `$"text"` stands for the address and length of the text.
///
/// Hostcalls that are there: `$log`, `$add`, `$remove`, `$reply`, `$close`, `$resume`, `$tick`, `$call`, `$done`, `$exit`,
/// `$effective`, `$buffer`, and in short form `$say` (log at info), `$header` (map, name, value) and `$answer` (status,
/// body), which drop the result.
pub(crate) fn plugin(callbacks: &[(&str, &str)]) -> PathBuf {
    let functions = callbacks.iter().map(|(name, code)| function(name, code));
    module(&format!("{PRELUDE}{}", functions.collect::<String>()))
}

/// Builds a plugin from functions, with what [`plugin`] has besides.
pub(crate) fn plugin_of(functions: &str) -> PathBuf {
    module(&format!("{PRELUDE}{functions}"))
}

/// The same, with further imports.
pub(crate) fn plugin_with(imports: &str, functions: &str) -> PathBuf {
    module(&format!("{imports}{PRELUDE}{functions}"))
}

/// Compiles a module; texts in it may be written as for [`plugin`].
pub(crate) fn module(code: &str) -> PathBuf {
    let (code, data) = texts(code);
    let text = format!("(module {code} {data})");
    write(&wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

/// Puts bytes into a file.
pub(crate) fn write(bytes: &[u8]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e-{:016x}.wasm", hasher.finish()));
    // Another test may be reading the same file: it appears complete or not at all.
    let own = path.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::write(&own, bytes).unwrap();
    std::fs::rename(&own, &path).unwrap();
    path
}

/// Header pairs as the ABI has them, as text of a data segment, and their length.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> (String, usize) {
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    pairs.iter().for_each(|(name, value)| bytes.extend([number(name.len()), number(value.len())].concat()));
    pairs.iter().for_each(|(name, value)| bytes.extend(format!("{name}\0{value}\0").bytes()));
    (bytes.iter().map(|byte| format!("\\{byte:02x}")).collect(), bytes.len())
}

const PRELUDE: &str = r#"
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_remove_header_map_value" (func $remove (param i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_close_stream" (func $close (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $resume (param i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_set_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call" (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 0x10000))
  (global $stream (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (if (i32.gt_u (global.get $top) (i32.const 0x38000)) (then (global.set $top (i32.const 0x10000))))
    (local.set $at (global.get $top))
    (global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get $size)) (i32.const 15)) (i32.const -8)))
    (local.get $at))
  (func $say (param i32 i32) (drop (call $log (i32.const 2) (local.get 0) (local.get 1))))
  (func $header (param i32 i32 i32 i32 i32)
    (drop (call $add (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))
  (func $answer (param i32 i32 i32)
    (drop (call $reply (local.get 0) (i32.const 0) (i32.const 0) (local.get 1) (local.get 2)
      (i32.const 0) (i32.const 0) (i32.const -1))))
"#;

fn function(name: &str, code: &str) -> String {
    let signature = match name {
        "request_headers" | "response_headers" | "request_body" | "response_body" => {
            "(param $id i32) (param $n i32) (param $end i32) (result i32)"
        }
        "request_trailers" | "response_trailers" | "vm_start" | "configure" => {
            "(param $id i32) (param $n i32) (result i32)"
        }
        "context_create" => "(param $id i32) (param $n i32)",
        "http_call_response" => {
            "(param $id i32) (param $call i32) (param $n i32) (param $body i32) (param $trailers i32)"
        }
        "done" => "(param $id i32) (result i32)",
        "log" | "delete" | "tick" => "(param $id i32)",
        other => panic!("no callback {other}"),
    };
    format!("(func (export \"proxy_on_{name}\") {signature} {code})\n")
}

/// Puts addresses and lengths in the place of texts.
fn texts(code: &str) -> (String, String) {
    let (mut out, mut data, mut next) = (String::new(), String::new(), 1024);
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("$\"") {
        let (text, after) = after.split_once('"').unwrap();
        let len = text.replace("\\n", " ").len();
        out += &format!("{before}(i32.const {next}) (i32.const {len})");
        data += &format!("(data (i32.const {next}) \"{text}\")\n");
        next += len;
        rest = after;
    }
    (out + rest, data)
}
