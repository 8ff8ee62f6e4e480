//! State that the VMs of streams take from the configured one, and state that they must not take.

use portcullis_core::model::Drawn;
use portcullis_core::resources::Preopen;
use portcullis_core::testing::FakeFiles;

use super::{Gate, each, host, spec, take};

/// A plugin that does this when it is configured, and that for a request; it logs the bytes from 64 to where `$end` is.
fn guest(imports: &str, configure: &str, request: &str) -> String {
    format!(
        r#"(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        {imports}
        (memory (export "memory") 1)
        (global $end (mut i32) (i32.const 64))
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "malloc") (param i32) (result i32) (i32.const 1024))
        (func $byte (param $byte i32)
            (i32.store8 (global.get $end) (i32.add (i32.const 48) (local.get $byte)))
            (global.set $end (i32.add (global.get $end) (i32.const 1))))
        (func (export "proxy_on_configure") (param i32 i32) (result i32) {configure} (i32.const 1))
        (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
            {request}
            (drop (call $log (i32.const 2) (i32.const 64) (i32.sub (global.get $end) (i32.const 64))))
            (i32.const 0))"#
    )
}

const RANDOM: &str = r#"
    (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
    (import "env" "seed" (func $seed (result f64)))
    (import "env" "proxy_get_current_time_nanoseconds" (func $now (param i32) (result i32)))
    (func $draw (drop (call $random (i32.const 32) (i32.const 1))) (call $byte (i32.load8_u (i32.const 32))))"#;

#[test]
fn what_a_plugin_drew_is_counted_and_repeats_and_what_it_draws_does_not() {
    each(|engine, name| {
        let configure = r#"(call $draw) (drop (call $random (i32.const 200) (i32.const 16))) (drop (call $seed))
            (drop (call $clock (i32.const 1) (i64.const 0) (i32.const 300))) (drop (call $now (i32.const 300)))"#;
        let spec = spec(engine, &guest(RANDOM, configure, "(call $draw)"));
        let snapshot = take(engine, &spec, &host()).unwrap();
        assert_eq!(snapshot.drawn(), Drawn { random: 21, clock: 2 }, "on {name}");
        let mut gate = Gate::new(engine, &spec);
        gate.request();
        gate.request();
        // The host's bytes count up from 1.
        assert_eq!(gate.host.messages(), ["1F", "1G"], "on {name}");
        let none = super::spec(engine, &guest(RANDOM, "", "(call $draw)"));
        assert_eq!(take(engine, &none, &host()).unwrap().drawn(), Drawn::default(), "on {name}");
    });
}

#[test]
fn contexts_and_metrics_go_on_where_they_were() {
    let metrics = r#"
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
        (data (i32.const 16) "first") (data (i32.const 24) "other")"#;
    let configure = "(drop (call $define (i32.const 0) (i32.const 16) (i32.const 5) (i32.const 40)))";
    let request = r#"
        (drop (call $increment (i32.load (i32.const 40)) (i64.const 1)))
        (drop (call $define (i32.const 0) (i32.const 24) (i32.const 5) (i32.const 44)))
        (call $byte (i32.eq (i32.load (i32.const 40)) (i32.load (i32.const 44))))
        (call $byte (i32.gt_u (local.get $context) (i32.const 1)))"#;
    each(|engine, name| {
        let mut gate = Gate::new(engine, &spec(engine, &guest(metrics, configure, request)));
        for _ in 0..3 {
            gate.request();
        }
        // Another metric has another id, and no stream has the context of the root.
        assert_eq!(gate.host.messages(), ["01"; 3], "on {name}");
        assert_eq!((gate.host.metric("first"), gate.host.metric("other")), (Some(3), Some(0)), "on {name}");
    });
}

#[test]
fn what_is_open_when_a_plugin_has_been_configured_is_refused() {
    let pairs = [(":method", "GET"), (":path", "/"), (":authority", "u")];
    let mut bytes = vec![3, 0, 0, 0];
    pairs.iter().for_each(|(name, value)| bytes.extend([name.len() as u8, 0, 0, 0, value.len() as u8, 0, 0, 0]));
    pairs.iter().for_each(|(name, value)| bytes.extend(format!("{name}\0{value}\0").bytes()));
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let imports = format!(
        r#"(import "env" "proxy_http_call" (func $http (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_grpc_call" (func $grpc (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (data (i32.const 400) "u") (data (i32.const 404) "page") (data (i32.const 500) "{escaped}")"#
    );
    let zero = "(i32.const 0)";
    let http = format!(
        "(if (call $http (i32.const 400) (i32.const 1) (i32.const 500) (i32.const {}) {} (i32.const 1000) (i32.const 40)) (then unreachable))",
        bytes.len(),
        zero.repeat(4)
    );
    let text = "(i32.const 400) (i32.const 1)";
    let grpc = format!(
        "(if (call $grpc {} {} (i32.const 1000) (i32.const 40)) (then unreachable))",
        text.repeat(3),
        zero.repeat(4)
    );
    // An id that was given up may not be given again to somebody who does not know.
    let cancelled = format!("{grpc} (drop (call $cancel (i32.load (i32.const 40))))");
    let open = format!(
        "(if (call $open (i32.const 3) {zero} (i32.const 404) (i32.const 4) {zero} (i64.const 2) (i64.const 2) {zero} (i32.const 40)) (then unreachable))"
    );
    let closed = format!("{open} (drop (call $close (i32.load (i32.const 40))))");
    let host = host().with_upstream("u");
    host.set_files(&FakeFiles::new(&[("d/page", b"text")]));
    each(|engine, name| {
        let taken = |configure: &str| {
            let mut spec = spec(engine, &guest(&imports, configure, ""));
            spec.vm.preopens = vec![Preopen::new("/d", "d")];
            take(engine, &spec, &host).map(drop).map_err(|error| error.to_string())
        };
        for (configure, reason) in [
            (&http, "it makes an HTTP callout before there is a stream"),
            (&grpc, "it makes a gRPC callout before there is a stream"),
            (&cancelled, "it makes a gRPC callout before there is a stream"),
            (&open, "it leaves a file open"),
        ] {
            let error = taken(configure).unwrap_err();
            assert!(error.contains(reason), "on {name}: {error}");
        }
        assert_eq!(taken(&closed), Ok(()), "on {name}");
    });
}

/// Hosts of different VMs are made at different times.
#[test]
fn a_monotonic_time_of_the_snapshot_is_in_the_past_of_each_stream() {
    use portcullis::system::SystemClock;
    let configured = SystemClock::new();
    let then = configured.monotonic();
    let stream = SystemClock::new();
    assert!(stream.monotonic() >= then);
    let later = configured.monotonic();
    assert!(SystemClock::new().monotonic() >= later);
}
