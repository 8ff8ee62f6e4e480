//! Functions: validated in the one pass that reads them, and held to bounds of the engines that validation does not know.

use wasmparser::{BinaryReader, FuncValidator, FunctionBody, ValType, WasmModuleResources};

use super::error::BytecodeError;

/// Targets of a `br_table`, its default not counted.
///
/// Cranelift for aarch64 branches over a table, to its default, with a branch that reaches 1 MiB, which a table of 262,000
/// targets exceeds. Before version 0.135.8 nothing checks that in a release build: the branch leaves the module. wasmtime
/// and browsers refuse more than this themselves; wasmer does not.
pub(crate) const BR_TABLE_TARGETS: u32 = 65_520;

/// The offset of `v128.store8_lane` and `v128.store16_lane`.
///
/// wasmi 2.0.0 writes these two, with an offset that 16 bits do not hold, in another shape than it reads them, and so goes on in
/// the middle of an instruction. Only a build with debug assertions notices: else a plugin would choose what the interpreter
/// reads next.
const LANE_OFFSET: u64 = 65_535;

/// Parameters and locals; wasmi takes no more.
const LOCALS: u64 = 30_000;

/// Places in a frame of wasmi, which numbers them with 16 bits. It counts a local twice, a vector among them thrice, and an operand
/// once, or twice if it is a vector.
const PLACES: u64 = 65_535;

/// Bytes of a body, which validators hold it to. wasmer validates what is left when the checks of limits are in it.
const BYTES: u64 = 7_654_321;

/// The most bytes that those checks take at the beginning of a function, at a loop, and at an instruction that works on many bytes.
const CHECK: u64 = 64;

/// Functions of fewer bytes keep to the bounds of tables and bytes, whatever is in them.
const SMALL: usize = BR_TABLE_TARGETS as usize;

const LOOP: u8 = 0x03;
const BR_TABLE: u8 = 0x0e;
const CALL: u8 = 0x10;
const MEMORY_GROW: u8 = 0x40;
const REF_FUNC: u8 = 0xd2;
/// Instructions on vectors, and those of them that have a [`LANE_OFFSET`].
const VECTOR: u8 = 0xfd;
const STORE8_LANE: u32 = 0x58;
const STORE16_LANE: u32 = 0x59;
/// Instructions on many bytes, and few others.
const BULK: u8 = 0xfc;

/// Validates a function and checks its bounds.
pub(super) fn check(
    function: &mut FuncValidator<impl WasmModuleResources>,
    body: &FunctionBody<'_>,
) -> Result<(), BytecodeError> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    reader.set_features(*function.features());
    let (bytes, range, index) = (body.as_bytes(), body.range(), function.index());
    let limit = |what, count, limit, offset| match count > limit {
        true => Err(BytecodeError::FunctionLimit { function: index, what, count, limit, offset }),
        false => Ok(()),
    };
    limit("parameters and locals", function.len_locals().into(), LOCALS, range.start)?;
    let is_small = bytes.len() <= SMALL;
    let (mut size, mut operands) = (bytes.len() as u64 + CHECK, 0);
    while !reader.eof() {
        let offset = reader.original_position();
        if bytes.get(offset - range.start) == Some(&VECTOR) {
            lane_offset(reader.clone(), index)?;
        }
        if !is_small {
            match bytes.get(offset - range.start) {
                Some(&BR_TABLE) => {
                    limit("targets in a br_table", targets(reader.clone())?, BR_TABLE_TARGETS.into(), offset)?;
                }
                Some(&(LOOP | MEMORY_GROW | BULK)) => size += CHECK,
                // The index of a function may take a byte more.
                Some(&(CALL | REF_FUNC)) => size += 1,
                _ => {}
            }
        }
        reader.visit_operator(&mut function.visitor(offset))??;
        operands = operands.max(function.operand_stack_height());
    }
    reader.finish_expression(&function.visitor(reader.original_position()))?;
    if !is_small {
        limit("bytes, with the checks of limits that engines add", size, BYTES, range.start)?;
    }
    limit("places for locals and operands", places(function, operands.into()), PLACES, range.start)
}

/// Returns the targets of the `br_table` that a reader is at.
fn targets(mut reader: BinaryReader<'_>) -> Result<u64, BytecodeError> {
    reader.read_u8()?;
    Ok(reader.read_var_u32()?.into())
}

/// Checks the offset of the instruction on vectors that a reader is at, if it is held to one.
fn lane_offset(mut reader: BinaryReader<'_>, function: u32) -> Result<(), BytecodeError> {
    let offset = reader.original_position();
    reader.read_u8()?;
    let instruction = match reader.read_var_u32()? {
        STORE8_LANE => "v128.store8_lane",
        STORE16_LANE => "v128.store16_lane",
        _ => return Ok(()),
    };
    // The alignment; no bit of it names another memory, of which there is none.
    reader.read_var_u32()?;
    match reader.read_var_u64()? {
        value if value > LANE_OFFSET => {
            Err(BytecodeError::InstructionOffset { function, instruction, value, limit: LANE_OFFSET, offset })
        }
        _ => Ok(()),
    }
}

/// Places that a function takes in a frame, at most: any operand may be a vector.
fn places(function: &FuncValidator<impl WasmModuleResources>, operands: u64) -> u64 {
    let locals = u64::from(function.len_locals());
    let most = 3 * locals + 2 * operands;
    if most <= PLACES {
        return most;
    }
    let is_vector = |local: &u32| function.get_local_type(*local) == Some(ValType::V128);
    let vectors = (0..function.len_locals()).filter(is_vector).count();
    2 * (locals + operands) + vectors as u64
}
