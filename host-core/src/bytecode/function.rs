//! Functions: validated in the one pass that reads them, and held to bounds of the engines that validation does not know.

use wasmparser::{BinaryReader, FuncValidator, FunctionBody, WasmModuleResources};

use super::error::BytecodeError;

/// Targets of a `br_table`, its default not counted.
///
/// Cranelift for aarch64 branches over a table, to its default, with a branch that reaches 1 MiB, which a table of 262,000
/// targets exceeds. Before version 0.135.8 nothing checks that in a release build: the branch leaves the module. wasmtime
/// and browsers refuse more than this themselves; wasmer does not.
pub(crate) const BR_TABLE_TARGETS: u32 = 65_520;

/// The opcode of `br_table`.
const BR_TABLE: u8 = 0x0e;

/// Validates a function and checks its bounds.
pub(super) fn check(
    function: &mut FuncValidator<impl WasmModuleResources>,
    body: &FunctionBody<'_>,
) -> Result<(), BytecodeError> {
    let mut reader = body.get_binary_reader();
    function.read_locals(&mut reader)?;
    reader.set_features(*function.features());
    let (bytes, start) = (body.as_bytes(), body.range().start);
    // A target takes a byte, so few functions have to be looked at.
    let may_have_long_table = bytes.len() > BR_TABLE_TARGETS as usize;
    while !reader.eof() {
        let offset = reader.original_position();
        if may_have_long_table && bytes.get(offset - start) == Some(&BR_TABLE) {
            check_br_table(reader.clone(), function.index())?;
        }
        reader.visit_operator(&mut function.visitor(offset))??;
    }
    Ok(reader.finish_expression(&function.visitor(reader.original_position()))?)
}

/// Checks the `br_table` that a reader is at.
fn check_br_table(mut reader: BinaryReader<'_>, function: u32) -> Result<(), BytecodeError> {
    let offset = reader.original_position();
    reader.read_u8()?;
    let targets = reader.read_var_u32()?;
    if targets > BR_TABLE_TARGETS {
        return Err(BytecodeError::FunctionLimit {
            function,
            what: "targets in a br_table",
            count: targets.into(),
            limit: BR_TABLE_TARGETS.into(),
            offset,
        });
    }
    Ok(())
}
