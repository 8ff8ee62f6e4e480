//! Puts the checks of limits into the code, because wasmer can neither stop a guest nor be asked
//! before memory grows.
//!
//! The module that is compiled has three functions imported besides its own, and one global: the
//! *fuel*. A function takes fuel when it begins and at every turn of a loop, for the instructions
//! that lie between; instructions that work on many bytes take it for their bytes. When none is
//! left, the guest asks the host whether it may go on, which looks at the clock. So a deadline is
//! one of time, as on other engines, and what the guest does between looks at the clock is bounded.
//!
//! This file and `cost` use nothing of wasmer, so that they are fuzzed without it.
//!
//! Nothing is reinterpreted: indices of functions move up to make room for the imports, and
//! whatever the guest could see stays as it was.

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Function, GlobalSection, GlobalType, ImportSection, Instruction, Module,
    SectionId, TypeSection, ValType,
};
use wasmparser::{FunctionBody, Operator, Parser};

use super::cost::{self, Costs};

/// The module that the added functions are imported from. No plugin can import from it.
pub(crate) const MODULE: &str = "portcullis";
/// `() -> ()`: traps if the guest's time is up.
pub(crate) const CHECK: &str = "check";
/// `(delta, pages) -> delta`: the argument of a `memory.grow` that may happen, or -1, which never succeeds.
pub(crate) const GROW_MEMORY: &str = "grow_memory";
/// `(delta, elements, maximum) -> delta`: the same for `table.grow`.
pub(crate) const GROW_TABLE: &str = "grow_table";
/// How many functions are added, after the imports that there were.
pub(crate) const ADDED: u32 = 3;

/// Fuel between looks at the clock: about as many simple instructions, at most a few milliseconds.
const SLICE: i64 = 1_000_000;

type Result<T = ()> = std::result::Result<T, reencode::Error<std::convert::Infallible>>;

/// Rewrites a module that the core has judged.
pub(crate) fn metered(wasm: &[u8]) -> Result<Vec<u8>> {
    let mut module = Module::new();
    Meter::default().parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

/// The module as far as it has been read.
#[derive(Default)]
struct Meter {
    /// How many parameters each type has; 0 for types that are no function's.
    parameters: Vec<u32>,
    types: bool,
    imported: u32,
    imports: bool,
    /// The types of the module's own functions.
    functions: Vec<u32>,
    globals: Option<u32>,
    /// The maximum of each table; -1 for none.
    tables: Vec<i32>,
    next_body: usize,
}

impl Reencode for Meter {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32> {
        Ok(if function < self.imported { function } else { function + ADDED })
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Result {
        for group in section.clone() {
            for subtype in group?.into_types() {
                let parameters = match subtype.composite_type.inner {
                    wasmparser::CompositeInnerType::Func(function) => function.params().len(),
                    _ => 0,
                };
                self.parameters.push(u32::try_from(parameters).unwrap_or(u32::MAX));
            }
        }
        utils::parse_type_section(self, types, section)?;
        self.add_types(types);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result {
        for import in section.clone().into_imports() {
            import?;
            self.imported += 1;
        }
        utils::parse_import_section(self, imports, section)?;
        self.add_imports(imports);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut wasm_encoder::FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result {
        for function in section.clone() {
            self.functions.push(function?);
        }
        utils::parse_function_section(self, functions, section)
    }

    fn parse_table(&mut self, tables: &mut wasm_encoder::TableSection, table: wasmparser::Table<'_>) -> Result {
        let maximum = table.ty.maximum.and_then(|maximum| u32::try_from(maximum).ok());
        self.tables.push(maximum.map_or(-1, u32::cast_signed));
        utils::parse_table(self, tables, table)
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result {
        utils::parse_global_section(self, globals, section)?;
        self.add_global(globals);
        Ok(())
    }

    /// Makes the sections that the module lacks.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result {
        let place = before.map_or(usize::MAX, place);
        if !self.types && place > self::place(SectionId::Type) {
            let mut types = TypeSection::new();
            self.add_types(&mut types);
            module.section(&types);
        }
        if !self.imports && place > self::place(SectionId::Import) {
            let mut imports = ImportSection::new();
            self.add_imports(&mut imports);
            module.section(&imports);
        }
        if self.globals.is_none() && place > self::place(SectionId::Global) {
            let mut globals = GlobalSection::new();
            self.add_global(&mut globals);
            module.section(&globals);
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result {
        let costs = Costs::of(&body, self.imported)?;
        let own = self.functions.get(self.next_body).and_then(|ty| self.parameters.get(*ty as usize));
        let mut locals = Vec::new();
        let mut length = own.copied().unwrap_or_default();
        self.next_body += 1;
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            length = length.saturating_add(count);
            locals.push((count, self.val_type(ty)?));
        }
        // One more local, for lengths.
        if costs.has_bulk {
            locals.push((1, ValType::I32));
        }
        let mut out =
            Body { function: Function::new(locals), fuel: self.globals.unwrap_or_default(), meter: self, length };
        out.charge(costs.entry);
        let mut loops = costs.loops.iter();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            out.before(&operator);
            let is_loop = matches!(operator, Operator::Loop { .. });
            let is_bulk = cost::is_bulk(&operator);
            let instruction = out.meter.instruction(operator)?;
            out.function.instruction(&instruction);
            if is_loop {
                out.charge(loops.next().copied().unwrap_or_default());
            } else if is_bulk {
                out.check();
            }
        }
        code.function(&out.function);
        Ok(())
    }

    /// Names serve backtraces; nothing else of it is used.
    fn parse_custom_section(&mut self, module: &mut Module, section: wasmparser::CustomSectionReader<'_>) -> Result {
        match section.as_known() {
            // A name section may be damaged: it is not validated.
            wasmparser::KnownCustom::Name(names) => {
                if let Ok(names) = self.custom_name_section(names) {
                    module.section(&names);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Meter {
    fn add_types(&mut self, types: &mut TypeSection) {
        self.types = true;
        types.ty().function([], []);
        types.ty().function([ValType::I32; 2], [ValType::I32]);
        types.ty().function([ValType::I32; 3], [ValType::I32]);
    }

    fn add_imports(&mut self, imports: &mut ImportSection) {
        self.imports = true;
        let types = u32::try_from(self.parameters.len()).unwrap_or(u32::MAX);
        for (name, ty) in [CHECK, GROW_MEMORY, GROW_TABLE].into_iter().zip(types..) {
            imports.import(MODULE, name, wasm_encoder::EntityType::Function(ty));
        }
    }

    fn add_global(&mut self, globals: &mut GlobalSection) {
        self.globals = Some(globals.len());
        globals
            .global(GlobalType { val_type: ValType::I64, mutable: true, shared: false }, &ConstExpr::i64_const(SLICE));
    }
}

/// A function that is being written.
struct Body<'a> {
    function: Function,
    meter: &'a mut Meter,
    fuel: u32,
    /// The local that lengths are put in.
    length: u32,
}

impl Body<'_> {
    /// Takes fuel, and asks to go on if none is left.
    fn charge(&mut self, cost: i64) {
        self.function
            .instruction(&Instruction::GlobalGet(self.fuel))
            .instruction(&Instruction::I64Const(cost))
            .instruction(&Instruction::I64Sub)
            .instruction(&Instruction::GlobalSet(self.fuel));
        self.check();
    }

    fn check(&mut self) {
        self.function
            .instruction(&Instruction::GlobalGet(self.fuel))
            .instruction(&Instruction::I64Const(0))
            .instruction(&Instruction::I64LtS)
            .instruction(&Instruction::If(BlockType::Empty))
            .instruction(&Instruction::Call(self.meter.imported))
            .instruction(&Instruction::I64Const(SLICE))
            .instruction(&Instruction::GlobalSet(self.fuel))
            .instruction(&Instruction::End);
    }

    /// Emits the code before an instruction: a look at its length, which is on top of the stack.
    fn before(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::MemoryGrow { mem } => {
                self.function
                    .instruction(&Instruction::MemorySize(*mem))
                    .instruction(&Instruction::Call(self.meter.imported + 1));
            }
            Operator::TableGrow { table } => {
                let maximum = self.meter.tables.get(*table as usize).copied().unwrap_or(-1);
                self.function
                    .instruction(&Instruction::TableSize(*table))
                    .instruction(&Instruction::I32Const(maximum))
                    .instruction(&Instruction::Call(self.meter.imported + 2));
            }
            _ => {}
        }
        let Some(shift) = cost::bulk(operator) else { return };
        self.function
            .instruction(&Instruction::LocalTee(self.length))
            .instruction(&Instruction::GlobalGet(self.fuel))
            .instruction(&Instruction::LocalGet(self.length))
            .instruction(&Instruction::I64ExtendI32U)
            .instruction(&Instruction::I64Const(shift))
            .instruction(&Instruction::I64ShrU)
            .instruction(&Instruction::I64Sub)
            .instruction(&Instruction::GlobalSet(self.fuel));
    }
}

/// Where a section stands among the others; that is not the order of their ids.
fn place(section: SectionId) -> usize {
    const ORDER: [SectionId; 13] = [
        SectionId::Type,
        SectionId::Import,
        SectionId::Function,
        SectionId::Table,
        SectionId::Memory,
        SectionId::Tag,
        SectionId::Global,
        SectionId::Export,
        SectionId::Start,
        SectionId::Element,
        SectionId::DataCount,
        SectionId::Code,
        SectionId::Data,
    ];
    ORDER.iter().position(|known| *known == section).unwrap_or_default()
}
