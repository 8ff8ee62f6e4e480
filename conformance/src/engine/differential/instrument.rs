//! Makes generated code tell what it did.
//!
//! Every hostcall goes through a function that mixes its arguments and its result into a number, and the
//! callback [`DIGEST`] logs the guest's memory with that number and the module's globals in its first
//! bytes. The code itself stays as it was, but for `externref`, which becomes `funcref`: both are only ever
//! null, moved and compared, and plugins may not have the first.

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    AbstractHeapType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, Instruction, MemArg, Module, ValType,
};
use wasmparser::{CompositeInnerType, FuncType, Parser, Payload, TypeRef};

use super::traced::DIGEST;

/// How many turns and calls the guest has, again after each digest.
pub(super) const FUEL: u32 = 2000;

/// Bytes of a page of memory, as a power of two.
const PAGE: i32 = 16;

/// Where an honest allocator puts everything.
const HEAP: i32 = 2048;

/// Returns the module, telling. `fuel` is the global that it counts with.
pub(super) fn instrumented(wasm: &[u8], fuel: u32, has_honest_malloc: bool) -> Result<Vec<u8>, String> {
    let mut outline = Outline::read(wasm).map_err(|error| error.to_string())?;
    (outline.fuel, outline.has_honest_malloc) = (fuel, has_honest_malloc);
    let mut module = Module::new();
    outline.parse_core_module(&mut module, Parser::new(0), wasm).map_err(|error| error.to_string())?;
    Ok(module.finish())
}

/// Facts about a module that its rewriting needs.
#[derive(Default)]
struct Outline {
    types: Vec<FuncType>,
    /// The types of imported functions, then of the module's own.
    functions: Vec<u32>,
    imported: usize,
    globals: Vec<wasmparser::ValType>,
    digest: u32,
    malloc: u32,
    fuel: u32,
    has_honest_malloc: bool,
}

type Result_<T = ()> = Result<T, reencode::Error<std::convert::Infallible>>;

impl Outline {
    fn read(wasm: &[u8]) -> wasmparser::Result<Self> {
        let mut outline = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    for group in section {
                        outline.types.extend(group?.into_types().filter_map(|ty| match ty.composite_type.inner {
                            CompositeInnerType::Func(function) => Some(function),
                            _ => None,
                        }));
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        if let TypeRef::Func(ty) = import?.ty {
                            outline.functions.push(ty);
                            outline.imported += 1;
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        outline.functions.push(ty?);
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        outline.globals.push(global?.ty.content_type);
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        match export.name {
                            DIGEST => outline.digest = export.index,
                            "malloc" => outline.malloc = export.index,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(outline)
    }

    /// Returns the functions added behind the module's own: one for each import, the digest, the allocator.
    fn added(&self) -> [u32; 3] {
        let first = self.functions.len() as u32;
        let digest = first + self.imported as u32;
        [first, digest, digest + 1]
    }

    fn type_of(&self, function: u32) -> u32 {
        self.functions.get(function as usize).copied().unwrap_or_default()
    }

    /// Returns the global with what hostcalls were given and gave.
    fn trace(&self) -> u32 {
        self.globals.len() as u32
    }

    /// Calls a hostcall and remembers its arguments and its result.
    fn telling(&self, import: u32) -> Function {
        let empty = FuncType::new([], []);
        let ty = self.types.get(self.type_of(import) as usize).unwrap_or(&empty);
        let result = ty.results().first().map(|result| (1, value_type(*result)));
        let mut body = Function::new(result);
        body.instruction(&Instruction::I64Const(i64::from(import)));
        self.mix(&mut body);
        for (at, param) in (0..).zip(ty.params()) {
            body.instruction(&Instruction::LocalGet(at));
            as_i64(&mut body, *param);
            self.mix(&mut body);
        }
        for at in 0..ty.params().len() as u32 {
            body.instruction(&Instruction::LocalGet(at));
        }
        body.instruction(&Instruction::Call(import));
        if let Some(result) = ty.results().first() {
            let local = ty.params().len() as u32;
            body.instruction(&Instruction::LocalTee(local));
            as_i64(&mut body, *result);
            self.mix(&mut body);
            body.instruction(&Instruction::LocalGet(local));
        }
        body.instruction(&Instruction::End);
        body
    }

    /// Logs memory, with what memory does not show in its first bytes; and gives new fuel.
    fn digest(&self) -> Function {
        let first = MemArg { offset: 0, align: 0, memory_index: 0 };
        let mut body = Function::new([(1, ValType::I64)]);
        for (at, ty) in (0..).zip(&self.globals) {
            if at != self.fuel && matches!(ty, wasmparser::ValType::I32 | wasmparser::ValType::I64) {
                body.instruction(&Instruction::GlobalGet(at));
                as_i64(&mut body, *ty);
                self.mix(&mut body);
            }
        }
        body.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I64Load(first));
        body.instruction(&Instruction::LocalSet(2));
        body.instruction(&Instruction::I32Const(0)).instruction(&Instruction::GlobalGet(self.trace()));
        body.instruction(&Instruction::I64Store(first));
        body.instruction(&Instruction::I32Const(0)).instruction(&Instruction::I32Const(0));
        body.instruction(&Instruction::MemorySize(0)).instruction(&Instruction::I32Const(PAGE));
        // The first import is `proxy_log`.
        body.instruction(&Instruction::I32Shl).instruction(&Instruction::Call(0)).instruction(&Instruction::Drop);
        body.instruction(&Instruction::I32Const(0)).instruction(&Instruction::LocalGet(2));
        body.instruction(&Instruction::I64Store(first));
        body.instruction(&Instruction::I32Const(FUEL.cast_signed())).instruction(&Instruction::GlobalSet(self.fuel));
        body.instruction(&Instruction::End);
        body
    }

    /// Mixes the number on the stack into the trace.
    fn mix(&self, body: &mut Function) {
        const ODD: i64 = 0x5851_f42d_4c95_7f2d;
        body.instruction(&Instruction::GlobalGet(self.trace()))
            .instruction(&Instruction::I64Add)
            .instruction(&Instruction::I64Const(ODD))
            .instruction(&Instruction::I64Mul)
            .instruction(&Instruction::I64Const(29))
            .instruction(&Instruction::I64Rotl)
            .instruction(&Instruction::GlobalSet(self.trace()));
    }
}

impl Reencode for Outline {
    type Error = std::convert::Infallible;

    /// Uses of a hostcall are of the function that tells.
    fn function_index(&mut self, function: u32) -> Result_<u32> {
        Ok(if (function as usize) < self.imported { self.added()[0] + function } else { function })
    }

    fn abstract_heap_type(&mut self, ty: wasmparser::AbstractHeapType) -> Result_<AbstractHeapType> {
        Ok(match ty {
            wasmparser::AbstractHeapType::Extern => AbstractHeapType::Func,
            _ => utils::abstract_heap_type(self, ty),
        })
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result_ {
        utils::parse_function_section(self, functions, section)?;
        for import in 0..self.imported as u32 {
            functions.function(self.type_of(import));
        }
        functions.function(self.type_of(self.digest)).function(self.type_of(self.malloc));
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result_ {
        utils::parse_global_section(self, globals, section)?;
        globals.global(GlobalType { val_type: ValType::I64, mutable: true, shared: false }, &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: wasmparser::Export<'_>) -> Result_ {
        let [_, digest, malloc] = self.added();
        match export.name {
            DIGEST => exports.export(DIGEST, ExportKind::Func, digest),
            "malloc" if self.has_honest_malloc => exports.export("malloc", ExportKind::Func, malloc),
            _ => return utils::parse_export(self, exports, export),
        };
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> Result_ {
        utils::parse_code_section(self, code, section)?;
        for import in 0..self.imported as u32 {
            code.function(&self.telling(import));
        }
        code.function(&self.digest());
        let mut malloc = Function::new([]);
        malloc.instruction(&Instruction::I32Const(HEAP)).instruction(&Instruction::End);
        code.function(&malloc);
        Ok(())
    }
}

fn as_i64(body: &mut Function, ty: wasmparser::ValType) {
    match ty {
        wasmparser::ValType::I32 => body.instruction(&Instruction::I64ExtendI32U),
        wasmparser::ValType::F64 => body.instruction(&Instruction::I64ReinterpretF64),
        _ => body,
    };
}

/// Returns a type of the hostcall table.
const fn value_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F64 => ValType::F64,
        _ => ValType::I32,
    }
}
