//! Code that Cranelift makes for aarch64, on whatever machine this runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use object::{Object, ObjectSection, ObjectSymbol};
use portcullis_core::module::Bytecode;
use portcullis_core::testing::aarch64::{Branches, TARGETS, plugin};
use wasmtime::{Config, Engine, OptLevel};

#[test]
fn no_branch_over_the_largest_tables_leaves_the_function() {
    const TABLES: usize = 5;
    let wasm = wat::parse_str(plugin(TABLES, TARGETS)).unwrap();
    assert!(Bytecode::judge(&wasm).is_ok());
    // Its Cranelift has the default in the table, too.
    let entries = TARGETS + 1;
    let found = compiled(&wasm, entries);
    assert_eq!((found.entries, found.astray), (TABLES * entries, vec![]));
    assert!(found.unconditional > 0);
}

/// Compiles a module as the engine does, but for aarch64, and reads its longest function.
fn compiled(wasm: &[u8], entries: usize) -> Branches {
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::Speed).epoch_interruption(true).target("aarch64-unknown-linux-gnu").unwrap();
    let elf = Engine::new(&config).unwrap().precompile_module(wasm).unwrap();
    let elf = object::File::parse(&*elf).unwrap();
    let functions = elf.symbols().filter(|symbol| symbol.name().is_ok_and(|name| name.contains("::function[")));
    let longest = functions.max_by_key(|symbol| symbol.size()).unwrap();
    let code = elf.section_by_name(".text").unwrap().data_range(longest.address(), longest.size()).unwrap();
    Branches::read(code.unwrap(), entries)
}
