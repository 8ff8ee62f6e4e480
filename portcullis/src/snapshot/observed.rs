//! Modules that export their mutable globals, so that a snapshot can read them.

use std::collections::HashSet;

use bytes::Bytes;
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{ExportKind, ExportSection, Module, RawSection};
use wasmparser::{Operator, Parser, Payload, ValType};

use super::{SnapshotError, unreadable};

/// How many mutable globals a module may have. Compilers make a handful.
const MOST: usize = 10_000;

/// Returns the module with an export of each mutable global, and the names of these exports in the order of the globals.
pub(super) fn observed(wasm: &[u8]) -> Result<(Bytes, Vec<String>), SnapshotError> {
    let (mut module, mut mutable) = (Module::new(), Vec::new());
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(unreadable)?;
        match &payload {
            Payload::GlobalSection(section) => {
                // Globals are not imported: modules import functions alone.
                for (index, global) in (0..).zip(section.clone()) {
                    let ty = global.map_err(unreadable)?.ty;
                    if ty.mutable {
                        if matches!(ty.content_type, ValType::Ref(_)) {
                            return Err(SnapshotError::Module("a mutable global that holds a reference"));
                        }
                        if mutable.len() >= MOST {
                            return Err(SnapshotError::Module("more mutable globals than 10,000"));
                        }
                        mutable.push(index);
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader().map_err(unreadable)? {
                    if let Some(name) = changes_more(&operator.map_err(unreadable)?) {
                        return Err(SnapshotError::Module(name));
                    }
                }
            }
            Payload::ExportSection(section) => {
                let mut exports = ExportSection::new();
                let taken: HashSet<_> =
                    section.clone().into_iter().filter_map(Result::ok).map(|export| export.name).collect();
                RoundtripReencoder.parse_export_section(&mut exports, section.clone()).map_err(unreadable)?;
                for index in &mutable {
                    let mut name = format!("portcullis:global:{index}");
                    while taken.contains(&*name) {
                        name.push('\'');
                    }
                    exports.export(&name, ExportKind::Global, *index);
                    names.push(name);
                }
                module.section(&exports);
                continue;
            }
            // What compilers have left in it is of another module.
            Payload::CustomSection(section) if section.name() != "name" => continue,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: wasm.get(range).unwrap_or_default() });
        }
    }
    Ok((module.finish().into(), names))
}

/// Returns the name of an instruction that changes more than memory and globals.
fn changes_more(operator: &Operator<'_>) -> Option<&'static str> {
    Some(match operator {
        Operator::TableSet { .. } => "table.set",
        Operator::TableGrow { .. } => "table.grow",
        Operator::TableFill { .. } => "table.fill",
        Operator::TableCopy { .. } => "table.copy",
        Operator::TableInit { .. } => "table.init",
        Operator::ElemDrop { .. } => "elem.drop",
        Operator::DataDrop { .. } => "data.drop",
        _ => return None,
    })
}
