//! Pointers: whatever a guest gives, nothing panics, and only its memory is touched.

use std::sync::{Arc, Mutex};

use crate::common::{Setup, during};
use portcullis_core::abi::{CallbackId, HostcallId};
use portcullis_core::engine::{Caller, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::resources::ForeignFunctions;
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::VmState;
use proptest::prelude::*;

/// A guest with a memory of its own between two guards, and an allocator that gives any address.
struct Small<'a, 'b> {
    guest: &'a mut NullCaller<'b>,
    bytes: Vec<u8>,
    allocated: u32,
}

const GUARD: usize = 64;
const SIZE: usize = 256;

impl<'a, 'b> Small<'a, 'b> {
    fn new(guest: &'a mut NullCaller<'b>, allocated: u32) -> Self {
        Self { guest, bytes: vec![0xAA; SIZE + 2 * GUARD], allocated }
    }

    fn is_intact(&self) -> bool {
        let (before, rest) = self.bytes.split_at(GUARD);
        before.iter().chain(&rest[SIZE..]).all(|byte| *byte == 0xAA) && self.bytes.len() == SIZE + 2 * GUARD
    }
}

impl Caller for Small<'_, '_> {
    fn state(&mut self) -> &mut VmState {
        self.guest.state()
    }

    fn split(&mut self) -> (&mut [u8], &mut VmState) {
        (&mut self.bytes[GUARD..GUARD + SIZE], self.guest.state())
    }

    fn call_allocator(&mut self, _: u32) -> Result<u32, Trap> {
        Ok(self.allocated)
    }
}

/// Makes an argument of its name.
trait Argument: Sized {
    fn from_number(number: i64) -> Self;
}

impl Argument for i32 {
    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn from_number(number: i64) -> Self {
        number as Self
    }
}

impl Argument for i64 {
    fn from_number(number: i64) -> Self {
        number
    }
}

impl Argument for f64 {
    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    fn from_number(number: i64) -> Self {
        number as Self
    }
}

macro_rules! call {
    ($( [$($module:literal),*] $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        /// Calls a hostcall with arguments that are made from their position and name.
        #[allow(unused_mut, unused_variables, unused_assignments, reason = "some have no arguments")]
        fn call(caller: &mut impl Caller, id: HostcallId, argument: impl Fn(usize, &str) -> i64) -> Result<String, Trap> {
            match id {
                $( HostcallId::$name => {
                    let mut position = 0;
                    $(
                        let $arg = <$ty>::from_number(argument(position, stringify!($arg)));
                        position += 1;
                    )*
                    entry::$name(caller, $($arg),*).map(|answer| format!("{answer:?}"))
                } )*
                other => unreachable!("{other} is no row of the table"),
            }
        }

        const ROWS: &[(HostcallId, &[&str])] = &[$((HostcallId::$name, &[$(stringify!($arg)),*])),*];
    };
}
portcullis_core::for_each_hostcall!(call);

const BAD: i64 = 0xffff_fff0;

/// Where a good pointer points, by the parameter's name; nothing for what is no pointer.
fn good(name: &str) -> Option<i64> {
    match name {
        // Each input reads `name`, which is an upstream, a header, a metric and a property below.
        "message" | "path" | "value" | "details" | "body" | "headers" | "key" | "pairs" | "data" | "upstream"
        | "trailers" | "name" | "arguments" => Some(256),
        // One empty vector.
        "iovs" => Some(512),
        "buf" | "environ" | "environ_buf" | "subscriptions" | "events" => Some(1024),
        _ if name.starts_with("ret_") => Some(2048),
        _ => None,
    }
}

const NAME: &[u8] = b"plugin_name";

fn number(name: &str) -> i64 {
    match name {
        "fd" | "iovs_len" | "queue" | "count" => 1,
        // The caller's own.
        "vm_id_len" => 0,
        "code" => 200,
        "metric" => 4,
        "max_len" | "len" => 100,
        _ if name.ends_with("_len") => 11,
        _ => 0,
    }
}

#[test]
fn each_bad_pointer_is_answered_as_such_and_nothing_else_is_wrong() {
    use HostcallId as H;
    // They have nothing to write, or another answer to any pointer, or a value of that name.
    let untouched = [
        H::args_get,
        H::fd_prestat_get,
        H::fd_filestat_get,
        H::proxy_record_metric,
        H::abort,
        H::trace,
        H::emscripten_notify_memory_growth,
        // A plugin has no files and sockets, wherever it points.
        H::fd_read,
        H::fd_pread,
        H::fd_prestat_dir_name,
        H::fd_readdir,
        H::path_open,
        H::path_create_directory,
        H::path_filestat_get,
        H::path_filestat_set_times,
        H::path_link,
        H::path_readlink,
        H::path_remove_directory,
        H::path_rename,
        H::path_symlink,
        H::path_unlink_file,
        H::sock_accept,
        H::sock_recv,
        H::sock_send,
    ];
    let mut setup = Setup::new();
    setup.host = setup.host.with_upstream("plugin_name");
    setup.config.vm.environment = vec![("K".into(), "v".into())];
    setup.config.foreign = ForeignFunctions::default().with("plugin_name", |_| Ok(()));
    setup.during(CallbackId::on_request_body, move |caller| {
        caller.split().0[256..256 + NAME.len()].copy_from_slice(NAME);
        assert_eq!(entry::proxy_define_metric(caller, 0, 256, 11, 2048).unwrap(), 0);
        assert_eq!(entry::proxy_set_shared_data(caller, 256, 11, 256, 11, 0).unwrap(), 0);
        assert_eq!(entry::proxy_register_shared_queue(caller, 256, 11, 2048).unwrap(), 0);
        assert_eq!(entry::proxy_enqueue_shared_queue(caller, 1, 256, 11).unwrap(), 0);
        let mut pointers = 0;
        for (id, names) in ROWS {
            if untouched.contains(id) || is_header(*id) {
                continue;
            }
            let bad_memory = if id.decl().modules == ["env"] { "6" } else { "21" };
            for (bad, name) in names.iter().enumerate().filter(|(_, name)| good(name).is_some()) {
                pointers += 1;
                let argument = |position, name: &str| match good(name) {
                    Some(_) if position == bad => BAD,
                    Some(pointer) => pointer,
                    None => number(name),
                };
                assert_eq!(call(caller, *id, argument).unwrap(), bad_memory, "{id}: {name}");
            }
        }
        assert!(pointers > 40, "{pointers}");
    });
}

/// Their map is not there in a body callback; they have a test of their own.
fn is_header(id: HostcallId) -> bool {
    id.decl().name.contains("header_map")
}

#[test]
fn each_bad_pointer_of_a_header_hostcall_is_answered_as_such() {
    during(CallbackId::on_request_headers, |caller| {
        caller.split().0[256..259].copy_from_slice(b"t\0x");
        caller.add_header(portcullis_core::abi::MapType::RequestHeaders, "t", "1");
        for (id, names) in ROWS.iter().filter(|(id, _)| is_header(*id)) {
            for (bad, bad_name) in names.iter().enumerate().filter(|(_, name)| good(name).is_some()) {
                let argument = |position, name: &str| match good(name) {
                    Some(_) if position == bad => BAD,
                    Some(pointer) => pointer,
                    None if name.ends_with("_len") => 1,
                    None => 0,
                };
                assert_eq!(call(caller, *id, argument).unwrap(), "6", "{id}: {bad_name}");
            }
        }
    });
}

#[test]
fn a_bad_address_from_the_allocator_is_bad_memory() {
    during(CallbackId::on_request_body, |caller| {
        for allocated in [0, 252, 256, u32::MAX] {
            let mut small = Small::new(caller, allocated);
            assert_eq!(entry::proxy_get_buffer_bytes(&mut small, 0, 0, 5, 8, 12).unwrap(), 6, "{allocated}");
            assert!(small.bytes.iter().all(|byte| *byte == 0xAA), "nothing is written");
        }
        let mut small = Small::new(caller, 251);
        assert_eq!(entry::proxy_get_buffer_bytes(&mut small, 0, 0, 5, 8, 12).unwrap(), 0, "up to the last byte");
        assert_eq!(&small.bytes[GUARD + 251..][..6], b"hello\xAA");
        let mut small = Small::new(caller, 0);
        assert_eq!(entry::proxy_get_buffer_bytes(&mut small, 0, 0, 0, 8, 12).unwrap(), 0, "no allocation of 0");
    });
}

/// Small numbers, which are mostly good, the ends of the memory, and any.
fn number_near_an_edge() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..16_i64,
        4 => 0..300_i64,
        1 => proptest::sample::select(vec![-1, i64::from(i32::MIN), i64::from(i32::MAX), 255, 256, 257, i64::MIN]),
        1 => any::<i64>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_argument_panics_and_none_leads_outside_the_memory(
        callback in proptest::sample::select(vec![
            CallbackId::on_configure, CallbackId::on_tick, CallbackId::on_request_headers, CallbackId::on_response_body,
            CallbackId::on_request_trailers, CallbackId::on_http_call_response, CallbackId::on_log,
        ]),
        content in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 3 => 0..16_u8, 1 => any::<u8>()], SIZE),
        calls in proptest::collection::vec(
            (0..ROWS.len(), proptest::collection::vec(number_near_an_edge(), 12), 0..300_u32), 1..60,
        ),
    ) {
        let intact = Arc::new(Mutex::new(Vec::new()));
        let results = Arc::clone(&intact);
        let total = calls.len();
        let mut started = Setup::new().during(callback, move |caller| {
            let mut small = Small::new(caller, 0);
            small.bytes[GUARD..GUARD + SIZE].copy_from_slice(&content);
            for (row, arguments, allocated) in &calls {
                small.allocated = *allocated;
                let _ = call(&mut small, ROWS[*row].0, |position, _| arguments[position]);
                results.lock().unwrap().push(small.is_intact());
            }
        });
        let intact = std::mem::take(&mut *intact.lock().unwrap());
        prop_assert_eq!(intact.len(), total);
        prop_assert!(intact.iter().all(|intact| *intact));
        started.actions();
        prop_assert!(started.vm.on_tick(started.root).is_ok(), "the VM lives on");
    }
}
