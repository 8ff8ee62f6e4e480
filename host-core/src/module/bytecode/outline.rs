//! One pass over the bytes: validation, and the imports, exports and types that the verdict needs.

use wasmparser::types::{EntityType, Types};
use wasmparser::{
    CompositeInnerType, Export, FuncType, FuncValidatorAllocations, Import, MemoryType, Parser, Payload, TypeRef,
    ValidPayload, Validator,
};

use super::Begins;
use super::error::{BytecodeError, shown};
use super::proposal::FEATURES;
use super::work::Work;
use super::{bounds, function, proposal};

/// Bytes in a page of memory.
pub(super) const PAGE: u64 = 1 << 16;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Imports and exports of a valid module.
pub(super) struct Outline<'a> {
    /// Function imports, in order.
    pub(super) imports: Vec<Import<'a>>,
    /// Exports, in order.
    pub(super) exports: Vec<Export<'a>>,
    pub(super) begins: Begins,
    types: Types,
}

impl<'a> Outline<'a> {
    pub(super) fn read(wasm: &'a [u8]) -> Result<Self, BytecodeError> {
        check_header(wasm)?;
        Self::read_module(wasm).map_err(|error| match error {
            BytecodeError::Invalid { offset, .. } => match proposal::missing(wasm, offset) {
                Some(proposal) => BytecodeError::Proposal { proposal, offset },
                None => error,
            },
            _ => error,
        })
    }

    fn read_module(wasm: &'a [u8]) -> Result<Self, BytecodeError> {
        let mut imports = Vec::new();
        let mut exports = Vec::new();
        let mut begins = Begins::default();
        let mut work = Work::default();
        let mut validator = Validator::new_with_features(FEATURES);
        let mut allocations = FuncValidatorAllocations::default();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            // What has an error of its own here comes before the validator's words for it.
            match &payload {
                Payload::ImportSection(section) => {
                    for import in section.clone().into_imports() {
                        imports.push(function_import(import?)?);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section.clone() {
                        let memory = memory?;
                        check_memory(memory)?;
                        begins.memory = memory.initial.saturating_mul(PAGE);
                    }
                    if section.count() > 1 {
                        return Err(BytecodeError::ManyMemories);
                    }
                }
                Payload::TableSection(section) => {
                    for table in section.clone() {
                        begins.table_elements = begins.table_elements.saturating_add(table?.ty.initial);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section.clone() {
                        exports.push(export?);
                    }
                }
                _ => {}
            }
            // Before it is done.
            work.add(&payload)?;
            let valid = validator.payload(&payload)?;
            bounds::check(&payload, imports.len())?;
            match valid {
                ValidPayload::Func(function, body) => {
                    let mut function = function.into_validator(allocations);
                    function::check(&mut function, &body)?;
                    allocations = function.into_allocations();
                }
                ValidPayload::End(types) => return Ok(Self { imports, exports, begins, types }),
                _ => {}
            }
        }
        Err(BytecodeError::Invalid { message: "unexpected end".to_owned(), offset: wasm.len() })
    }

    /// Returns the type of an imported function.
    pub(super) fn import_type(&self, import: &Import<'_>) -> Option<&FuncType> {
        self.function_type(self.types.as_ref().entity_type_from_import(import)?)
    }

    /// Returns the type of an exported function; `None` for other exports.
    pub(super) fn export_type(&self, export: &Export<'_>) -> Option<&FuncType> {
        self.function_type(self.types.as_ref().entity_type_from_export(export)?)
    }

    fn function_type(&self, entity: EntityType) -> Option<&FuncType> {
        let (EntityType::Func(id) | EntityType::FuncExact(id)) = entity else { return None };
        match &self.types.as_ref().get(id)?.composite_type.inner {
            CompositeInnerType::Func(function) => Some(function),
            _ => None,
        }
    }
}

fn function_import(import: Import<'_>) -> Result<Import<'_>, BytecodeError> {
    let kind = match import.ty {
        TypeRef::Func(_) | TypeRef::FuncExact(_) => return Ok(import),
        TypeRef::Table(_) => "table",
        TypeRef::Memory(_) => "memory",
        TypeRef::Global(_) => "global",
        TypeRef::Tag(_) => "tag",
    };
    Err(BytecodeError::ImportKind { import: shown(&format!("{}.{}", import.module, import.name)), kind })
}

fn check_memory(memory: MemoryType) -> Result<(), BytecodeError> {
    match memory {
        MemoryType { memory64: true, .. } => Err(BytecodeError::Memory64),
        MemoryType { shared: true, .. } => Err(BytecodeError::SharedMemory),
        _ => Ok(()),
    }
}

fn check_header(wasm: &[u8]) -> Result<(), BytecodeError> {
    if wasm.starts_with(MODULE) {
        return Ok(());
    }
    if wasm.starts_with(COMPONENT) {
        return Err(BytecodeError::Component);
    }
    let start = wasm.get(..16).unwrap_or(wasm).escape_ascii();
    Err(BytecodeError::NotWasm(if wasm.is_empty() {
        "it is empty".to_owned()
    } else if MODULE.starts_with(wasm) {
        format!("it ends after {} bytes", wasm.len())
    } else if wasm.trim_ascii_start().starts_with(b"(module") {
        "it is WebAssembly text; translate it with wat2wasm or wasm-tools parse".to_owned()
    } else if wasm.starts_with(GZIP) {
        "it is compressed with gzip".to_owned()
    } else {
        format!("it starts with \"{start}\" instead of \"{}\"", MODULE.escape_ascii())
    }))
}

impl From<wasmparser::Error> for BytecodeError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Invalid { message: shown(error.message()), offset: error.offset() }
    }
}
