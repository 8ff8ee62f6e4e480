use std::sync::{Arc, Mutex};

use crate::abi::hostcall::{HOSTCALLS, HostcallId};
use crate::engine::Caller;
use crate::engine::trap::{CallStack, Trap, WasmTrap};
use crate::fuzzing::Input;
use crate::hostcall::entry;
use crate::model::ContextId;
use crate::testing::NullCaller;

/// Texts in the guest's memory from the start, each at a multiple of 256. Arguments that hostcalls accept are among them, so that the
/// fuzzer need not find the formats first.
pub(super) const KNOWN: &[&[u8]] = &[
    b"up",
    b"configuration",
    // The pairs of a callout: `:method GET`, `:path /check`, `:authority a`.
    b"\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x06\0\0\0\x0a\0\0\0\x01\0\0\0:method\0GET\0:path\0/check\0:authority\0a\0",
    // The same with another path and method.
    b"\x03\0\0\0\x07\0\0\0\x04\0\0\0\x05\0\0\0\x0c\0\0\0\x0a\0\0\0\x01\0\0\0:method\0POST\0:path\0/check/../x\0:authority\0a\0",
    b"authorization",
    b"x-a",
    b":path",
    b"request\0headers\0authorization",
    b"request\0headers",
    b"plugin_root_id",
    b"filter_state\0wasm.k",
    b"\x0a\x04\x0a\x02up",
    b"a.Service",
    b"Method",
    b"echo",
    b"set_envoy_filter_state",
    b"vm",
    b"host.example",
    b"file",
    b"folder/../file",
    // Two vectors: the first text, and all of the memory.
    b"\0\0\0\0\x02\0\0\0\0\0\0\0\xff\xff\xff\xff",
    // The names of the foreign functions of Envoy, and messages of theirs.
    b"compress",
    b"uncompress",
    b"declare_property",
    b"verify_signature",
    b"sign",
    b"clear_route_cache",
    b"\x0a\x18envoy.tcp_proxy.cluster\x12\x02up",
    b"metric",
    b"{}",
    b"\x0a\x01k",
    b"",
];

/// How far apart the texts of [`KNOWN`] stand.
const APART: usize = 256;
/// Where results are put.
const RESULTS: usize = 0x8000;

/// The rest of the input. The events of the VM and the calls of its guest take from it in turn.
#[derive(Clone)]
pub(super) struct Left(Arc<Mutex<(Vec<u8>, usize)>>);

impl Left {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Mutex::new((bytes.to_vec(), 0))))
    }

    pub(super) fn is_empty(&self) -> bool {
        let left = self.0.lock().expect("nobody panics with it");
        left.1 >= left.0.len()
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&mut Input<'_>) -> R) -> R {
        let mut left = self.0.lock().expect("nobody panics with it");
        let (bytes, at) = &mut *left;
        let mut input = Input::new(bytes.get(*at..).unwrap_or_default());
        let result = read(&mut input);
        *at = bytes.len() - input.rest().len();
        result
    }
}

/// A guest that calls what the input says.
#[derive(Clone)]
pub(super) struct Guest {
    left: Left,
}

impl Guest {
    pub(super) fn new(left: Left) -> Self {
        Self { left }
    }

    /// Makes up to eight calls and returns some number.
    pub(super) fn run(&self, caller: &mut NullCaller<'_>) -> Result<i32, Trap> {
        for (at, text) in KNOWN.iter().enumerate() {
            if let Some(place) = caller.split().0.get_mut(at * APART..at * APART + text.len()) {
                place.copy_from_slice(text);
            }
        }
        // So the plugin starts, unless it wants not to.
        if self.left.is_empty() {
            return Ok(1);
        }
        let calls = self.left.read(|input| input.byte());
        for _ in 0..calls & 7 {
            self.call(caller)?;
        }
        match calls >> 3 {
            31 => Err(Trap::Wasm(WasmTrap::Unreachable, CallStack::default())),
            // What most callbacks mean by going on is 0, and starting wants anything else.
            result => Ok(i32::from(result) - if caller.acting() == ContextId::VM { 0 } else { 1 }),
        }
    }

    fn call(&self, caller: &mut NullCaller<'_>) -> Result<(), Trap> {
        let id = self.left.read(|input| HOSTCALLS[input.below(HOSTCALLS.len())].id);
        let mut before = 0;
        let mut argument = |name: &str| {
            before = self.left.read(|input| argument(input, name, before));
            before
        };
        macro_rules! dispatch {
            ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
                match id { $(
                    HostcallId::$name => { entry::$name(caller, $(<$ty>::from_number(argument(stringify!($arg)))),*).map(drop)?; }
                )* }
            };
        }
        crate::for_each_hostcall!(dispatch);
        Ok(())
    }
}

/// An argument by its name: a text, the length of the text before it, a small number, or any.
fn argument(input: &mut Input<'_>, name: &str, before: i64) -> i64 {
    let choice = input.byte();
    match choice {
        // What its name says, as far as it does.
        0xf0.. if name.ends_with("_len") => {
            let text = usize::try_from(before).ok().and_then(|before| KNOWN.get(before / APART));
            text.map_or(0, |text| text.len() as i64)
        }
        0xf0.. if name.starts_with("ret_") => (RESULTS + 8 * usize::from(choice & 7)) as i64,
        // The first descriptors of directories are 3 and 4.
        0xf0.. => i64::from(choice & 7),
        0xe0..0xf0 => input.number(8).cast_signed(),
        0xd0..0xe0 => i64::from((input.number(4) as u32).cast_signed()),
        0xa0..0xd0 => i64::from(choice & 0x3f),
        _ => ((usize::from(choice) % KNOWN.len()) * APART) as i64,
    }
}

trait FromNumber {
    fn from_number(number: i64) -> Self;
}

impl FromNumber for i32 {
    fn from_number(number: i64) -> Self {
        number as Self
    }
}

impl FromNumber for i64 {
    fn from_number(number: i64) -> Self {
        number
    }
}

impl FromNumber for f64 {
    fn from_number(number: i64) -> Self {
        Self::from_bits(number.cast_unsigned())
    }
}
