//! Calls that a plugin may not make.

use std::sync::Arc;

use crate::common::Setup;
use portcullis_core::abi::{CallbackId, HeadersStatus, HostcallId, MapType, ValType};
use portcullis_core::engine::{Caller, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, Plugin};
use portcullis_core::testing::NullCaller;

macro_rules! call_each {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        /// Calls every hostcall with zeros; gives what it answered, as text.
        fn call_each(caller: &mut NullCaller<'_>, mut see: impl FnMut(HostcallId, Result<String, Trap>)) {
            $( {
                let answer = entry::$name(caller, $(<$ty>::default()),*);
                see(HostcallId::$name, answer.map(|answer| format!("{answer:?}")));
            } )*
        }
    };
}
portcullis_core::for_each_hostcall!(call_each);

/// They need no capability.
const FREE: [HostcallId; 2] = [HostcallId::pthread_equal, HostcallId::emscripten_notify_memory_growth];

#[test]
fn every_hostcall_outside_the_rights_is_denied_as_its_family_denies() {
    let mut started = Setup::new()
        .with_rights(&["proxy_on_tick"])
        .on(CallbackId::on_tick, |caller, _| {
            let mut denied = 0;
            call_each(caller, |id, answer| {
                let decl = id.decl();
                let expected = match (decl.results, decl.modules) {
                    _ if id == HostcallId::pthread_equal => "1",
                    ([], _) => "()",
                    ([ValType::F64], _) => "0.0",
                    (_, ["env"]) => "10",
                    _ => "76",
                };
                assert_eq!(answer.unwrap(), expected, "{id}");
                denied += u64::from(!FREE.contains(&id));
            });
            assert_eq!(caller.state().denials(), denied);
            0
        })
        .start();
    started.vm.on_tick(started.root).unwrap();
    assert_eq!(started.actions(), []);
    let lines = started.host.lines();
    assert!(lines.iter().all(|line| line.from_host && line.message.starts_with("denied ")));
    assert!(!lines.is_empty() && lines.len() < 10, "a plugin that insists does not fill the log");
}

#[test]
fn a_callback_outside_the_rights_is_as_if_it_were_not_exported() {
    let exported = [
        CallbackId::on_context_create,
        CallbackId::on_vm_start,
        CallbackId::on_configure,
        CallbackId::on_request_headers,
        CallbackId::on_log,
        CallbackId::on_done,
        CallbackId::on_delete,
    ];
    let mut started =
        Setup::new().with_rights(&["proxy_on_context_create", "proxy_on_log"]).returning(0, &exported).start();
    let stream = started.stream();
    let status = started.vm.on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(status, HeadersStatus::Continue);
    started.vm.on_log(stream).unwrap();
    started.vm.on_done(stream).unwrap();
    started.vm.delete(stream).unwrap();
    assert!(started.vm.end_root(started.root).unwrap(), "true, as for one that is missing");
    let called: Vec<_> = started.calls().into_iter().map(|(id, _)| id).collect();
    assert_eq!(called, [CallbackId::on_context_create, CallbackId::on_context_create, CallbackId::on_log]);
}

#[test]
fn the_check_is_of_the_plugin_that_runs_and_not_of_its_neighbour() {
    let mut started = Setup::new()
        .with_rights(&["proxy_on_tick", "proxy_set_effective_context"])
        .on(CallbackId::on_tick, |caller, args| {
            let denied = entry::proxy_log(caller, 2, 0, 0).unwrap();
            assert_eq!(denied, if args[0] == 1 { 10 } else { 0 });
            if args[0] == 1 {
                assert_eq!(caller.set_effective(2), 2, "nor may it act as the other");
                assert_eq!(caller.set_effective(3), 2, "nor on its streams");
                assert_eq!(caller.header(MapType::RequestHeaders, ":path"), Err(10));
            }
            0
        })
        .start();
    let second = started.vm.add_plugin(Arc::new(Plugin::new("second"))).unwrap();
    started.vm.create_stream(second, portcullis_core::model::StreamInfo::default().into_shared()).unwrap();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_tick(second).unwrap();
    assert_eq!(started.called(CallbackId::on_tick), 2);
}
