//! Plugins of the tests: Rust closures, WebAssembly text, and files.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use portcullis::engine::EngineSettings;
use portcullis::{DefaultEngine, Module, PluginSpec};
use portcullis_core::abi::{AbiVersion, BufferType, CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{FailurePolicy, Limits, Plugin};
use portcullis_core::sandbox::VmSpec;
use portcullis_core::testing::{NullCaller, NullEngine, Script};

pub(crate) const REQUEST: MapType = MapType::RequestHeaders;
pub(crate) const RESPONSE: MapType = MapType::ResponseHeaders;
pub(crate) const ON_REQUEST: CallbackId = CallbackId::on_request_headers;
pub(crate) const ON_REQUEST_BODY: CallbackId = CallbackId::on_request_body;
pub(crate) const ON_RESPONSE: CallbackId = CallbackId::on_response_headers;
pub(crate) const ON_RESPONSE_BODY: CallbackId = CallbackId::on_response_body;

/// A plugin that is made of closures.
pub(crate) fn scripted(name: &str, script: impl Fn() -> Script + Send + Sync + 'static) -> PluginSpec {
    let exports = script().exports();
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("null", AbiVersion::V0_2_1, Some(exports), compiled);
    PluginSpec::new(plugin(name), Arc::new(module))
}

/// A plugin of the repository.
pub(crate) fn file(name: &str, configuration: &str) -> PluginSpec {
    let path = format!("{}/../../guests/wasm/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
    let plugin = plugin(name).with_configuration(configuration.to_owned());
    PluginSpec::new(plugin, module(std::fs::read(path).unwrap()))
}

/// A plugin in WebAssembly whose `proxy_on_request_headers` does this when the request has a body, with little time for each call.
pub(crate) fn faulty(name: &str, fault: &str) -> PluginSpec {
    let text = format!(
        r#"(module
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (if (i32.eqz (local.get 2)) (then {fault}))
            (i32.const 0)))"#
    );
    let limits = Limits::default().with_deadline(Duration::from_millis(50));
    PluginSpec::new(plugin(name), module(wat::parse_str(text).unwrap())).with_vm(VmSpec::default().with_limits(limits))
}

fn module(code: Vec<u8>) -> Arc<Module> {
    let engine = DefaultEngine::new(&EngineSettings::default()).unwrap();
    Arc::new(Module::load(&engine, code.into()).unwrap())
}

fn plugin(name: &str) -> Plugin {
    Plugin::new(name).with_vm_id(name).with_allow_on_headers_stop_iteration(true)
}

/// The same plugin, with another failure policy.
pub(crate) fn with_policy(mut spec: PluginSpec, policy: FailurePolicy) -> PluginSpec {
    spec.plugin.failure_policy = policy;
    spec
}

/// A plugin that adds a field to heads, both ways.
pub(crate) fn tagger() -> PluginSpec {
    scripted("tagger", || {
        Script::new()
            .on(ON_REQUEST, |caller, _| caller.add_header(REQUEST, "x-tag", "request"))
            .on(ON_RESPONSE, |caller, _| caller.add_header(RESPONSE, "x-tag", "response"))
    })
}

/// Adds an answer to callouts that acts on the stream that was created last.
pub(crate) fn answering(script: Script, mut act: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Script {
    let created = Arc::new(AtomicI32::new(0));
    let newest = Arc::clone(&created);
    let script = script.on(CallbackId::on_context_create, move |_, args| {
        if let [context, parent] = args
            && *parent != 0
        {
            created.store(*context, Ordering::Relaxed);
        }
        0
    });
    script.on(CallbackId::on_http_call_response, move |caller, _| {
        caller.set_effective(newest.load(Ordering::Relaxed));
        act(caller);
        0
    })
}

/// Calls out to an upstream; returns whether there is such an upstream.
pub(crate) fn call_out(caller: &mut NullCaller<'_>, upstream: &str, fields: &[(&str, &str)]) -> bool {
    let mut all = vec![(":method", "GET"), (":path", "/auth"), (":authority", "auth")];
    all.extend_from_slice(fields);
    let (name, name_len) = caller.put(upstream.as_bytes());
    let (map, map_len) = caller.put_pairs(&all);
    let (id, _) = caller.put(&[0; 4]);
    let status = entry::proxy_http_call(caller, name, name_len, map, map_len, 0, 0, 0, 0, 5000, id);
    status.unwrap() == 0
}

/// Removes a field.
pub(crate) fn remove(caller: &mut NullCaller<'_>, map: MapType, name: &str) {
    let (pointer, len) = caller.put(name.as_bytes());
    assert_eq!(entry::proxy_remove_header_map_value(caller, map as i32, pointer, len).unwrap(), 0);
}

/// Puts a value in the place of a field.
pub(crate) fn replace(caller: &mut NullCaller<'_>, map: MapType, name: &str, value: &str) {
    let ((name, name_len), (value, value_len)) = (caller.put(name.as_bytes()), caller.put(value.as_bytes()));
    let status = entry::proxy_replace_header_map_value(caller, map as i32, name, name_len, value, value_len);
    assert_eq!(status.unwrap(), 0);
}

/// Holds a body until its end, and adds to it then.
pub(crate) fn append(caller: &mut NullCaller<'_>, buffer: BufferType, args: &[i32], text: &str) -> i32 {
    if args.get(2) != Some(&1) {
        return 1;
    }
    let mut body = caller.buffer(buffer).unwrap_or_default();
    body.extend_from_slice(text.as_bytes());
    assert_eq!(caller.set_buffer(buffer, &body), 0);
    0
}
