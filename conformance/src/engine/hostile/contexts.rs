//! Ten thousand contexts at once.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use portcullis::abi::{
    HostcallId::proxy_get_header_map_value, HostcallId::proxy_set_effective_context, HostcallId::proxy_set_property,
    HostcallId::proxy_set_tick_period_milliseconds,
};
use portcullis::model::{Action, ContextId, Direction, Plugin, ResourceMetadata, StreamInfo};

use crate::engine::case::Case;
use crate::engine::running::Running;

const COUNT: usize = 10_000;
/// Without a common divisor with the count, so that steps of it come to all.
const STEP: usize = 7919;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "ten_thousand_streams_in_no_order",
        guest: r#"
            (data (i32.const 1024) "idp")
            ;; Each context asks for its own header, which is its id in decimal digits, and keeps a property.
            (func (export "malloc") (param i32) (result i32) (i32.const 4096))
            (global $right (mut i32) (i32.const 0))
            (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
                (drop (call $proxy_get_header_map_value
                    (i32.const 0) (i32.const 1024) (i32.const 2) (i32.const 0) (i32.const 4)))
                (global.set $right (i32.add (global.get $right)
                    (i32.eq (i32.load (i32.load (i32.const 0))) (local.get $id))))
                (drop (call $proxy_set_property
                    (i32.const 1026) (i32.const 1) (i32.const 0) (i32.const 4096)))
                (i32.const 0))
            (func (export "proxy_on_tick") (param i32) (local $id i32) (local $known i32)
                (loop $next
                    (local.set $known (i32.add (local.get $known)
                        (i32.eqz (call $proxy_set_effective_context (local.get $id)))))
                    (br_if $next (i32.lt_u
                        (local.tee $id (i32.add (local.get $id) (i32.const 1))) (i32.const 30000))))
                (call $report (local.get $known)))
            (func (export "proxy_on_log") (param i32) (call $report (global.get $right)))
        "#,
        hostcalls: &[proxy_get_header_map_value, proxy_set_property, proxy_set_effective_context],
        spec: "portcullis#contexts",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let memory = guest.vm.memory_size();
            let mut all = HashSet::new();
            let mut infos = Vec::new();
            for round in 1..=2 {
                let (streams, held) = opened(&mut guest);
                infos.extend(held);
                all.extend(streams.iter().copied());
                assert_eq!(all.len(), round * COUNT, "no id is given twice");
                for index in (0..COUNT).map(|at| at * STEP % COUNT) {
                    guest.headers(streams[index]).unwrap();
                }
                guest.vm.on_log(streams[0]).unwrap();
                guest.tick().unwrap();
                // The root, the streams, and 0, which undoes the choice.
                assert_eq!(guest.seen(), [(round * COUNT).to_string(), (COUNT + 2).to_string()]);
                for index in (0..COUNT).map(|at| at * STEP % COUNT) {
                    guest.vm.delete(streams[index]).unwrap();
                    assert!(
                        guest.headers(streams[index]).is_err(),
                        "nothing is called in what is gone, and nothing consents"
                    );
                }
                guest.tick().unwrap();
                assert_eq!(guest.seen(), ["2"]);
                assert_eq!((guest.vm.context_count(), guest.vm.memory_size()), (1, memory));
                assert!(infos.iter().all(|info| info.upgrade().is_none()), "nothing is kept of what is gone");
            }
        },
    },
    Case {
        name: "ten_thousand_plugins_of_one_vm",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (drop (call $proxy_set_tick_period_milliseconds (local.get 0))))
        "#,
        hostcalls: &[proxy_set_tick_period_milliseconds],
        spec: "portcullis#contexts",
        run: |case, engine| {
            let mut guest = case.start(engine);
            let plugin = Arc::new(Plugin::new("one of many"));
            let roots: Vec<_> = (0..COUNT).map(|_| guest.vm.add_plugin(Arc::clone(&plugin)).unwrap()).collect();
            for index in (0..COUNT).map(|at| at * STEP % COUNT) {
                guest.vm.on_tick(roots[index]).unwrap();
            }
            let told: HashSet<_> = guest
                .actions()
                .iter()
                .map(|action| match action {
                    Action::SetTick { root } => *root,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(told, roots.iter().copied().collect::<HashSet<_>>());
            for root in roots {
                assert_eq!(guest.vm.tick_period(root).unwrap().as_millis(), u128::from(root.number()));
                guest.vm.end_root(root).unwrap();
                guest.vm.delete(root).unwrap();
            }
            assert_eq!((guest.vm.context_count(), Arc::strong_count(&plugin)), (1, 1));
        },
    },
];

/// Opens streams, each with a header that has its id, and returns weak references to their state.
fn opened(guest: &mut Running) -> (Vec<ContextId>, Vec<Weak<ResourceMetadata>>) {
    (0..COUNT)
        .map(|_| {
            let kept = Arc::new(ResourceMetadata::default());
            let held = Arc::downgrade(&kept);
            let info = StreamInfo { route_metadata: Some(kept), ..StreamInfo::default() };
            let stream = guest.vm.create_stream(guest.root, info.into_shared()).unwrap();
            let id = stream.number().to_le_bytes();
            let headers = [(&b"id"[..], &id[..])].into_iter().collect();
            guest.vm.stream(stream).unwrap().lend_headers(
                Direction::Request,
                headers,
                portcullis::model::Access::Write,
            );
            (stream, held)
        })
        .unzip()
}
