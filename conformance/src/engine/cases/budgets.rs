//! Bytes that the VMs of a sandbox hold together outside of their memories.

use portcullis::abi::{
    HostcallId::proxy_define_metric, HostcallId::proxy_dequeue_shared_queue, HostcallId::proxy_enqueue_shared_queue,
    HostcallId::proxy_get_shared_data, HostcallId::proxy_http_call, HostcallId::proxy_register_shared_queue,
    HostcallId::proxy_send_local_response, HostcallId::proxy_set_buffer_bytes, HostcallId::proxy_set_property,
    HostcallId::proxy_set_shared_data,
};
use portcullis::model::{Direction, Limits, Plugin};
use portcullis::resources::Shared;
use portcullis::sandbox::{SandboxKey, VmSpec};

use crate::engine::attacks::asks;
use crate::engine::case::Case;
use crate::engine::running::Setup;

const ENTRY: usize = Limits::ENTRY_COST;
const NAME: usize = Limits::NAME_COST;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "an_empty_value_is_stored_and_costs_its_key",
        guest: r#"
            (data (i32.const 1024) "key")
            (func $set (param $key_len i32) (param $len i32) (call $report (call $proxy_set_shared_data
                (i32.const 1024) (local.get $key_len) (i32.const 0) (local.get $len) (i32.const 0))))
            (func (export "proxy_on_tick") (param i32)
                (call $set (i32.const 3) (i32.const 10))
                (call $set (i32.const 2) (i32.const 0))
                (call $set (i32.const 3) (i32.const 0))
                (call $answer (call $proxy_get_shared_data
                    (i32.const 1024) (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 1100)))
                (call $set (i32.const 2) (i32.const 0))
                (call $set (i32.const 3) (i32.const 9))
                (call $set (i32.const 3) (i32.const 8))
                (call $set (i32.const 1) (i32.const 0)))
        "#,
        hostcalls: &[proxy_set_shared_data, proxy_get_shared_data],
        spec: "portcullis#limits",
        run: |case, engine| {
            // Two keys and 8 bytes.
            let limits = Limits::default().with_shared(2 * ENTRY + 3 + 2 + 8);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["0", "10", "0", "0", "0", "0", "10", "0", "10"]);
        },
    },
    Case {
        name: "an_item_that_is_taken_and_a_value_that_is_shorter_make_room",
        guest: r#"
            (data (i32.const 1024) "q")
            (func $put (param $len i32) (call $report (call $proxy_enqueue_shared_queue
                (i32.load (i32.const 1100)) (i32.const 0) (local.get $len))))
            (func $set (param $len i32) (call $report (call $proxy_set_shared_data
                (i32.const 1024) (i32.const 1) (i32.const 0) (local.get $len) (i32.const 0))))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_register_shared_queue (i32.const 1024) (i32.const 1) (i32.const 1100)))
                (call $set (i32.const 100))
                (call $put (i32.const 100))
                (call $put (i32.const 0))
                (call $set (i32.const 101))
                (call $report (call $proxy_dequeue_shared_queue
                    (i32.load (i32.const 1100)) (i32.const 0) (i32.const 4)))
                (call $set (i32.const 101))
                (call $put (i32.const 100))
                (call $set (i32.const 99))
                (call $put (i32.const 101)))
        "#,
        hostcalls: &[
            proxy_register_shared_queue,
            proxy_enqueue_shared_queue,
            proxy_dequeue_shared_queue,
            proxy_set_shared_data,
        ],
        spec: "portcullis#limits",
        run: |case, engine| {
            let limits = Limits::default().with_shared(NAME + 1 + ENTRY + 101 + ENTRY + 100);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["0", "0", "0", "10", "10", "0", "0", "10", "0", "0"]);
        },
    },
    Case {
        name: "vms_of_one_sandbox_have_one_budget_and_others_another",
        guest: FILLER,
        hostcalls: &[proxy_set_shared_data],
        spec: "portcullis#limits",
        run: |case, engine| {
            let (shared, limits) = (Shared::default(), filled_by(3));
            let start = |number, sandbox| {
                let plugin = Plugin::new("test").with_configuration(vec![b'c'; number]);
                let (shared, limits) = (shared.clone(), limits.clone());
                case.start_with(engine, Setup { plugin, shared, limits, sandbox: Some(sandbox), ..Setup::default() })
            };
            let [first, second] = [sandbox("first"), sandbox("second")];
            let mut guest = start(0, first);
            guest.tick().unwrap();
            assert_eq!(guest.seen(), ["3", "10"]);
            let mut same = start(1, first);
            same.tick().unwrap();
            assert_eq!(same.seen(), ["0", "10"], "what another VM of the sandbox has taken");
            // The data stay, since a VM of the id is left; and so does what was paid for them.
            drop(guest);
            let mut again = start(2, first);
            again.tick().unwrap();
            assert_eq!(again.seen(), ["0", "10"]);
            let mut other = start(3, second);
            other.tick().unwrap();
            assert_eq!(other.seen(), ["3", "10"], "of the same id");
            drop((same, again, other));
            let mut anew = start(4, first);
            anew.tick().unwrap();
            assert_eq!(anew.seen(), ["3", "10"], "no VM of the id was left");
        },
    },
    Case {
        name: "who_overwrites_a_value_pays_for_it",
        guest: r#"
            (data (i32.const 1024) "k")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_shared_data
                    (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 0)))
                (call $report (call $proxy_set_shared_data
                    (i32.const 1025) (i32.const 1) (i32.const 0) (i32.const 10) (i32.const 0))))
        "#,
        hostcalls: &[proxy_set_shared_data],
        spec: "portcullis#limits",
        run: |case, engine| {
            // One key.
            let (shared, limits) = (Shared::default(), Limits::default().with_shared(ENTRY + 11));
            let start = || {
                let (shared, limits) = (shared.clone(), limits.clone());
                case.start_with(engine, Setup { shared, limits, ..Setup::default() })
            };
            let (mut one, mut other) = (start(), start());
            one.tick().unwrap();
            other.tick().unwrap();
            assert_eq!((one.seen().join(" "), other.seen().join(" ")), ("0 10".to_owned(), "0 10".to_owned()));
            // The other one has it now.
            let mut rest = start();
            rest.tick().unwrap();
            one.tick().unwrap();
            assert_eq!((rest.seen().join(" "), one.seen().join(" ")), ("0 10".to_owned(), "0 10".to_owned()));
        },
    },
    Case {
        name: "names_have_a_longest_length",
        guest: r#"
            (memory (export "memory") 2)
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $proxy_set_shared_data
                    (i32.const 8192) (i32.const 65536) (i32.const 0) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_set_shared_data
                    (i32.const 8192) (i32.const 65537) (i32.const 0) (i32.const 0) (i32.const 0)))
                (call $report (call $proxy_register_shared_queue (i32.const 8192) (i32.const 65536) (i32.const 1100)))
                (call $report (call $proxy_register_shared_queue (i32.const 8192) (i32.const 65537) (i32.const 1100)))
                (call $report (call $proxy_define_metric
                    (i32.const 0) (i32.const 8192) (i32.const 8192) (i32.const 1100)))
                (call $report (call $proxy_define_metric
                    (i32.const 0) (i32.const 8192) (i32.const 8193) (i32.const 1100))))
        "#,
        hostcalls: &[proxy_set_shared_data, proxy_register_shared_queue, proxy_define_metric],
        spec: "portcullis#limits",
        run: |case, engine| assert_eq!(case.tick(engine), ["0", "10", "0", "10", "0", "2"]),
    },
    Case {
        name: "names_of_metrics_are_charged_once",
        guest: r#"
            (data (i32.const 1024) "abcd")
            (func $define (param $at i32) (call $report (call $proxy_define_metric
                (i32.const 0) (local.get $at) (i32.const 1) (i32.const 1100))))
            (func (export "proxy_on_tick") (param i32)
                (call $define (i32.const 1024))
                (call $define (i32.const 1024))
                (call $define (i32.const 1025))
                (call $define (i32.const 1026))
                (call $define (i32.const 1025)))
        "#,
        hostcalls: &[proxy_define_metric],
        spec: "portcullis#limits",
        run: |case, engine| {
            let (shared, limits) = (Shared::default(), Limits::default().with_shared(2 * (NAME + 1)));
            // Two VMs of one sandbox define the same.
            for _ in 0..2 {
                let (shared, limits, sandbox) = (shared.clone(), limits.clone(), Some(sandbox("counts")));
                let mut guest = case.start_with(engine, Setup { shared, limits, sandbox, ..Setup::default() });
                guest.tick().unwrap();
                assert_eq!(guest.seen(), ["0", "0", "0", "10", "0"]);
            }
        },
    },
    Case {
        name: "bodies_callouts_and_properties_do_not_suffer_from_shared_data",
        guest: BUFFERS,
        hostcalls: &[
            proxy_set_shared_data,
            proxy_set_property,
            proxy_set_buffer_bytes,
            proxy_http_call,
            proxy_send_local_response,
        ],
        spec: "portcullis#limits",
        run: |case, engine| {
            for (limits, seen) in [
                // Each fits alone.
                (Limits::default(), ["0", "0", "0", "0", "0"]),
                (Limits::default().with_shared(0), ["10", "0", "0", "0", "0"]),
                (Limits::default().with_buffers(0), ["0", "2", "2", "10", "2"]),
                (Limits::default().with_buffers(2 * (ENTRY + 100) + 1), ["0", "0", "0", "10", "2"]),
            ] {
                let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
                let stream = guest.open(&[]);
                guest.lend_body(stream, Direction::Request, "body");
                guest.vm.on_body(stream, Direction::Request, true).unwrap();
                assert_eq!(guest.seen(), seen);
                // Once all of it has left, there is room again.
                let taken = guest.vm.stream(stream).unwrap().take_body(Direction::Request);
                drop((guest.actions(), taken));
                guest.vm.delete(stream).unwrap();
                let stream = guest.open(&[]);
                guest.lend_body(stream, Direction::Request, "body");
                guest.vm.on_body(stream, Direction::Request, true).unwrap();
                assert_eq!(guest.seen(), seen);
            }
        },
    },
];

/// Sets keys until one is refused, and tells how many were set.
const FILLER: &str = r#"
    (func (export "proxy_on_configure") (param i32 i32) (result i32)
        ;; Each VM has keys of its own, which begin with the length of its configuration.
        (i32.store8 (i32.const 1024) (local.get 1))
        (i32.const 1))
    (func (export "proxy_on_tick") (param i32) (local $count i32) (local $status i32)
        (loop $next
            (i32.store (i32.const 1025) (local.get $count))
            (local.set $status (call $proxy_set_shared_data
                (i32.const 1024) (i32.const 5) (i32.const 0) (i32.const 10) (i32.const 0)))
            (if (i32.eqz (local.get $status)) (then
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (br $next))))
        (call $report (local.get $count))
        (call $report (local.get $status)))
"#;

/// Sets 100 bytes of each: shared data, a property, a body, a callout's body, a local response's.
const BUFFERS: &str = r#"
    (data (i32.const 1024) "auth\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00:method\00GET\00:path\00/\00:authority\00a\00")
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
        (call $report (call $proxy_set_shared_data
            (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 100) (i32.const 0)))
        (call $report (call $proxy_set_property (i32.const 1024) (i32.const 1) (i32.const 0) (i32.const 99)))
        (call $report (call $proxy_set_buffer_bytes
            (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i32.const 100)))
        (call $report (call $proxy_http_call
            (i32.const 1024) (i32.const 4) (i32.const 1028) (i32.const 61) (i32.const 0) (i32.const 100)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 2004)))
        (call $report (call $proxy_send_local_response (i32.const 403) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 0) (i32.const -1)))
        (i32.const 0))
"#;

/// Returns limits with room for this number of the keys of [`FILLER`].
fn filled_by(keys: usize) -> Limits {
    Limits::default().with_shared(keys * (ENTRY + 5 + 10))
}

fn sandbox(name: &str) -> SandboxKey {
    let vm = VmSpec::default().with_environment(vec![("name".to_owned(), name.to_owned())]);
    asks(&Plugin::new("test"), &vm, Default::default()).spec.key()
}
