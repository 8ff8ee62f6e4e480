//! Modules whose guests begin in the state of a guest that has run.

use std::ops::Range;

use bytes::Bytes;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{
    ConstExpr, DataCountSection, DataSection, GlobalSection, Ieee32, Ieee64, MemorySection, Module, RawSection,
};
use wasmparser::{DataKind, DataSectionReader, GlobalSectionReader, Parser, Payload, ValType};

use super::{SnapshotError, unreadable};

/// The most bytes of memory that may be in use: each engine keeps them as part of the module, and some copy them for
/// each stream.
const LIMIT: usize = 64 << 20;

/// How exactly it is looked for what is in use: engines that share memory do so by pages of this size.
const GRAIN: usize = 4096;

const PAGE: usize = 1 << 16;

/// Returns the module with this memory, and these values of its mutable globals, in place of its data and start section.
pub(super) fn baked(wasm: &[u8], memory: &[u8], globals: &[u128]) -> Result<Bytes, SnapshotError> {
    let used = in_use(memory);
    let bytes = used.iter().map(ExactSizeIterator::len).sum();
    if bytes > LIMIT {
        return Err(SnapshotError::TooLarge { used: bytes, limit: LIMIT });
    }
    let mut module = Module::new();
    let mut data = DataSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(unreadable)?;
        match &payload {
            Payload::MemorySection(section) => {
                let mut memories = MemorySection::new();
                for ty in section.clone() {
                    let ty = RoundtripReencoder.memory_type(ty.map_err(unreadable)?).map_err(unreadable)?;
                    memories.memory(wasm_encoder::MemoryType { minimum: (memory.len() / PAGE) as u64, ..ty });
                }
                module.section(&memories);
            }
            Payload::GlobalSection(section) => {
                module.section(&with_values(section, globals)?);
            }
            // It has run.
            Payload::StartSection { .. } => {}
            Payload::DataCountSection { count, .. } => {
                let count = count.saturating_add(u32::try_from(used.len()).unwrap_or(u32::MAX));
                module.section(&DataCountSection { count });
            }
            Payload::DataSection(section) => keep_passive(section, &mut data)?,
            Payload::CustomSection(section) if section.name() != "name" => {}
            payload => {
                if let Some((id, range)) = payload.as_section() {
                    module.section(&RawSection { id, data: wasm.get(range).unwrap_or_default() });
                }
            }
        }
    }
    for range in used {
        let offset = u32::try_from(range.start).unwrap_or_default().cast_signed();
        let bytes = memory.get(range).unwrap_or_default();
        data.active(0, &ConstExpr::i32_const(offset), bytes.iter().copied());
    }
    module.section(&data);
    Ok(module.finish().into())
}

/// Returns the parts of a memory that are not zero.
fn in_use(memory: &[u8]) -> Vec<Range<usize>> {
    let mut used: Vec<Range<usize>> = Vec::new();
    for (index, grain) in memory.chunks(GRAIN).enumerate().filter(|(_, grain)| grain.iter().any(|byte| *byte != 0)) {
        let start = index * GRAIN;
        match used.last_mut() {
            Some(last) if last.end == start => last.end += grain.len(),
            _ => used.push(start..start + grain.len()),
        }
    }
    used
}

/// Encodes globals, of which the mutable ones have these values.
fn with_values(section: &GlobalSectionReader<'_>, values: &[u128]) -> Result<GlobalSection, SnapshotError> {
    let (mut globals, mut values) = (GlobalSection::new(), values.iter().copied());
    for global in section.clone() {
        let global = global.map_err(unreadable)?;
        let value = if global.ty.mutable { values.next() } else { None };
        let value = value.and_then(|value| constant(global.ty.content_type, value));
        let initial = match value {
            Some(value) => value,
            None => RoundtripReencoder.const_expr(global.init_expr).map_err(unreadable)?,
        };
        globals.global(RoundtripReencoder.global_type(global.ty).map_err(unreadable)?, &initial);
    }
    Ok(globals)
}

#[expect(clippy::cast_possible_truncation, reason = "a value has the bits of its type, and zeros above")]
fn constant(ty: ValType, bits: u128) -> Option<ConstExpr> {
    Some(match ty {
        ValType::I32 => ConstExpr::i32_const((bits as u32).cast_signed()),
        ValType::I64 => ConstExpr::i64_const((bits as u64).cast_signed()),
        ValType::F32 => ConstExpr::f32_const(Ieee32::new(bits as u32)),
        ValType::F64 => ConstExpr::f64_const(Ieee64::new(bits as u64)),
        ValType::V128 => ConstExpr::v128_const(bits.cast_signed()),
        ValType::Ref(_) => return None,
    })
}

/// Keeps the numbers of segments, and what of them can still be copied into memory: an active one is dropped when it has
/// been copied, which is the same as a passive one without bytes.
fn keep_passive(section: &DataSectionReader<'_>, data: &mut DataSection) -> Result<(), SnapshotError> {
    for segment in section.clone() {
        let segment = segment.map_err(unreadable)?;
        let bytes = match segment.kind {
            DataKind::Passive => segment.data,
            DataKind::Active { .. } => &[],
        };
        data.passive(bytes.iter().copied());
    }
    Ok(())
}
