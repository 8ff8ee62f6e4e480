//! Arguments of hostcalls: mostly those that they expect, by the names of their parameters, and
//! otherwise what is likely to be mistaken.

use portcullis::abi::{HostcallId, ValType};
use proptest::prelude::*;

/// How an argument is chosen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    /// One of several fitting values.
    Fitting(u8),
    /// An edge of memory or of a type.
    Edge(u8),
    /// Anything.
    Any(i64),
}

/// Contents of the guest's memory, as the text format writes them.
pub(super) const DATA: &[(u32, &str)] = &[
    (1024, ":authority"),
    (1040, "x-a"),
    (1048, "value of a header"),
    // Pairs: `x-a` twice.
    (1072, r"\02\00\00\00\03\00\00\00\01\00\00\00\03\00\00\00\00\00\00\00x-a\001\00x-a\00\00"),
    // Pairs whose length is wrong.
    (1120, r"\02\00\00\00\03\00\00\00\ff\00\00\00"),
    // A request's pairs.
    (1136, r"\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\0a\00\00\00\01\00\00\00"),
    (1164, r":method\00GET\00:path\00/\00:authority\00a\00"),
    (1208, "auth"),
    (1216, "plugin_root_id"),
    (1232, r"request\00path"),
    (1248, "filter_state_key"),
    (1268, "a_metric"),
    (1280, "another_metric"),
    // Two vectors of bytes, the second beyond memory.
    (1296, r"\00\04\00\00\0a\00\00\00\f0\ff\00\00\20\00\00\00"),
    // A string of AssemblyScript's, behind its length.
    (1312, r"\04\00\00\00h\00i\00"),
];

/// Addresses and lengths of what lies there.
const REGIONS: &[(i64, i64)] = &[
    (1024, 10),
    (1040, 3),
    (1048, 17),
    (1072, 31),
    (1120, 12),
    (1136, 62),
    (1208, 4),
    (1216, 14),
    (1232, 12),
    (1248, 16),
    (1268, 8),
    (1280, 14),
    (1296, 1),
    (1316, 4),
    (0, 0),
];

const EDGES: &[i64] = &[
    0,
    1,
    -1,
    3,
    4,
    1000,
    65_528,
    65_532,
    65_533,
    65_535,
    65_536,
    65_537,
    131_072,
    1 << 20,
    i32::MAX as i64,
    i32::MIN as i64,
    -4,
    -65_536,
    i64::MAX,
    i64::MIN,
];

pub(super) fn choices() -> impl Strategy<Value = Choice> {
    prop_oneof![
        12 => any::<u8>().prop_map(Choice::Fitting),
        2 => any::<u8>().prop_map(Choice::Edge),
        1 => any::<i64>().prop_map(Choice::Any),
    ]
}

/// Returns a hostcall's arguments, as the bits of their types.
pub(super) fn values(id: HostcallId, choices: &[Choice]) -> Vec<i64> {
    let names = PARAMETERS.get(id as usize).copied().unwrap_or_default();
    let mut values = Vec::new();
    let mut length = 0;
    for (at, (name, ty)) in names.iter().zip(id.decl().params).enumerate() {
        let has_length = names.get(at + 1).is_some_and(|next| next.strip_suffix("_len") == Some(name));
        let value = match choices.get(at) {
            Some(Choice::Fitting(choice)) => {
                let (value, of_length) = fitting(name, has_length, length, usize::from(*choice));
                length = of_length;
                value
            }
            Some(Choice::Edge(choice)) => pick(EDGES, usize::from(*choice)),
            Some(Choice::Any(value)) => *value,
            None => 0,
        };
        values.push(if *ty == ValType::I32 { i64::from(value as i32) } else { value });
    }
    values
}

/// Returns a value for a parameter; and the length that belongs to it, or else the one before.
fn fitting(name: &str, has_length: bool, length: i64, choice: usize) -> (i64, i64) {
    if has_length {
        return pick(REGIONS, choice);
    }
    let value = match name {
        _ if name.ends_with("_len") => length,
        _ if name.starts_with("ret_") => pick(&[0, 4, 8, 2048, 2052, 1040, 513], choice),
        "argv" | "argv_buf" | "environ" | "environ_buf" | "buf" | "stat" => pick(&[2048, 2100, 1024], choice),
        "iovs" => 1296,
        "iovs_len" => pick(&[1, 2, 0], choice),
        "delta" | "value" => pick(&[1, -1, 7, 0], choice),
        "message" | "file" => 1316,
        "context" => pick(&[0, 1, 2, 3, 4], choice),
        "timeout" | "period" => pick(&[0, 1, 1000, -1], choice),
        // Ids of metrics tell their type.
        "metric" => pick(&[0, 1, 2, 4, 5, 6, 8], choice),
        "code" => pick(&[200, 403, 503, 0, 100], choice),
        "grpc_status" => pick(&[-1, 0, 7], choice),
        "buf_len" | "max_len" | "len" | "start" => pick(&[0, 1, 5, 100, i64::from(i32::MAX)], choice),
        _ => pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], choice),
    };
    (value, length)
}

fn pick<T: Copy + Default>(from: &[T], choice: usize) -> T {
    choice.checked_rem(from.len()).and_then(|index| from.get(index)).copied().unwrap_or_default()
}

macro_rules! parameters {
    ($( $modules:tt $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty, $since:ident ..= $until:ident => $handler:ident $columns:tt; )*) => {
        /// The names of the parameters of each hostcall.
        const PARAMETERS: &[&[&str]] = &[$(&[$(stringify!($arg)),*]),*];
    };
}
portcullis_core::for_each_hostcall!(parameters);
