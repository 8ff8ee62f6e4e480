//! Tests of what Cranelift makes for aarch64, on whatever machine they run.

use portcullis_core::module::Bytecode;
use portcullis_core::testing::aarch64::{Branches, TARGETS, plugin};
use wasmer::sys::{CpuFeature, EngineBuilder, Target};
use wasmer_compiler::ArtifactBuild;

#[test]
fn no_branch_over_the_largest_tables_leaves_the_function() {
    const TABLES: usize = 5;
    let wasm = wat::parse_str(plugin(TABLES, TARGETS)).unwrap_or_default();
    assert!(Bytecode::judge(&wasm).is_ok());
    let found = compiled(&wasm, TARGETS);
    assert!(found.conditional >= TABLES, "{found:?}");
    assert_eq!((found.entries, found.astray), (TABLES * TARGETS, vec![]));
}

/// With many more targets Cranelift 0.134 branches out of the function, or panics where its own assertions are compiled in.
/// Once it does neither, the core's bound is no guard any more, and SECURITY.md should say so.
#[test]
fn a_branch_over_a_larger_table_does() {
    const MANY: usize = 300_000;
    let wasm = wat::parse_str(plugin(1, MANY)).unwrap_or_default();
    assert!(Bytecode::judge(&wasm).is_err());
    match std::panic::catch_unwind(|| compiled(&wasm, MANY)) {
        Ok(found) => assert!(found.entries == MANY && !found.astray.is_empty(), "{found:?}"),
        Err(panic) => {
            let said =
                panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            assert!(said.is_some_and(|said| said.contains("max_pos_range")), "{said:?}");
        }
    }
}

/// Compiles a module as this engine does, but for aarch64, and reads its longest function.
fn compiled(wasm: &[u8], entries: usize) -> Branches {
    let triple = "aarch64-unknown-linux-gnu".parse().unwrap_or_else(|_| panic!("no such target"));
    let target = Target::new(triple, CpuFeature::set());
    let engine = EngineBuilder::new(wasmer::sys::Cranelift::new()).set_target(Some(target)).engine();
    let metered = crate::meter::metered(wasm).unwrap_or_default();
    let (memories, tables) = (Default::default(), Default::default());
    let built = ArtifactBuild::new(&mut engine.inner_mut(), &metered, engine.target(), memories, tables, None);
    let built = built.unwrap_or_else(|error| panic!("{error}"));
    let bodies = built.get_function_bodies_ref().into_iter().flat_map(|bodies| bodies.values());
    let longest = bodies.max_by_key(|body| body.body.len()).map(|body| &*body.body);
    Branches::read(longest.unwrap_or_default(), entries)
}
