//! Every hostcall that hands bytes to the guest, with every kind of allocator.

use portcullis::abi::{HOSTCALLS, HostcallId};
use portcullis::engine::AnyEngine;
use portcullis::model::Direction;
use portcullis::module::Bytecode;
use portcullis::resources::ForeignFunctions;

use super::edge_guest::{self, ALLOCATED, SIZE};
use super::parameters;
use crate::engine::running::{Running, Setup};

/// An allocator, and the outcome of calling it.
struct Allocator {
    what: &'static str,
    code: String,
    outcome: Outcome,
}

/// Returns the reports of the guest, and whether it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The bytes, at this address.
    Bytes(u64),
    /// Address and length, which stand where the bytes stood.
    Words(u64),
    /// Bad memory, and nothing is written.
    Refused,
    /// The VM ends, for this reason.
    Ends(&'static str),
}

/// Returns each hostcall that calls the allocator.
pub(super) fn hostcalls() -> impl Iterator<Item = HostcallId> {
    // The status of a callout has a message only where one ends.
    let ids = HOSTCALLS.iter().map(|decl| decl.id).filter(|id| *id != HostcallId::proxy_get_status);
    ids.filter(|id| return_pointer(*id).is_some())
}

/// Runs a hostcall with all of them.
///
/// # Panics
/// Something else happens than should.
pub(super) fn run(hostcall: HostcallId, engine: &dyn AnyEngine) {
    let honest = format!("(i32.const {ALLOCATED})");
    let (guest, lived) = call(hostcall, engine, &honest);
    let seen = guest.seen();
    let [status, address, len, bytes] = &seen[..] else { panic!("no bytes, but {seen:?}") };
    assert_eq!((lived, status.as_str(), address), (true, "0", &ALLOCATED.to_string()));
    for Allocator { what, code, outcome } in allocators(hostcall, len.parse().unwrap()) {
        let (guest, lived) = call(hostcall, engine, &code);
        let seen = guest.seen();
        let is_right = match outcome {
            Outcome::Bytes(at) => seen == ["0", &at.to_string(), len, bytes],
            Outcome::Words(at) => seen[..3] == ["0", &at.to_string(), len],
            Outcome::Refused => seen == ["6", UNTOUCHED, UNTOUCHED],
            Outcome::Ends(reason) => seen.is_empty() && guest.failure().contains(reason),
        };
        assert_eq!(lived, !matches!(outcome, Outcome::Ends(_)), "{what}: {:?}", guest.vm.failure());
        assert!(is_right, "{what}: {seen:?}, but should be {outcome:?}");
    }
}

/// Contents of memory before the call.
const UNTOUCHED: &str = "-1515870811";

fn allocators(hostcall: HostcallId, len: u64) -> Vec<Allocator> {
    let words = return_pointer(hostcall).unwrap_or_default();
    let at = |what, address: u64, outcome| Allocator { what, code: format!("(i32.const {address})"), outcome };
    let does = |what, code: &str, outcome| Allocator { what, code: code.to_owned(), outcome };
    let again = edge_guest::good_call(hostcall);
    vec![
        at("it has nothing", 0, Outcome::Refused),
        at("one byte fits", SIZE - 1, Outcome::Refused),
        at("all but one byte fits", SIZE - len + 1, Outcome::Refused),
        at("all fits, just so", SIZE - len, Outcome::Bytes(SIZE - len)),
        at("it gives what is behind memory", SIZE, Outcome::Refused),
        at("it gives half of what can be addressed", 0x8000_0000, Outcome::Refused),
        at("it gives the last address that there is", 0xffff_ffff, Outcome::Refused),
        at("it gives an address where a sum would overflow", 0x1_0000_0000 - len, Outcome::Refused),
        at("it gives an odd address", ALLOCATED + 1, Outcome::Bytes(ALLOCATED + 1)),
        at("it gives the place of address and length", words, Outcome::Words(words)),
        does("it grows memory", "(i32.shl (memory.grow (i32.const 1)) (i32.const 16))", Outcome::Bytes(SIZE)),
        does(
            "it grows memory by much, and gives its end",
            "(drop (memory.grow (i32.const 500)))
             (i32.sub (i32.shl (memory.size) (i32.const 16)) (local.get 0))",
            Outcome::Bytes(SIZE + (500 << 16) - len),
        ),
        does(
            "it grows memory beyond its maximum",
            "(drop (memory.grow (i32.const 510))) (i32.shl (memory.grow (i32.const 1)) (i32.const 16))",
            Outcome::Refused,
        ),
        does("it fails", "unreachable", Outcome::Ends("trap: unreachable")),
        does("it leaves memory", "(i32.load (i32.const -1))", Outcome::Ends("trap: out of bounds memory access")),
        does(
            "it calls what calls it",
            &format!("(drop {again}) (i32.const {ALLOCATED})"),
            Outcome::Ends("which is not allowed while the host runs the plugin's allocator"),
        ),
    ]
}

/// Returns where the guest wants the address; the length follows.
fn return_pointer(hostcall: HostcallId) -> Option<u64> {
    let index = parameters::of(hostcall).iter().position(|(name, _)| *name == "ret_ptr")?;
    Some(edge_guest::output(index))
}

fn call(hostcall: HostcallId, engine: &dyn AnyEngine, allocator: &str) -> (Running, bool) {
    let wasm = wat::parse_str(edge_guest::allocating(hostcall, allocator)).unwrap();
    let bytecode = Bytecode::judge(&wasm).unwrap();
    let foreign = ForeignFunctions::default().with("echo", |call| {
        call.result.extend_from_slice(call.arguments);
        Ok(())
    });
    let setup = Setup { foreign, configuration: "for the VM".into(), ..Setup::default() };
    let mut guest = Running::start(&*engine.load(&bytecode).unwrap(), bytecode.abi, setup).unwrap();
    let stream = guest.open(&[(":path", "/some")]);
    guest.lend_body(stream, Direction::Request, "hello");
    let lived = guest.headers(stream).is_ok();
    (guest, lived)
}
