//! What a plugin may not do, and what nobody may do now.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{Setup, get};
use portcullis_core::testing::NullCaller;
use portcullis_core::{
    Access, CallbackId, Caller, Capabilities, Direction, HOSTCALLS, HeadersStatus, HostcallId, MapType, Plugin, Trap,
    ValType, VmState, entry,
};

macro_rules! call_each {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident; )*) => {
        /// Calls every hostcall with zeros; gives what it answered, as text.
        fn call_each(caller: &mut impl Caller, mut see: impl FnMut(HostcallId, Result<String, Trap>)) {
            $( {
                let answer = entry::$name(caller, $(<$ty>::default()),*);
                see(HostcallId::$name, answer.map(|answer| format!("{answer:?}")));
            } )*
        }
    };
}
portcullis_core::for_each_hostcall!(call_each);

/// A guest whose allocator does this before it allocates.
struct Allocating<'a, 'b, F> {
    guest: &'a mut NullCaller<'b>,
    allocator: F,
}

impl<F: FnMut(&mut NullCaller<'_>) -> Result<(), Trap>> Caller for Allocating<'_, '_, F> {
    fn state(&mut self) -> &mut VmState {
        self.guest.state()
    }

    fn split(&mut self) -> (&mut [u8], &mut VmState) {
        self.guest.split()
    }

    fn call_allocator(&mut self, len: u32) -> Result<u32, Trap> {
        (self.allocator)(self.guest)?;
        self.guest.call_allocator(len)
    }
}

/// Never restricted.
const FREE: [HostcallId; 2] = [HostcallId::pthread_equal, HostcallId::emscripten_notify_memory_growth];

#[test]
fn every_hostcall_that_is_not_granted_is_denied_as_its_family_denies() {
    let mut started = Setup::new()
        .granting(&["proxy_on_tick"])
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
            assert_eq!(caller.state().unimplemented_calls(), 0, "no handler ran");
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
fn a_callback_that_is_not_granted_is_as_if_it_were_not_exported() {
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
        Setup::new().granting(&["proxy_on_context_create", "proxy_on_log"]).returning(0, &exported).start();
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
        .granting(&["proxy_on_tick", "proxy_set_effective_context"])
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
    started.vm.create_stream(second, portcullis_core::StreamInfo::default().into_shared()).unwrap();
    started.vm.on_tick(started.root).unwrap();
    started.vm.on_tick(second).unwrap();
    assert_eq!(started.called(CallbackId::on_tick), 2);
}

/// Which hostcalls may not be called now.
fn restricted(caller: &mut NullCaller<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    call_each(caller, |id, answer| {
        if let Err(Trap::Restricted { hostcall, .. }) = answer {
            assert_eq!(hostcall, id);
            names.insert(id.to_string());
        }
    });
    names
}

#[test]
fn start_functions_may_log_and_use_wasi_that_has_a_meaning_by_then() {
    let (vm, _, calls, _) = Setup::new()
        .on(CallbackId::initialize, |caller, _| {
            let late = ["fd_read", "fd_seek", "fd_close", "path_open", "sched_yield", "envoy_resolve_dns"];
            let refused = |name: &&str| name.starts_with("proxy_") && *name != "proxy_log" || late.contains(name);
            let names = HOSTCALLS.iter().map(|decl| decl.name).filter(refused);
            let expected: BTreeSet<_> = names.map(str::to_owned).collect();
            let restricted = restricted(caller);
            assert_eq!(restricted, expected);
            0
        })
        .vm();
    vm.unwrap();
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[test]
fn a_restricted_hostcall_in_a_start_function_is_a_vm_that_did_not_start() {
    let (vm, ..) =
        Setup::new().try_on(CallbackId::start, |caller, _| entry::proxy_get_current_time_nanoseconds(caller, 0)).vm();
    let expected = "_start failed: the plugin called proxy_get_current_time_nanoseconds, \
                    which is not allowed before the VM has started";
    assert_eq!(vm.unwrap_err().to_string(), expected);
}

#[test]
fn a_start_function_has_no_more_rights_than_its_vm() {
    let mut setup = Setup::new();
    setup.config.capabilities = Capabilities::ALL.without(HostcallId::random_get);
    let (vm, ..) = setup
        .on(CallbackId::initialize, |caller, _| {
            assert_eq!(entry::random_get(caller, 0, 1).unwrap(), 76);
            assert_eq!(entry::proxy_log(caller, 2, 0, 0).unwrap(), 0);
            0
        })
        .vm();
    vm.unwrap();
}

/// Reads a header by a guest whose allocator does this.
fn allocate_with(
    plugin: &[&str],
    mut allocator: impl FnMut(&mut NullCaller<'_>) -> Result<(), Trap> + Send + 'static,
) -> common::Started {
    let mut started = Setup::new()
        .granting(plugin)
        .try_on(CallbackId::on_request_headers, move |caller, _| {
            let (key, len) = caller.put(b":path");
            let mut guest = Allocating { guest: caller, allocator: &mut allocator };
            let status = entry::proxy_get_header_map_value(&mut guest, 0, key, len, 8, 12)?;
            assert_eq!((status, caller.word(12)), (0, 1));
            assert_eq!(caller.acting().to_string(), "2", "the stream again");
            let _ = entry::proxy_done(caller)?;
            Ok(0)
        })
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Read);
    let _ = started.vm.on_headers(stream, Direction::Request, true);
    started
}

const READER: &[&str] = &[
    "proxy_on_request_headers",
    "proxy_get_header_map_value",
    "proxy_log",
    "proxy_done",
    "clock_time_get",
    "fd_write",
];

#[test]
fn the_allocator_may_log_and_read_the_clock_in_the_context_of_the_vm() {
    let started = allocate_with(READER, |caller| {
        assert_eq!(caller.acting().to_string(), "0");
        assert_eq!(entry::proxy_log(caller, 2, 0, 0)?, 0);
        assert_eq!(entry::fd_write(caller, 1, 0, 0, 16)?, 0);
        assert_eq!(entry::clock_time_get(caller, 0, 0, 16)?, 0);
        assert_eq!(entry::poll_oneoff(caller, 0, 0, 0, 16)?, 76, "not granted");
        entry::emscripten_notify_memory_growth(caller, 0)
    });
    assert_eq!(started.vm.failure(), None);
}

#[test]
fn a_restricted_hostcall_in_the_allocator_ends_the_vm() {
    let started = allocate_with(READER, |caller| entry::proxy_done(caller).map(drop));
    let expected = "the plugin called proxy_done, which is not allowed while the host runs the plugin's allocator";
    assert_eq!(started.vm.failure(), Some(expected));
}

#[test]
fn a_hostcall_that_is_not_granted_is_denied_in_the_allocator_too() {
    let started = allocate_with(READER, |caller| {
        assert_eq!(entry::proxy_http_call(caller, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)?, 10);
        Ok(())
    });
    assert_eq!(started.vm.failure(), None);
}

#[test]
fn an_allocator_may_call_exactly_what_the_reference_host_lets_it_call() {
    let names: Vec<_> = Capabilities::names().collect();
    let started = allocate_with(&names, |caller| {
        let restricted = restricted(caller);
        let free = HOSTCALLS.iter().map(|decl| decl.name).filter(|name| !restricted.contains(*name));
        let free: Vec<_> = free.collect::<BTreeSet<_>>().into_iter().collect();
        let expected = "clock_time_get emscripten_notify_memory_growth fd_write poll_oneoff proxy_log pthread_equal";
        assert_eq!(free.join(" "), expected);
        Ok(())
    });
    assert_eq!(started.vm.failure(), None);
}

#[test]
fn a_trap_in_the_allocator_ends_the_call() {
    let started = allocate_with(READER, |_| Err(Trap::Deadline));
    assert!(started.vm.failure().unwrap().starts_with("deadline"));
}
