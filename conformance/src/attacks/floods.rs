//! More than the host should have to take.

use portcullis::core::HostcallId::{proxy_define_metric, proxy_get_metric};

use super::ruled;
use crate::case::Case;
use crate::running::Setup;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_flood_of_log_lines",
        guest: r#"
            (func (export "proxy_on_tick") (param i32) (local $left i32)
                (local.set $left (i32.const 1000))
                (loop $again
                    (drop (call $proxy_log (i32.const 4) (i32.const 0) (i32.const 1)))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
        "#,
        hostcalls: &[portcullis::core::HostcallId::proxy_log],
        spec: "portcullis#log rules",
        run: |case, engine| {
            for (rules, lines) in [(&[][..], 1000), (&[("proxy_log", "rate", &["10/s"][..])], 10)] {
                let plugin = ruled("loud", rules);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                let (host, own): (Vec<_>, Vec<_>) = guest.lines().into_iter().partition(|line| line.from_host);
                assert_eq!(own.len(), lines);
                assert!(host.len() <= 5, "nor do denials fill the log: {}", host.len());
            }
        },
    },
    Case {
        name: "a_flood_of_metrics",
        guest: r#"
            (data (i32.const 1024) "m0")
            (func (export "proxy_on_tick") (param i32) (local $left i32) (local $made i32)
                (local.set $left (i32.const 100))
                (loop $again
                    (i32.store8 (i32.const 1025) (i32.add (i32.const 20) (local.get $left)))
                    (local.set $made (i32.add (local.get $made) (i32.eqz (call $proxy_define_metric
                        (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 1100)))))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $report (local.get $made))
                (call $report (call $proxy_get_metric (i32.const 4) (i32.const 1104))))
        "#,
        hostcalls: &[proxy_define_metric, proxy_get_metric],
        spec: "portcullis#metric rules",
        run: |case, engine| {
            for (rules, made) in [(&[][..], "100"), (&[("proxy_define_metric", "count", &["3"][..])], "3")] {
                let plugin = ruled("counter", rules);
                let mut guest = case.start_with(engine, Setup { plugin, ..Setup::default() });
                guest.tick().unwrap();
                assert_eq!(guest.seen(), [made, "0"]);
            }
        },
    },
];
