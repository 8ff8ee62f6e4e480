//! Bounds of whole modules, within which every engine accepts them with all settings.

use wasmparser::{Payload, TableSectionReader};

use super::error::BytecodeError;

/// Types. Validators take ten times as many, but wasmer makes code for each.
const TYPES: u32 = 100_000;

/// Imports, globals and functions. Validators take a million of each, some of which wasmer needs for itself. Of these many, what an
/// instance keeps of them fits into the 16 MiB that wasmtime has where it makes a VM for each stream.
const IMPORTS: u32 = 100_000;
const GLOBALS: u32 = 100_000;
const FUNCTIONS: u32 = 300_000;

/// Tables; wasmtime keeps places for so many where it makes a VM for each stream.
const TABLES: u32 = 4;

/// Elements that a table begins with; the same places have so many.
const TABLE_ELEMENTS: u64 = 1 << 20;

/// Elements that a table says it may have; wasmer takes no more.
const TABLE_MAXIMUM: u64 = 1 << 27;

/// Checks a section that is valid; `imports` functions are imported.
pub(super) fn check(payload: &Payload<'_>, imports: usize) -> Result<(), BytecodeError> {
    match payload {
        Payload::TypeSection(section) => limit("types", section.count(), TYPES),
        Payload::ImportSection(section) => limit("imports", section.count(), IMPORTS),
        Payload::FunctionSection(section) => {
            let imports = u32::try_from(imports).unwrap_or(u32::MAX);
            limit("functions, imports among them", section.count().saturating_add(imports), FUNCTIONS)
        }
        Payload::GlobalSection(section) => limit("globals", section.count(), GLOBALS),
        Payload::TableSection(section) => check_tables(section),
        _ => Ok(()),
    }
}

fn check_tables(section: &TableSectionReader<'_>) -> Result<(), BytecodeError> {
    limit("tables", section.count(), TABLES)?;
    for table in section.clone() {
        let table = table?.ty;
        limit("elements in a table", table.initial, TABLE_ELEMENTS)?;
        limit("elements as the most of a table", table.maximum.unwrap_or_default(), TABLE_MAXIMUM)?;
    }
    Ok(())
}

fn limit(what: &'static str, count: impl Into<u64>, limit: impl Into<u64>) -> Result<(), BytecodeError> {
    let (count, limit) = (count.into(), limit.into());
    if count > limit { Err(BytecodeError::ModuleLimit { what, count, limit }) } else { Ok(()) }
}
