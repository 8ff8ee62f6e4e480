//! The ABI's rules for modules.

use std::fmt;

use wasmparser::{ExternalKind, FuncType, Import};

use super::error::{BytecodeError, shown};
use super::outline::Outline;
use super::{Bytecode, StartStyle};
use crate::abi::AbiVersion;
use crate::abi::callback::{CALLBACKS, CallbackId};
use crate::abi::hostcall::{HOSTCALLS, HostcallDecl, HostcallId};
use crate::abi::wasm_type::ValType;

/// In this order: a module may export both.
const ALLOCATORS: [&str; 2] = ["malloc", "proxy_on_memory_allocate"];

pub(super) fn judge(wasm: &[u8]) -> Result<Bytecode<'_>, BytecodeError> {
    let outline = Outline::read(wasm)?;
    let abi = outline.abi()?;
    let imports = outline.hostcalls(abi)?;
    let callbacks = outline.callbacks()?;
    Ok(Bytecode {
        wasm,
        abi,
        memory: outline.memory()?,
        allocator: outline.allocator()?,
        start: outline.start(),
        imports,
        callbacks,
        begins: outline.begins,
    })
}

/// Returns what is wrong with each import that keeps the module from running, at most `limit` of them. One of another ABI
/// is told by the module's marker; without one, by the newest.
pub(super) fn refused_imports(wasm: &[u8], limit: usize) -> Vec<BytecodeError> {
    let Ok(outline) = Outline::read(wasm) else { return Vec::new() };
    let abi = outline.abi().unwrap_or(AbiVersion::V0_2_1);
    outline.imports.iter().filter_map(|import| outline.hostcall(import, abi).err()).take(limit).collect()
}

impl Outline<'_> {
    /// Checks a marker, which is a function of any type.
    ///
    /// differs: deployed hosts take the first of several markers and say nothing. No SDK makes a
    /// second one, and the order of exports is the linker's: it would choose the ABI by chance.
    fn abi(&self) -> Result<AbiVersion, BytecodeError> {
        let mut functions = self.exports.iter().filter(|export| self.export_type(export).is_some());
        let mut known = functions.clone().filter_map(|export| AbiVersion::from_marker(export.name));
        match (known.next(), known.next()) {
            (Some(abi), None) => return Ok(abi),
            (Some(first), Some(second)) => {
                return Err(BytecodeError::ManyMarkers { first: first.marker(), second: second.marker() });
            }
            (None, _) => {}
        }
        let other = functions.find(|export| export.name.starts_with("proxy_abi_version_"));
        Err(other.map_or(BytecodeError::NoMarker, |export| BytecodeError::UnknownMarker { marker: shown(export.name) }))
    }

    /// Duplicate imports are legal: Go emits `fd_write` twice.
    fn hostcalls(&self, abi: AbiVersion) -> Result<Vec<HostcallId>, BytecodeError> {
        let mut ids = Vec::new();
        for import in &self.imports {
            let id = self.hostcall(import, abi)?;
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn hostcall(&self, import: &Import<'_>, abi: AbiVersion) -> Result<HostcallId, BytecodeError> {
        let shown = shown(&format!("{}.{}", import.module, import.name));
        let Some(decl) = HostcallId::imported(import.module, import.name).map(HostcallId::decl) else {
            return Err(BytecodeError::UnknownImport { import: shown, nearest: nearest(import) });
        };
        if decl.id.linked_modules(abi).is_empty() {
            let HostcallDecl { since, until, .. } = *decl;
            return Err(BytecodeError::ImportNotInAbi { import: shown, abi, since, until });
        }
        let found = self.import_type(import);
        if found.is_some_and(|found| is_type(found, decl.params, decl.results)) {
            return Ok(decl.id);
        }
        Err(BytecodeError::ImportType {
            import: shown,
            found: found.map(|found| signature(found.params(), found.results())).unwrap_or_default(),
            expected: signature(decl.params, decl.results),
        })
    }

    /// Checks a callback. Its own type chooses among the rows of its name; the ABI version does not, because modules with
    /// the marker of 0.1.0 and header callbacks of 0.2.0 exist.
    fn callbacks(&self) -> Result<Vec<CallbackId>, BytecodeError> {
        let mut ids = Vec::new();
        for export in &self.exports {
            let Some(found) = self.export_type(export) else { continue };
            let rows = || CALLBACKS.iter().filter(|decl| decl.export == export.name && self.is_called(decl.id));
            match rows().find(|decl| is_type(found, decl.params, decl.results)) {
                Some(decl) => ids.push(decl.id),
                None => match rows().next() {
                    Some(decl) => {
                        return Err(wrong_export(
                            decl.export,
                            found,
                            rows().map(|decl| signature(decl.params, decl.results)),
                        ));
                    }
                    None => continue,
                },
            }
        }
        Ok(ids)
    }

    /// Checks a start function. One that is never called may have any type.
    fn is_called(&self, id: CallbackId) -> bool {
        match id {
            CallbackId::start => self.start() == StartStyle::Start,
            CallbackId::main => self.start() == StartStyle::Initialize,
            CallbackId::main_void => self.start() == StartStyle::Initialize && self.function("main").is_none(),
            _ => true,
        }
    }

    fn start(&self) -> StartStyle {
        if self.function("_initialize").is_some() {
            StartStyle::Initialize
        } else if self.function("_start").is_some() {
            StartStyle::Start
        } else {
            StartStyle::Neither
        }
    }

    fn memory(&self) -> Result<String, BytecodeError> {
        let mut memories = self.exports.iter().filter(|export| export.kind == ExternalKind::Memory);
        let named = memories.clone().find(|export| export.name == "memory");
        named.or_else(|| memories.next()).map(|export| export.name.to_owned()).ok_or(BytecodeError::NoMemory)
    }

    fn allocator(&self) -> Result<&'static str, BytecodeError> {
        let found = ALLOCATORS.into_iter().find_map(|name| Some((name, self.function(name)?)));
        let (name, found) = found.ok_or(BytecodeError::NoAllocator)?;
        if is_type(found, &[ValType::I32], &[ValType::I32]) {
            return Ok(name);
        }
        Err(wrong_export(name, found, [signature(&[ValType::I32], &[ValType::I32])]))
    }

    fn function(&self, name: &str) -> Option<&FuncType> {
        self.exports.iter().find(|export| export.name == name).and_then(|export| self.export_type(export))
    }
}

fn is_type(found: &FuncType, params: &[ValType], results: &[ValType]) -> bool {
    let is = |found: &[wasmparser::ValType], expected: &[ValType]| {
        found.len() == expected.len()
            && found.iter().zip(expected).all(|(found, expected)| is_value_type(*found, *expected))
    };
    is(found.params(), params) && is(found.results(), results)
}

fn is_value_type(found: wasmparser::ValType, expected: ValType) -> bool {
    found
        == match expected {
            ValType::I32 => wasmparser::ValType::I32,
            ValType::I64 => wasmparser::ValType::I64,
            ValType::F64 => wasmparser::ValType::F64,
        }
}

fn wrong_export(export: &'static str, found: &FuncType, expected: impl IntoIterator<Item = String>) -> BytecodeError {
    let expected = expected.into_iter().collect::<Vec<_>>().join(" or ");
    BytecodeError::ExportType { export, found: signature(found.params(), found.results()), expected }
}

/// Returns a function type in words, such as `(i32, i64) -> i32`.
fn signature(params: &[impl fmt::Display], results: &[impl fmt::Display]) -> String {
    match results {
        [result] => format!("({}) -> {result}", list(params)),
        _ => format!("({}) -> ({})", list(params), list(results)),
    }
}

/// No function of the ABI takes more values than are listed here.
fn list(types: &[impl fmt::Display]) -> String {
    const SHOWN: usize = 16;
    let mut list = types.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>();
    if types.len() > SHOWN {
        list.push("...".to_owned());
    }
    list.join(", ")
}

/// Returns the hostcall that an author who wrote `import` may have meant: the same name in another module, or a name
/// that differs little.
fn nearest(import: &Import<'_>) -> Option<String> {
    const LONGEST: usize = 64;
    if import.name.len() > LONGEST {
        return None;
    }
    let distances = HOSTCALLS.iter().map(|decl| (strsim::damerau_levenshtein(decl.name, import.name), decl));
    let (distance, decl) = distances.min_by_key(|(distance, _)| *distance)?;
    let module = decl.modules.iter().find(|module| **module == import.module).or_else(|| decl.modules.last())?;
    (distance <= decl.name.len() / 5).then(|| format!("{module}.{}", decl.name))
}
