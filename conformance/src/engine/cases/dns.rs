//! Names that are looked up.

use std::net::{IpAddr, Ipv4Addr};

use portcullis::abi::{HostcallId::envoy_resolve_dns, HostcallId::proxy_get_buffer_bytes};
use portcullis::model::{Action, Limits};
use portcullis::resources::LookupId;

use crate::engine::case::Case;
use crate::engine::running::{Running, Setup};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_name_is_looked_up_and_its_addresses_are_told",
        guest: GUEST,
        hostcalls: &[envoy_resolve_dns, proxy_get_buffer_bytes],
        spec: "host#Envoy envoy_resolve_dns",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            let told = ["0", "1", "0", "2", "1", "-1"];
            assert_eq!(guest.seen(), told, "two lookups, and no buffer outside of its callback");
            let root = guest.root;
            assert_eq!(looked_up(&mut guest), [(root, 1, "up.test".to_owned()), (root, 2, "up.test".to_owned())]);
            let (address, name) = (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), guest.root.to_string());
            assert_eq!(guest.vm.on_resolve_dns(LookupId(2), &[address]), Ok(()));
            let answer = "\\x01\\x00\\x00\\x00<\\x00\\x00\\x00192.0.2.1:0\\x00";
            assert_eq!(guest.seen(), [name.as_str(), "2", "20", "0", "20", answer]);
            assert_eq!(guest.vm.on_resolve_dns(LookupId(1), &[]), Ok(()));
            assert_eq!(guest.seen(), [name.as_str(), "1", "0", "0", "0"], "it was not found");
            for id in [1, 2, 3] {
                assert_eq!(guest.vm.on_resolve_dns(LookupId(id), &[address]), Ok(()));
            }
            assert_eq!(guest.seen(), [""; 0], "each is told once");
        },
    },
    Case {
        name: "what_is_no_name_is_a_bad_argument",
        guest: r#"
            (data (i32.const 1024) "up.test\00 ")
            (func $resolve (param i32 i32 i32)
                (call $report (call $envoy_resolve_dns (local.get 0) (local.get 1) (local.get 2))))
            (func (export "proxy_on_tick") (param i32)
                (memory.fill (i32.const 2048) (i32.const 0x61) (i32.const 254))
                (call $resolve (i32.const 1024) (i32.const 0) (i32.const 1200))
                (call $resolve (i32.const 1024) (i32.const 8) (i32.const 1200))
                (call $resolve (i32.const 1032) (i32.const 1) (i32.const 1200))
                (call $resolve (i32.const 2048) (i32.const 254) (i32.const 1200))
                (call $resolve (i32.const 2048) (i32.const 253) (i32.const 1200))
                (call $resolve (i32.const -8) (i32.const 16) (i32.const 1200))
                (call $resolve (i32.const 1024) (i32.const 7) (i32.const 65533)))
        "#,
        hostcalls: &[envoy_resolve_dns],
        spec: "host#Envoy envoy_resolve_dns",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            assert_eq!(guest.seen(), ["2", "2", "2", "2", "0", "6", "6"]);
            assert_eq!(looked_up(&mut guest).len(), 1);
        },
    },
    Case {
        name: "lookups_in_flight_are_bounded",
        guest: GUEST,
        hostcalls: &[envoy_resolve_dns, proxy_get_buffer_bytes],
        spec: "host#limits",
        run: |case, engine| {
            let limits = Limits::default().with_callouts(1);
            let mut guest = case.start_with(engine, Setup { limits, ..Setup::default() });
            assert_eq!(
                (guest.tick(), guest.seen()[..3].to_vec()),
                (Ok(()), ["0", "1", "10"].map(str::to_owned).to_vec())
            );
            let root = guest.root;
            assert_eq!(guest.vm.delete(root), Ok(()));
            guest.seen();
            assert_eq!(guest.vm.on_resolve_dns(LookupId(1), &[]), Ok(()));
            assert_eq!(guest.seen(), [""; 0], "a root that is gone is told nothing");
        },
    },
];

/// Looks up a name twice when it ticks; reports what it is told.
const GUEST: &str = r#"
    (data (i32.const 1024) "up.test")
    (func $resolve
        (call $report (call $envoy_resolve_dns (i32.const 1024) (i32.const 7) (i32.const 1200)))
        (call $report (i32.load (i32.const 1200))))
    (func $read (call $answer (call $proxy_get_buffer_bytes
        (i32.const 8) (i32.const 0) (i32.const 100) (i32.const 0) (i32.const 4))))
    (func (export "proxy_on_tick") (param i32)
        (call $resolve) (call $resolve) (call $read))
    (func (export "envoy_on_resolve_dns") (param i32 i32 i32)
        (call $report (local.get 0)) (call $report (local.get 1)) (call $report (local.get 2))
        (call $read))
"#;

/// Returns the requests of the guest since the last call.
fn looked_up(guest: &mut Running) -> Vec<(portcullis::model::ContextId, u32, String)> {
    let lookup = |action| match action {
        Action::ResolveDns { root, id, name } => Some((root, id.0, name)),
        _ => None,
    };
    guest.actions().into_iter().filter_map(lookup).collect()
}
