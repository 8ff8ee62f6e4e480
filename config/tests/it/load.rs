//! Plugins that are loaded as a file says.

use std::path::Path;

use portcullis::StreamEffect;
use portcullis::engine;
use portcullis::model::{Direction, FailurePolicy, StreamInfo};
use portcullis::resources::Wake;
use portcullis::rights::Preset;
use portcullis_config::plan::{SharedEngines, usage};
use portcullis_config::{LoadOptions, LoadedPlugins, PluginsError};

use crate::folder::{Folder, host};

/// A plugin that answers each request with 403, and whose `proxy_on_configure` returns what it is built with.
fn deny(configured: i32) -> String {
    format!(
        r#"(module
        (import "env" "proxy_send_local_response" (func $answer (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const {configured}))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $answer (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0) (i32.const -1)))
            (i32.const 1)))"#
    )
}

/// Returns the status with which the plugins answer a request.
fn status(plugins: &LoadedPlugins) -> Option<u32> {
    let mut worker = plugins.worker(host, Wake::new(|| {}));
    let chain = plugins.start(&mut worker).unwrap_or_else(|error| panic!("{error}"));
    let info = StreamInfo::default().into_shared();
    let stream = worker.open(&chain, info.clone(), 1 << 20);
    let request = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    worker.headers(stream, Direction::Request, request.into_iter().collect(), true);
    let effects: Vec<_> = std::iter::from_fn(|| worker.stream_effect(stream)).collect();
    let local = effects.iter().any(|effect| matches!(effect, StreamEffect::ResponseHeaders { local: true, .. }));
    worker.finish(stream);
    info.with(|info| info.response_code).filter(|_| local).map(Into::into)
}

#[test]
fn plugins_of_a_file_run_with_the_rights_that_it_gives() {
    let folder = Folder::new("run", &[("deny.wasm", &deny(1))]);
    let plugin = "name: deny, vm_config: {code: {local: {filename: deny.wasm}}}";
    let plugins = folder.load(&format!("plugins: [{{{plugin}, failure_policy: FAIL_OPEN}}]")).unwrap();
    let spec = plugins.spec("deny").unwrap();
    assert_eq!((spec.plugin.failure_policy, plugins.specs().len()), (FailurePolicy::Open, 1));
    assert_eq!(spec.module.engine(), engine::all()[0].name, "the default engine");
    assert_eq!(status(&plugins), Some(403));
    assert!(plugins.stack_size() > spec.vm.limits.stack);
    assert!(plugins.sandboxes().text().contains("1 sandbox(es)"));

    let denied = "capability_restriction_config: {allowed_capabilities: {proxy_on_request_headers: {}}}";
    let plugins = folder.load(&format!("plugins: [{{{plugin}, {denied}}}]")).unwrap();
    assert_eq!(status(&plugins), None, "the hostcall is denied");
    let advice: Vec<_> = plugins.advice().iter().map(|advice| advice.message.clone()).collect();
    assert!(advice.iter().any(|advice| advice.contains("proxy_send_local_response")), "{advice:?}");

    let preset = "capability_restriction_config: {preset: headers}";
    let plugins = folder.load(&format!("plugins: [{{{plugin}, {preset}}}]")).unwrap();
    assert_eq!(plugins.specs()[0].plugin.capabilities, Preset::Headers.capabilities());
}

#[test]
fn a_vm_for_each_stream_begins_with_a_snapshot() {
    let folder = Folder::new("stream", &[("deny.wasm", &deny(1))]);
    let text = "plugins: [{name: deny, vm_config: {isolation: stream, code: {local: {filename: deny.wasm}}}}]";
    let plugins = folder.load(text).unwrap();
    assert!(plugins.specs()[0].snapshot.is_some());
    assert_eq!(status(&plugins), Some(403));
}

#[test]
fn what_is_wrong_with_modules_is_found_at_once() {
    let folder = Folder::new("wrong", &[("deny.wasm", &deny(1)), ("none.wasm", "(module)")]);
    let text = "plugins:\n  - {name: a, vm_config: {code: {local: {filename: none.wasm}}}}\n  - {name: b, vm_config: {runtime: v9, code: \
                {local: {filename: deny.wasm}}}}\n  - {name: c, capability_restriction_config: {preset: hedders}, vm_config: {code: {local: \
                {filename: deny.wasm}}}}\n";
    let error = folder.load(text).unwrap_err();
    let PluginsError::Config(error) = error else { panic!("{error}") };
    let lines: Vec<_> = error.diagnostics().iter().map(|found| (found.line, found.path.as_str())).collect();
    let expected = [
        (2, "plugins[0].vm_config.code.local.filename"),
        (3, "plugins[1].vm_config.runtime"),
        (4, "plugins[2].capability_restriction_config.preset"),
    ];
    assert_eq!(lines, expected, "{error}");
}

#[test]
fn a_plugin_that_refuses_its_configuration_is_explained_at_its_place() {
    let folder = Folder::new("refuse", &[("deny.wasm", &deny(0))]);
    let text =
        "plugins:\n  - name: deny\n    configuration: x\n    vm_config: {code: {local: {filename: deny.wasm}}}\n";
    let plugins = folder.load(text).unwrap();
    let mut worker = plugins.worker(host, Wake::new(|| {}));
    let error = plugins.start(&mut worker).unwrap_err().to_string();
    assert!(error.contains("plugins.yaml:3:20: plugins[0].configuration: "), "{error}");
    let stream = text.replace("vm_config: {", "vm_config: {isolation: stream, ");
    let error = folder.load(&stream).unwrap_err().to_string();
    assert!(error.contains("plugins.yaml:3:20: plugins[0].configuration: isolation: stream: "), "{error}");
}

#[test]
fn plugins_that_would_share_a_vm_with_other_rights_are_refused_or_kept_apart() {
    let folder = Folder::new("share", &[("deny.wasm", &deny(1))]);
    let text = "plugins:\n  - {name: a, vm_config: {code: {local: {filename: deny.wasm}}}}\n  - {name: b, capability_restriction_config: \
                {preset: headers}, vm_config: {code: {local: {filename: deny.wasm}}}}\n";
    let error = folder.load(text).unwrap_err().to_string();
    assert!(error.contains("plugins.yaml:3:5: plugins[1]: ") && error.contains("sharing: isolate"), "{error}");
    let plugins = folder.load(&format!("sharing: isolate\n{text}")).unwrap();
    assert!(plugins.sandboxes().text().contains("2 sandbox(es)"), "{}", plugins.sandboxes().text());
    assert!(plugins.specs().iter().all(|spec| spec.isolated.is_some()));
}

#[test]
fn the_engine_is_that_of_the_options_of_the_file_or_the_default() {
    let folder = Folder::new("engine", &[("deny.wasm", &deny(1))]);
    let text = "plugins: [{name: a, vm_config: {runtime: nonsense, code: {local: {filename: deny.wasm}}}}]";
    let name = engine::all()[0].name;
    let plugins = folder.file(text).load(&LoadOptions::default().with_engine(name), &host).unwrap();
    assert_eq!(plugins.specs()[0].module.engine(), name);
    let error = folder.file(text).load(&LoadOptions::default().with_engine("v9"), &host).unwrap_err();
    assert!(matches!(error, PluginsError::Engine(_)), "{error}");
    assert!(folder.load(text).unwrap_err().to_string().contains("vm_config.runtime: there is no engine \"nonsense\""));
}

/// Filters of Envoy are loaded one by one: what they have in common is there once, and goes with the last of them.
#[test]
fn modules_are_shared_as_long_as_plugins_have_them() {
    let folder = Folder::new(
        "engines",
        &[("a.wasm", &deny(1)), ("b.wasm", &deny(1)), ("c.wasm", &deny(2)), ("d.wasm", &deny(3))],
    );
    let engines = SharedEngines::default();
    let options = LoadOptions::default().with_engines(engines.clone());
    let load = |module: &str| {
        let text = format!("plugins: [{{vm_config: {{code: {{local: {{filename: {module}}}}}}}}}]");
        folder.file(&text).load(&options, &host).unwrap()
    };
    let (a, b, c) = (load("a.wasm"), load("b.wasm"), load("c.wasm"));
    let module = |plugins: &LoadedPlugins| std::sync::Arc::clone(&plugins.specs()[0].module);
    assert!(std::sync::Arc::ptr_eq(&module(&a), &module(&b)) && !std::sync::Arc::ptr_eq(&module(&a), &module(&c)));
    assert_eq!(format!("{engines:?}"), "SharedEngines { engines: 1, modules: 2 }");
    let text = "plugins: [{vm_config: {code: {local: {filename: a.wasm}}}}]";
    let again = folder.file(text).load(&options.clone(), &host).unwrap();
    let other = folder.file(text).load(&LoadOptions::default(), &host).unwrap();
    assert!(
        std::sync::Arc::ptr_eq(&module(&a), &module(&again)) && !std::sync::Arc::ptr_eq(&module(&a), &module(&other))
    );
    drop((a, b, again));
    let _other = load("d.wasm");
    assert_eq!(
        format!("{engines:?}"),
        "SharedEngines { engines: 1, modules: 2 }",
        "the module without plugins is gone"
    );
}

#[test]
fn a_plugin_that_starts_fast_is_compiled_while_it_serves() {
    let folder = Folder::new("tier", &[("deny.wasm", &deny(1))]);
    let text = "plugins: [{name: a, vm_config: {tier: fast-start, code: {local: {filename: deny.wasm}}}}]";
    let mut plugins = match folder.load(text) {
        Ok(plugins) => plugins,
        Err(error) => {
            let is_there = engine::all()[0].name != "wasmi" && engine::find("wasmi").is_ok();
            assert!(!is_there && error.to_string().contains("tier: fast-start: "), "{error}");
            return;
        }
    };
    let spec = plugins.specs()[0].clone();
    let tier = spec.tier.unwrap();
    assert_eq!((spec.module.engine(), tier.engine()), ("wasmi", engine::all()[0].name));
    assert!(tier.compiled().is_none());
    assert_eq!(status(&plugins), Some(403));
    let (published, hears) = std::sync::mpsc::channel();
    plugins.tier_up(move || published.send(()).unwrap()).unwrap();
    hears.recv().unwrap();
    assert_eq!(tier.compiled().unwrap().engine(), tier.engine());
    plugins.tier_up(|| panic!("nothing is left to compile")).unwrap();
}

/// Many plugins can have VMs for streams on one engine: each has a part of what the engine makes.
#[test]
fn plugins_of_several_loads_share_the_places_of_an_engine() {
    let folder = Folder::new("places", &[("deny.wasm", &deny(1))]);
    let text = "plugins: [{name: a, vm_config: {isolation: stream, code: {local: {filename: deny.wasm}}}}]";
    let streams = |options: LoadOptions| {
        let plugins = folder.file(text).load(&options.with_workers(10), &host).unwrap();
        let mut worker = plugins.worker(host, Wake::new(|| {}));
        let chain = plugins.start(&mut worker).unwrap();
        let request = [(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
        let served = (0..4).filter(|_| {
            let info = StreamInfo::default().into_shared();
            let stream = worker.open(&chain, info.clone(), 1 << 20);
            worker.headers(stream, Direction::Request, request.into_iter().collect(), true);
            info.with(|info| info.response_code) == Some(403)
        });
        served.count()
    };
    assert_eq!(streams(LoadOptions::default()), 4);
    assert_eq!(streams(LoadOptions::default().with_stream_plugins(512)), 2, "10240 in 10 workers and 512 plugins");
}

/// A limit of CPU time needs a clock, which is a thread: there is none where no plugin has the limit.
#[test]
fn plugins_with_a_limit_of_cpu_time_are_measured() {
    let folder = Folder::new("cpu", &[("deny.wasm", &deny(1))]);
    let load = |name: &str, limits: &str| {
        let vm = format!("vm_config: {{limits: {{{limits}}}, code: {{local: {{filename: deny.wasm}}}}}}");
        let plugins = folder.load(&format!("plugins: [{{name: {name}, {vm}}}]")).unwrap();
        assert_eq!(status(&plugins), Some(403));
    };
    load("measured", "cpu: 50%");
    load("unmeasured", "");
    let all = usage::all();
    let used = |name: &str| all.iter().find(|(plugin, _)| plugin == name).map(|(_, used)| used.calls);
    assert!(used("measured").is_some_and(|calls| calls > 0), "{all:?}");
    assert_eq!(used("unmeasured"), None);
}

/// Notices reach programs that have no subscriber of `tracing`.
#[test]
fn what_the_operator_should_know_is_returned() {
    let random = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
        (func (export "proxy_on_configure") (param i32 i32) (result i32)
            (drop (call $random (i32.const 0) (i32.const 8)))
            (i32.const 1)))"#;
    let folder = Folder::new("notices", &[("random.wasm", random)]);
    let notices = |keys: &str| {
        let text = format!("plugins: [{{name: a, vm_config: {{{keys}, code: {{local: {{filename: random.wasm}}}}}}}}]");
        folder.load(&text).map(|plugins| plugins.notices().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(notices("isolation: worker").unwrap(), [""; 0]);
    let found = notices("limits: {debug_info: 0}").unwrap();
    assert!(found.len() == 1 && found[0].contains("(limits.debug_info), and is loaded without"), "{found:?}");
    let found = notices("isolation: stream").unwrap();
    assert!(
        found.len() == 1 && found[0].contains("plugins[0]: isolation: stream: before its snapshot was taken"),
        "{found:?}"
    );
    let error = notices("isolation: stream, snapshot_randomness: refuse").unwrap_err().to_string();
    assert!(error.contains("snapshot_randomness is refuse"), "{error}");
}

#[test]
fn compiled_code_is_kept_where_the_file_says() {
    let folder = Folder::new("cache", &[("deny.wasm", &deny(1))]);
    let text = "code_cache: cache\nplugins: [{vm_config: {code: {local: {filename: deny.wasm}}}}]";
    assert_eq!(status(&folder.load(text).unwrap()), Some(403));
    let entries = |path: &Path| std::fs::read_dir(path).unwrap().count();
    let kept = entries(&folder.0.join("cache"));
    assert!(kept > 1 || !engine::all()[0].features.precompiled, "the key, and code");
    assert_eq!(status(&folder.load(text).unwrap()), Some(403));
    assert_eq!(entries(&folder.0.join("cache")), kept);
}
