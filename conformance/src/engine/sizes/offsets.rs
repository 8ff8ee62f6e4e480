//! Instructions on memory with large offsets, which run when the VM starts.

use wasm_encoder::{InstructionSink, MemArg, ValType};

use super::dimension::Dimension;
use super::parts::{PLAIN, Parts};

/// Pages of memory: as many as the largest accepted offset needs.
const PAGES: u64 = 3;

/// Offsets about what 16 bits hold, within memory.
const OFFSETS: &[u32] = &[0, 65_535, 65_536, 131_071, 196_592];

type Write = fn(&mut InstructionSink<'_>, MemArg);

/// Runs an instruction at an address that is a constant, and at one that is not.
fn at(parts: &mut Parts, offset: u32, value: Option<ValType>, write: Write) {
    parts.memory.minimum = PAGES;
    let locals = vec![(1, ValType::I32), (1, value.unwrap_or(ValType::I32))];
    let memarg = MemArg { offset: offset.into(), align: 0, memory_index: 0 };
    let function = parts.function(PLAIN, locals, |sink| {
        for is_constant in [true, false] {
            if is_constant {
                sink.i32_const(0);
            } else {
                sink.local_get(0);
            }
            if value.is_some() {
                sink.local_get(1);
            }
            write(sink, memarg);
        }
    });
    parts.start = Some(function);
}

macro_rules! dimensions {
    ( $( $name:literal, $value:expr, $refused:expr, $write:expr; )* ) => {
        &[ $( Dimension {
            name: concat!("offset of ", $name),
            accepted: if $refused.is_empty() { OFFSETS } else { &[0, 65_535] },
            refused: $refused,
            write: |parts, offset| at(parts, offset, $value, $write),
        } ),* ]
    };
}

const NONE: &[u32] = &[];
const BEYOND_16_BITS: &[u32] = &[65_536, 131_071, u32::MAX];

pub(super) const DIMENSIONS: &[Dimension] = dimensions! {
    "i32.load", None, NONE, |sink, at| {
        sink.i32_load(at).drop();
    };
    "i64.load", None, NONE, |sink, at| {
        sink.i64_load(at).drop();
    };
    "f32.load", None, NONE, |sink, at| {
        sink.f32_load(at).drop();
    };
    "f64.load", None, NONE, |sink, at| {
        sink.f64_load(at).drop();
    };
    "i32.load8_s", None, NONE, |sink, at| {
        sink.i32_load8_s(at).drop();
    };
    "i32.load8_u", None, NONE, |sink, at| {
        sink.i32_load8_u(at).drop();
    };
    "i32.load16_s", None, NONE, |sink, at| {
        sink.i32_load16_s(at).drop();
    };
    "i32.load16_u", None, NONE, |sink, at| {
        sink.i32_load16_u(at).drop();
    };
    "i64.load8_s", None, NONE, |sink, at| {
        sink.i64_load8_s(at).drop();
    };
    "i64.load8_u", None, NONE, |sink, at| {
        sink.i64_load8_u(at).drop();
    };
    "i64.load16_s", None, NONE, |sink, at| {
        sink.i64_load16_s(at).drop();
    };
    "i64.load16_u", None, NONE, |sink, at| {
        sink.i64_load16_u(at).drop();
    };
    "i64.load32_s", None, NONE, |sink, at| {
        sink.i64_load32_s(at).drop();
    };
    "i64.load32_u", None, NONE, |sink, at| {
        sink.i64_load32_u(at).drop();
    };
    "v128.load", None, NONE, |sink, at| {
        sink.v128_load(at).drop();
    };
    "v128.load8x8_s", None, NONE, |sink, at| {
        sink.v128_load8x8_s(at).drop();
    };
    "v128.load8x8_u", None, NONE, |sink, at| {
        sink.v128_load8x8_u(at).drop();
    };
    "v128.load16x4_s", None, NONE, |sink, at| {
        sink.v128_load16x4_s(at).drop();
    };
    "v128.load16x4_u", None, NONE, |sink, at| {
        sink.v128_load16x4_u(at).drop();
    };
    "v128.load32x2_s", None, NONE, |sink, at| {
        sink.v128_load32x2_s(at).drop();
    };
    "v128.load32x2_u", None, NONE, |sink, at| {
        sink.v128_load32x2_u(at).drop();
    };
    "v128.load8_splat", None, NONE, |sink, at| {
        sink.v128_load8_splat(at).drop();
    };
    "v128.load16_splat", None, NONE, |sink, at| {
        sink.v128_load16_splat(at).drop();
    };
    "v128.load32_splat", None, NONE, |sink, at| {
        sink.v128_load32_splat(at).drop();
    };
    "v128.load64_splat", None, NONE, |sink, at| {
        sink.v128_load64_splat(at).drop();
    };
    "v128.load32_zero", None, NONE, |sink, at| {
        sink.v128_load32_zero(at).drop();
    };
    "v128.load64_zero", None, NONE, |sink, at| {
        sink.v128_load64_zero(at).drop();
    };
    "i32.store", Some(ValType::I32), NONE, |sink, at| {
        sink.i32_store(at);
    };
    "i64.store", Some(ValType::I64), NONE, |sink, at| {
        sink.i64_store(at);
    };
    "f32.store", Some(ValType::F32), NONE, |sink, at| {
        sink.f32_store(at);
    };
    "f64.store", Some(ValType::F64), NONE, |sink, at| {
        sink.f64_store(at);
    };
    "i32.store8", Some(ValType::I32), NONE, |sink, at| {
        sink.i32_store8(at);
    };
    "i32.store16", Some(ValType::I32), NONE, |sink, at| {
        sink.i32_store16(at);
    };
    "i64.store8", Some(ValType::I64), NONE, |sink, at| {
        sink.i64_store8(at);
    };
    "i64.store16", Some(ValType::I64), NONE, |sink, at| {
        sink.i64_store16(at);
    };
    "i64.store32", Some(ValType::I64), NONE, |sink, at| {
        sink.i64_store32(at);
    };
    "v128.store", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_store(at);
    };
    "v128.load8_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_load8_lane(at, 1).drop();
    };
    "v128.load16_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_load16_lane(at, 1).drop();
    };
    "v128.load32_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_load32_lane(at, 1).drop();
    };
    "v128.load64_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_load64_lane(at, 1).drop();
    };
    "v128.store8_lane", Some(ValType::V128), BEYOND_16_BITS, |sink, at| {
        sink.v128_store8_lane(at, 1);
    };
    "v128.store16_lane", Some(ValType::V128), BEYOND_16_BITS, |sink, at| {
        sink.v128_store16_lane(at, 1);
    };
    "v128.store32_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_store32_lane(at, 1);
    };
    "v128.store64_lane", Some(ValType::V128), NONE, |sink, at| {
        sink.v128_store64_lane(at, 1);
    };
};
