//! Rules for arguments: what is allowed passes, what is not is denied and told.

use crate::common::{Setup, Started, get, http_call, ok, pairs};
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, Direction, Headers};
use portcullis_core::resources::Shared;
use portcullis_core::rights::OnDenial;
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::CallOutcome;

mod callouts;
mod headers;

const REQUEST: i32 = MapType::RequestHeaders as i32;

/// Runs a guest with rules in its tick, in which it does this; says what was denied.
fn tick(rules: &[(&str, &str, &[&str])], run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Vec<String> {
    Setup::new().ruled(rules).during(CallbackId::on_tick, run).host.denials()
}

/// The same in its request headers.
fn headers(rules: &[(&str, &str, &[&str])], run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
    Setup::new().ruled(rules).during(CallbackId::on_request_headers, run)
}

fn with(change: &[(&str, &str)]) -> Headers {
    let mut headers = get("/check?secret=1");
    for (name, value) in change {
        headers.replace(name.as_bytes(), value.as_bytes());
    }
    headers
}

/// `host` and `:authority` are two names of one value: what takes one away takes both.
#[test]
fn data_and_queues_are_named() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_get_shared_data", "keys", &["a.*"]),
        ("proxy_set_shared_data", "keys", &["a.*"]),
        ("proxy_set_shared_data", "bytes", &["10"]),
        ("proxy_register_shared_queue", "names", &["q"]),
        ("proxy_resolve_shared_queue", "vm_ids", &[""]),
        ("proxy_enqueue_shared_queue", "names", &["!q"]),
    ];
    let denials = tick(rules, |caller| {
        let set = |caller: &mut NullCaller<'_>, key: &[u8], value: &[u8]| {
            let ((key, key_len), (value, value_len)) = (caller.put(key), caller.put(value));
            entry::proxy_set_shared_data(caller, key, key_len, value, value_len, 0).unwrap()
        };
        assert_eq!((set(caller, b"a.1", b"1234567"), set(caller, b"b", b"")), (0, 10));
        assert_eq!(set(caller, b"a.2", b""), 10, "10 bytes are taken");
        assert_eq!(set(caller, b"a.1", b"1"), 0, "what is replaced makes room");
        assert_eq!(set(caller, b"a.2", b""), 0);
        let (key, len) = caller.put(b"b");
        assert_eq!(entry::proxy_get_shared_data(caller, key, len, 8, 12, 16).unwrap(), 10);
        let ((q, q_len), (r, r_len), (vm, vm_len)) = (caller.put(b"q"), caller.put(b"r"), caller.put(b"vm"));
        assert_eq!(entry::proxy_register_shared_queue(caller, r, r_len, 16).unwrap(), 10);
        assert_eq!(entry::proxy_register_shared_queue(caller, q, q_len, 16).unwrap(), 0);
        let id = caller.word(16).cast_signed();
        assert_eq!(entry::proxy_resolve_shared_queue(caller, vm, vm_len, q, q_len, 20).unwrap(), 10);
        assert_eq!(entry::proxy_resolve_shared_queue(caller, 0, 0, q, q_len, 20).unwrap(), 0, "its own id is empty");
        assert_eq!(entry::proxy_enqueue_shared_queue(caller, id, q, q_len).unwrap(), 10);
        assert_eq!(entry::proxy_dequeue_shared_queue(caller, id, 8, 12).unwrap(), 7, "no rule, no denial");
    });
    assert_eq!(denials.len(), 6, "{denials:?}");
}

#[test]
fn metrics_functions_names_and_statuses_are_named() {
    let rules: &[(&str, &str, &[&str])] = &[
        ("proxy_define_metric", "names", &["mine_*"]),
        ("proxy_define_metric", "count", &["1"]),
        ("proxy_call_foreign_function", "names", &["compress"]),
        ("envoy_resolve_dns", "names", &["*.test"]),
        ("proxy_get_property", "paths", &["plugin_*"]),
        ("proxy_send_local_response", "statuses", &["4xx"]),
    ];
    let denials = tick(rules, |caller| {
        let define = |caller: &mut NullCaller<'_>, name: &[u8]| {
            let (name, len) = caller.put(name);
            entry::proxy_define_metric(caller, 0, name, len, 16).unwrap()
        };
        assert_eq!((define(caller, b"mine_a"), define(caller, b"other")), (0, 10));
        assert_eq!((define(caller, b"mine_b"), define(caller, b"mine_a")), (10, 0), "one, and the same again");
        for (name, status) in [(&b"compress"[..], 1), (b"sign", 10)] {
            let (name, len) = caller.put(name);
            assert_eq!(entry::proxy_call_foreign_function(caller, name, len, 0, 0, 0, 0).unwrap(), status);
        }
        for (name, status) in [(&b"A.test"[..], 0), (b"a.test.", 0), (b"a.example", 10)] {
            let (name, len) = caller.put(name);
            assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), status);
        }
        for (path, result) in [(&b"plugin_name"[..], Ok(b"plugin".to_vec())), (b"request\0time", Err(10))] {
            let (path, len) = caller.put(path);
            let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, path, len, p, l));
            assert_eq!(value, result);
        }
        assert_eq!((caller.local_response(404, ""), caller.local_response(200, "")), (0, 10));
    });
    assert_eq!(denials.len(), 6, "{denials:?}");
}

#[test]
fn a_plugin_that_logs_too_much_is_not_told() {
    let rules: &[(&str, &str, &[&str])] = &[("proxy_log", "rate", &["3/s"]), ("proxy_log", "bytes", &["8/s"])];
    let started = Setup::new().ruled(rules).during(CallbackId::on_tick, |caller| {
        for _ in 0..10 {
            assert_eq!(entry::proxy_log(caller, 2, 0, 4).unwrap(), 0);
        }
    });
    let lines = started.host.lines();
    assert_eq!(lines.iter().filter(|line| !line.from_host).count(), 2, "8 bytes");
    assert_eq!(started.host.denials().len(), 8);
    assert_eq!(lines.iter().filter(|line| line.from_host).count(), 5, "denials fill no log either");
}

#[test]
fn a_denial_may_end_the_vm() {
    let mut setup = Setup::new().ruled(&[("proxy_call_foreign_function", "names", &["a"])]);
    setup.plugin.on_denial = OnDenial::Trap;
    let mut started = setup
        .try_on(CallbackId::on_tick, |caller, _| {
            let (name, len) = caller.put(b"b");
            entry::proxy_call_foreign_function(caller, name, len, 0, 0, 0, 0)?;
            Ok(0)
        })
        .start();
    assert!(started.vm.on_tick(started.root).is_err());
    let reason = "the plugin may not call proxy_call_foreign_function with these names, and on_denial is trap";
    assert_eq!(started.vm.failure(), Some(reason));
}

#[test]
fn a_callback_that_is_exported_and_outside_the_rights_is_a_denial() {
    let mut setup = Setup::new().with_rights(&["proxy_on_tick"]).returning(0, &[CallbackId::on_tick]);
    setup.config.exports =
        Some(portcullis_core::rights::Capabilities::of_callbacks(&[CallbackId::on_log, CallbackId::on_tick]));
    let mut started = setup.start();
    let stream = started.stream();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_log(stream).unwrap();
    started.vm.on_done(stream).unwrap();
    assert_eq!(started.host.denials(), ["denied proxy_on_log: the plugin does not have this capability"]);
}

#[test]
fn what_is_learned_is_the_least_that_passes_again() {
    let learned = std::sync::Arc::new(portcullis_core::rights::Learned::default());
    let run = |caller: &mut NullCaller<'_>| {
        caller.log("hello");
        http_call(caller, "up", &get("/check?x"), b"").unwrap();
    };
    let mut setup = Setup::new();
    setup.plugin.rules = portcullis_core::rights::Rules::learning(std::sync::Arc::clone(&learned));
    setup.config.exports = Some(portcullis_core::rights::Capabilities::of_callbacks(&[CallbackId::on_tick]));
    setup.config.shared = Shared::default();
    let started = setup.during(CallbackId::on_tick, run);
    assert_eq!(started.host.denials(), [""; 0]);
    assert_eq!(learned.capabilities(), ["proxy_http_call", "proxy_log", "proxy_on_tick"]);
    let names = learned.capabilities();
    let mut again = Setup::new().with_rights(&names);
    again.plugin.rules = portcullis_core::rights::Rules::new(&learned.rules()).unwrap();
    assert_eq!(again.during(CallbackId::on_tick, run).host.denials(), [""; 0]);
    for without in ["proxy_http_call", "proxy_log"] {
        let names: Vec<_> = names.iter().copied().filter(|name| *name != without).collect();
        let started = Setup::new().with_rights(&names).during(CallbackId::on_tick, |caller| {
            caller.log("hello");
            let _ = http_call(caller, "up", &get("/check?x"), b"");
        });
        assert_eq!(started.host.denials().len(), 1, "without {without}");
    }
}
