//! Calls that nobody may make now: in start functions and in the allocator.

use std::collections::BTreeSet;

use crate::common::{Setup, get};
use portcullis_core::abi::{CallbackId, HOSTCALLS, HostcallId};
use portcullis_core::engine::{CallStack, Caller, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Direction};
use portcullis_core::rights::Capabilities;
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::VmState;

macro_rules! call_each {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        /// Calls every hostcall with zeros; gives the trap of those that do.
        fn call_each(caller: &mut impl Caller, mut see: impl FnMut(HostcallId, Result<(), Trap>)) {
            $( {
                let answer = entry::$name(caller, $(<$ty>::default()),*);
                see(HostcallId::$name, answer.map(drop));
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

/// Returns the hostcalls that may not be called now.
fn not_callable(caller: &mut NullCaller<'_>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    call_each(caller, |id, answer| {
        if let Err(Trap::NotCallable { hostcall, .. }) = answer {
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
            let refused = not_callable(caller);
            assert_eq!(refused, expected);
            0
        })
        .vm();
    vm.unwrap();
    assert_eq!(calls.lock().unwrap().len(), 1);
}

#[test]
fn a_hostcall_too_early_in_a_start_function_is_a_vm_that_did_not_start() {
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

fn iovs(caller: &mut NullCaller<'_>, text: &[u8]) -> i32 {
    let (pointer, len) = caller.put(text);
    caller.put(&[pointer.to_le_bytes(), len.to_le_bytes()].concat()).0
}

/// Reads a header by a guest whose allocator does this.
fn allocate_with(
    plugin: &[&str],
    mut allocator: impl FnMut(&mut NullCaller<'_>) -> Result<(), Trap> + Send + 'static,
) -> crate::common::Started {
    let mut started = Setup::new()
        .with_rights(plugin)
        .try_on(CallbackId::on_request_headers, move |caller, _| {
            let (key, len) = caller.put(b":path");
            let mut guest = Allocating { guest: caller, allocator: &mut allocator };
            let status = entry::proxy_get_header_map_value(&mut guest, 0, key, len, 8, 12)?;
            assert_eq!((status, caller.word(12)), (0, 1));
            let at = usize::try_from(caller.word(8)).unwrap();
            assert_eq!(caller.split().0[at], b'/', "what the allocator wrote is not what is read");
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
        let iovs = iovs(caller, b"x");
        assert_eq!(entry::fd_write(caller, 1, iovs, 1, 16)?, 0);
        assert_eq!(entry::clock_time_get(caller, 0, 0, 16)?, 0);
        assert_eq!(entry::poll_oneoff(caller, 0, 0, 0, 16)?, 76, "no right to it");
        entry::emscripten_notify_memory_growth(caller, 0)
    });
    assert_eq!(started.vm.failure(), None);
}

#[test]
fn a_hostcall_that_the_allocator_may_not_make_ends_the_vm() {
    let started = allocate_with(READER, |caller| entry::proxy_done(caller).map(drop));
    let expected = "the plugin called proxy_done, which is not allowed while the host runs the plugin's allocator";
    assert_eq!(started.vm.failure(), Some(expected));
}

#[test]
fn a_hostcall_outside_the_rights_is_denied_in_the_allocator_too() {
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
        let refused = not_callable(caller);
        let free = HOSTCALLS.iter().map(|decl| decl.name).filter(|name| !refused.contains(*name));
        let free: Vec<_> = free.collect::<BTreeSet<_>>().into_iter().collect();
        let expected = "clock_time_get emscripten_notify_memory_growth fd_write poll_oneoff proxy_log pthread_equal";
        assert_eq!(free.join(" "), expected);
        Ok(())
    });
    assert_eq!(started.vm.failure(), None);
}

#[test]
fn a_trap_in_the_allocator_ends_the_call() {
    let started = allocate_with(READER, |_| Err(Trap::Deadline(CallStack::default())));
    assert!(started.vm.failure().unwrap().starts_with("deadline"));
}
