//! Modules of any code, made of bytes, and what wasmi makes of them.

use arbitrary::{Result, Unstructured};
use wasm_smith::{Config, MemoryOffsetChoices};
use wasmi::{Engine, Extern, ExternType, Instance, Linker, Module, Store, Val, ValType};
use wasmparser::{Operator, Parser, Payload};

/// Calls and turns of loops that a module has, all together.
const FUEL: u32 = 300;
/// How often the exported functions are called.
const CALLS: usize = 4;

/// The outcome of a call: its results, or its trap.
pub(crate) type Outcome = std::result::Result<Vec<String>, String>;

/// A guest on wasmi.
pub(crate) struct Guest {
    pub(crate) store: Store<()>,
    pub(crate) instance: Instance,
}

/// Makes a module of what the judge accepts: functions alone are imported, memory and tables have their limits, all is
/// exported. It ends by itself.
pub(crate) fn module(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let config = Config {
        available_imports: Some(imports()),
        canonicalize_nans: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        export_everything: true,
        gc_enabled: false,
        max_data_segments: 5,
        max_element_segments: 5,
        max_funcs: 20,
        max_globals: 10,
        max_imports: 4,
        max_memories: 1,
        max_memory32_bytes: 1 << 20,
        max_table_elements: 300,
        max_tables: 3,
        max_types: 10,
        memory64_enabled: false,
        memory_max_size_required: true,
        memory_offset_choices: MemoryOffsetChoices(80, 15, 5),
        reference_types_enabled: true,
        relaxed_simd_enabled: false,
        table_max_size_required: true,
        tail_call_enabled: false,
        threads_enabled: false,
        ..Config::default()
    };
    let mut module = wasm_smith::Module::new(config, input)?;
    module.ensure_termination(FUEL).map_err(|_| arbitrary::Error::IncorrectFormat)?;
    let wasm = module.to_bytes();
    if is_held_to_offsets(&wasm) { Ok(wasm) } else { Err(arbitrary::Error::IncorrectFormat) }
}

/// Returns false if the judge refuses a module for what wasmi runs wrongly: stores of lanes with an offset of more than 16 bits.
fn is_held_to_offsets(wasm: &[u8]) -> bool {
    let bodies = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload {
        Ok(Payload::CodeSectionEntry(body)) => body.get_operators_reader().ok(),
        _ => None,
    });
    bodies.flat_map(IntoIterator::into_iter).all(|operator| match operator {
        Ok(Operator::V128Store8Lane { memarg, .. } | Operator::V128Store16Lane { memarg, .. }) => {
            memarg.offset <= 65_535
        }
        _ => true,
    })
}

/// Functions to be imported, a few of them.
fn imports() -> Vec<u8> {
    use wasm_encoder::{EntityType, ImportSection, Module, TypeSection, ValType};
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([ValType::I64, ValType::F64], []);
    for (ty, name) in (0..).zip(["a", "b", "c"]) {
        imports.import("env", name, EntityType::Function(ty));
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

impl Guest {
    /// Makes a guest; the error says where it failed. Imports answer zeros, or the first argument if they are the meter's.
    pub(crate) fn new(engine: &Engine, wasm: &[u8]) -> std::result::Result<Self, String> {
        let module = Module::new(engine, wasm).map_err(|error| format!("translate: {error}"))?;
        let mut linker = Linker::new(engine);
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else { return Err("it imports more than functions".to_owned()) };
            let linked = linker.func_new(import.module(), import.name(), ty.clone(), |_, arguments, results| {
                for (result, at) in results.iter_mut().zip(0..) {
                    *result = arguments.get::<usize>(at).cloned().unwrap_or(Val::I32(0));
                }
                Ok(())
            });
            linked.map_err(|error| error.to_string())?;
        }
        let mut store = Store::new(engine, ());
        let instance = linker.instantiate_and_start(&mut store, &module).map_err(|error| trap(&error))?;
        Ok(Self { store, instance })
    }

    /// Calls the exported functions, chosen and fed by `bytes`.
    pub(crate) fn run(&mut self, bytes: &[u8]) -> Vec<Outcome> {
        let functions: Vec<_> = self.instance.exports(&self.store).filter_map(|export| export.into_func()).collect();
        let Some(last) = functions.len().checked_sub(1) else { return Vec::new() };
        let mut input = Unstructured::new(bytes);
        let calls = (0..CALLS).map(|_| {
            let function = functions[input.int_in_range(0..=last).unwrap_or(0)];
            let ty = function.ty(&self.store);
            let arguments: Vec<_> = ty.params().iter().map(|ty| value(*ty, &mut input)).collect();
            let mut results: Vec<_> = ty.results().iter().map(|ty| Val::default_for_ty(*ty)).collect();
            let called = function.call(&mut self.store, &arguments, &mut results);
            called.map(|()| results.iter().map(shown).collect()).map_err(|error| trap(&error))
        });
        calls.collect()
    }

    /// The bits of an exported global that holds a number.
    pub(crate) fn global(&self, name: &str) -> u128 {
        match self.instance.get_global(&self.store, name).map(|global| global.get(&self.store)) {
            Some(Val::I32(value)) => value.cast_unsigned().into(),
            Some(Val::I64(value)) => value.cast_unsigned().into(),
            Some(Val::F32(value)) => value.to_bits().into(),
            Some(Val::F64(value)) => value.to_bits().into(),
            Some(Val::V128(value)) => value.as_u128(),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// The visible state: memory, and the values of globals.
    pub(crate) fn state(&self) -> (Vec<u8>, Vec<(String, String)>) {
        let mut memory = Vec::new();
        let mut globals = Vec::new();
        for export in self.instance.exports(&self.store) {
            let name = export.name().to_owned();
            match export.into_extern() {
                Extern::Memory(found) => memory = found.data(&self.store).to_vec(),
                Extern::Global(global) => globals.push((name, shown(&global.get(&self.store)))),
                _ => {}
            }
        }
        globals.sort();
        (memory, globals)
    }
}

fn value(ty: ValType, input: &mut Unstructured<'_>) -> Val {
    let mut bits = || input.arbitrary::<u64>().unwrap_or_default();
    match ty {
        ValType::I32 => Val::I32(bits() as i32),
        ValType::I64 => Val::I64(bits() as i64),
        ValType::F32 => Val::F32(wasmi::F32::from_bits(bits() as u32)),
        ValType::F64 => Val::F64(wasmi::F64::from_bits(bits())),
        other => Val::default_for_ty(other),
    }
}

/// References are not compared: functions have other indices.
fn shown(value: &Val) -> String {
    match value {
        Val::FuncRef(function) => format!("function {}", function.is_null()),
        Val::ExternRef(_) => "extern".to_owned(),
        value => format!("{value:?}"),
    }
}

fn trap(error: &wasmi::Error) -> String {
    match error.as_trap_code() {
        Some(code) => format!("{code:?}"),
        // What follows are numbers of the store.
        None => error.to_string().split(':').next().unwrap_or_default().to_owned(),
    }
}
