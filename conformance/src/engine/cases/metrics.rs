//! Metrics; their values are the only 64-bit arguments of the ABI.

use portcullis::abi::{
    HostcallId::proxy_define_metric, HostcallId::proxy_get_metric, HostcallId::proxy_increment_metric,
    HostcallId::proxy_record_metric,
};
use portcullis::model::{Compatibility, Plugin};

use crate::engine::case::Case;
use crate::engine::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ids_tell_the_type_and_values_have_64_bits",
        guest: r#"
            (data (i32.const 1024) "abc")
            (func $define (param i32) (result i32)
                (call $report (call $proxy_define_metric
                    (local.get 0) (i32.add (i32.const 1024) (local.get 0)) (i32.const 1) (i32.const 1032)))
                (call $report (i32.load (i32.const 1032)))
                (i32.load (i32.const 1032)))
            (func $get (param i32)
                (call $report (call $proxy_get_metric (local.get 0) (i32.const 1033)))
                (call $report64 (i64.load (i32.const 1033))))
            (func (export "proxy_on_tick") (param i32)
                (local $counter i32) (local $gauge i32)
                (local.set $counter (call $define (i32.const 0)))
                (local.set $gauge (call $define (i32.const 1)))
                (drop (call $define (i32.const 2)))
                (drop (call $define (i32.const 0)))
                (call $report (call $proxy_increment_metric (local.get $counter) (i64.const 0x100000000)))
                (call $report (call $proxy_record_metric (local.get $counter) (i64.const 1)))
                (call $get (local.get $counter))
                (call $report (call $proxy_record_metric (local.get $gauge) (i64.const 0x7fffffffffffffff)))
                (call $report (call $proxy_increment_metric (local.get $gauge) (i64.const -0x100000000)))
                (call $get (local.get $gauge)))
        "#,
        hostcalls: &[proxy_define_metric, proxy_increment_metric, proxy_record_metric, proxy_get_metric],
        spec: "v0.2.1#proxy_define_metric",
        run: |case, engine| {
            let ids = ["0", "4", "0", "5", "0", "6", "0", "4"];
            let (counter, gauge) = (["0", "0", "0", "4294967297"], ["0", "0", "0", "9223372032559808511"]);
            assert_eq!(case.tick(engine), [&ids[..], &counter, &gauge].concat());
        },
    },
    Case {
        name: "what_metrics_refuse",
        guest: r#"
            (data (i32.const 1024) "h")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_define_metric (i32.const 3) (i32.const 1024) (i32.const 1) (i32.const 1032)))
                (call $report (call $proxy_define_metric (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 1032)))
                (call $report (call $proxy_increment_metric (i32.const 6) (i64.const 1)))
                (call $report (call $proxy_get_metric (i32.const 6) (i32.const 1032)))
                (call $report (call $proxy_increment_metric (i32.const 8) (i64.const 1)))
                (call $report (call $proxy_increment_metric (i32.const 7) (i64.const 1)))
                (call $report (call $proxy_record_metric (i32.const 7) (i64.const 1)))
                (call $report (call $proxy_get_metric (i32.const 9) (i32.const 1032))))
        "#,
        hostcalls: &[proxy_define_metric, proxy_increment_metric, proxy_record_metric, proxy_get_metric],
        spec: "host#proxy_increment_metric",
        run: |case, engine| assert_eq!(case.tick(engine), ["2", "0", "2", "2", "1", "2", "1", "1"]),
    },
    Case {
        name: "a_recorded_counter_grows_or_is_set_as_its_plugin_is_made_for",
        guest: r#"
            (data (i32.const 1024) "c")
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_define_metric (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 1032)))
                (drop (call $proxy_record_metric (i32.load (i32.const 1032)) (i64.const 5)))
                (drop (call $proxy_record_metric (i32.load (i32.const 1032)) (i64.const 3)))
                (drop (call $proxy_get_metric (i32.load (i32.const 1032)) (i32.const 1040)))
                (call $report64 (i64.load (i32.const 1040))))
        "#,
        hostcalls: &[proxy_define_metric, proxy_record_metric, proxy_get_metric],
        spec: "v0.2.1#proxy_record_metric",
        run: |case, engine| {
            for (compatibility, value) in [(Compatibility::Envoy, "8"), (Compatibility::Spec, "3")] {
                let plugin = Plugin::new("test").with_compatibility(compatibility);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                assert_eq!(guest.tick(), Ok(()));
                assert_eq!(guest.seen(), [value], "{compatibility:?}");
            }
        },
    },
];
