//! gRPC callouts.

use crate::common::Setup;
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::Limits;
use portcullis_core::testing::NullCaller;

/// Where ids are written.
const RET: i32 = 16;
const NAMES: [&[u8]; 3] = [b"up", b"s", b"m"];
/// Bytes that the three names are charged as.
const NAMES_LEN: usize = 4;
/// Bytes that an empty message is charged as (docs/memory.md).
const MESSAGE: usize = 256;

fn call(caller: &mut NullCaller<'_>, message: &[u8]) -> i32 {
    let [up, service, method] = NAMES.map(|name| caller.put(name));
    let message = caller.put(message);
    entry::proxy_grpc_call(
        caller, up.0, up.1, service.0, service.1, method.0, method.1, 0, 0, message.0, message.1, 0, RET,
    )
    .unwrap()
}

fn stream(caller: &mut NullCaller<'_>) -> i32 {
    let [up, service, method] = NAMES.map(|name| caller.put(name));
    entry::proxy_grpc_stream(caller, up.0, up.1, service.0, service.1, method.0, method.1, 0, 0, RET).unwrap()
}

fn send(caller: &mut NullCaller<'_>, message: &[u8]) -> i32 {
    let (id, message) = (caller.word(16).cast_signed(), caller.put(message));
    entry::proxy_grpc_send(caller, id, message.0, message.1, 0).unwrap()
}

/// Whether the operator was told that the budget is used up, in a callback with room for `room` bytes.
fn is_told(room: usize, mut run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> bool {
    let mut setup = Setup::new();
    setup.config.vm.limits.buffers = room;
    setup.config.vm.limits.callouts = 2;
    let started = setup.during(CallbackId::on_tick, move |caller| run(caller));
    started.host.messages().iter().any(|line| line.starts_with("limits.buffers is used up: "))
}

#[test]
fn what_the_budget_of_the_sandbox_has_no_room_for_is_told() {
    const OPEN: usize = Limits::ENTRY_COST + NAMES_LEN;
    assert!(is_told(OPEN - 1, |caller| assert_eq!(stream(caller), 10)));
    assert!(is_told(OPEN + MESSAGE, |caller| assert_eq!((call(caller, b""), call(caller, b"x")), (0, 10))));
    assert!(is_told(OPEN + MESSAGE + 4, |caller| assert_eq!(call(caller, b"12345"), 10)));
    assert!(is_told(OPEN + MESSAGE, |caller| assert_eq!((stream(caller), send(caller, b"x")), (0, 2))));
    assert!(!is_told(OPEN + MESSAGE, |caller| assert_eq!((stream(caller), send(caller, b"")), (0, 0))));
}

#[test]
fn a_limit_of_one_vm_is_the_plugins_own_affair() {
    assert!(!is_told(1 << 20, |caller| {
        assert_eq!([stream(caller), stream(caller), stream(caller)], [0, 0, 10], "two at once");
    }));
}
