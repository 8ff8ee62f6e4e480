//! A test of how much the checks of limits add: what the core accepts is still valid when they are in it.

use portcullis_core::module::Bytecode;
use wasm_encoder::{
    CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, ImportSection, MemorySection, MemoryType, Module, RefType, TableSection, TableType, TypeSection,
    ValType,
};
use wasmparser::{Validator, WasmFeatures};

/// Bytes that a validator takes of a function.
const MOST: usize = 7_654_321;

/// Imports, so that the indices of functions take a byte more with those that are added.
const IMPORTS: u32 = 127;

#[test]
fn the_largest_functions_are_valid_with_the_checks_in_them() {
    // Instructions, and how often they go into a function with 64 bytes for each check.
    let cases: [(&str, &[u8], usize); 5] = [
        ("loop", &[0x03, 0x40, 0x0b], 3 + 64),
        ("memory.fill", &[0x20, 0, 0x20, 0, 0x20, 0, 0xfc, 0x0b, 0], 9 + 64),
        ("memory.grow", &[0x20, 0, 0x40, 0, 0x1a], 5 + 64),
        ("table.grow", &[0xd0, 0x70, 0x20, 0, 0xfc, 0x0f, 0, 0x1a], 8 + 64),
        ("call", &[0x10, 127], 2 + 1),
    ];
    for (name, code, each) in cases {
        let times = (MOST - 200) / each;
        let wasm = plugin(code, times);
        assert!(Bytecode::judge(&wasm).is_ok(), "{name}");
        let metered = crate::meter::metered(&wasm).unwrap_or_default();
        let valid = Validator::new_with_features(WasmFeatures::WASM2).validate_all(&metered);
        assert!(valid.is_ok(), "{name}: {:?}", valid.err());
        assert!(Bytecode::judge(&plugin(code, times + 200)).is_err(), "{name}");
    }
}

/// A plugin of which one function repeats this code. The global that is added after 100,000 has the longest index.
fn plugin(code: &[u8], times: usize) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([], [ValType::I32]);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut imports = ImportSection::new();
    for _ in 0..IMPORTS {
        imports.import("env", "proxy_done", EntityType::Function(1));
    }
    let mut functions = FunctionSection::new();
    functions.function(0).function(2).function(0);
    let mut tables = TableSection::new();
    let element_type = RefType::FUNCREF;
    tables.table(TableType { element_type, table64: false, minimum: 1, maximum: None, shared: false });
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut globals = GlobalSection::new();
    for _ in 0..100_000 {
        globals.global(GlobalType { val_type: ValType::I32, mutable: false, shared: false }, &ConstExpr::i32_const(0));
    }
    let mut exports = ExportSection::new();
    exports.export("malloc", ExportKind::Func, IMPORTS + 1).export("memory", ExportKind::Memory, 0);
    exports.export("proxy_abi_version_0_2_1", ExportKind::Func, IMPORTS);
    let mut malloc = Function::new([]);
    malloc.instructions().local_get(0).end();
    let mut marker = Function::new([]);
    marker.instructions().end();
    let mut large = Function::new([(1, ValType::I32)]);
    large.raw(code.iter().copied().cycle().take(code.len() * times)).instructions().end();
    let mut bodies = CodeSection::new();
    bodies.function(&marker).function(&malloc).function(&large);
    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&tables).section(&memories);
    module.section(&globals).section(&exports).section(&bodies);
    module.finish()
}
