//! Every callback exported with another type than it has, and as something that is no function.

use portcullis::abi::{CALLBACKS, CallbackDecl, ValType};
use portcullis::engine::AnyEngine;

use crate::engine::case::verdict;
use crate::engine::prelude::types;

/// Returns each export that the host may call, once.
pub(super) fn exports() -> impl Iterator<Item = &'static str> {
    let is_first =
        |(index, decl): &(usize, &CallbackDecl)| CALLBACKS[..*index].iter().all(|before| before.export != decl.export);
    CALLBACKS.iter().enumerate().filter(is_first).map(|(_, decl)| decl.export)
}

/// Exports it with every type near its own, and as a global, a table and a memory.
///
/// # Panics
/// A type is taken that is not its own, or refused that is; or the words are not those that name it.
pub(super) fn run(export: &str, engine: &dyn AnyEngine) {
    let shapes: Vec<_> = CALLBACKS.iter().filter(|decl| decl.export == export).collect();
    let own = |params: &[ValType], results: &[ValType]| {
        shapes.iter().any(|decl| decl.params == params && decl.results == results)
    };
    for decl in &shapes {
        for (params, results) in near(decl) {
            let found = verdict(engine, &module(export, &params, &results));
            if own(&params, &results) {
                assert_eq!(found, None);
                continue;
            }
            let expected: Vec<_> = shapes.iter().map(|decl| signature(decl.params, decl.results)).collect();
            let (is, should) = (signature(&params, &results), expected.join(" or "));
            assert_eq!(found.as_deref(), Some(format!("exports {export} as {is}, but it is {should}").as_str()));
        }
    }
    // What is no function is no callback: none will be called.
    for field in [r#"(global (export "NAME") i32 (i32.const 0))"#, r#"(table (export "NAME") 1 funcref)"#] {
        assert_eq!(verdict(engine, &with(&field.replace("NAME", export))), None);
    }
    let memory = MEMORY.replace(r#""memory""#, &format!("{export:?}"));
    assert_eq!(verdict(engine, &format!("(module {memory} {MARKER} {MALLOC})")), None, "a memory of this name is one");
}

/// Returns its own type; one parameter less, one more, one of another type, each; no result, another, and two.
fn near(decl: &CallbackDecl) -> Vec<(Vec<ValType>, Vec<ValType>)> {
    let (params, results) = (decl.params.to_vec(), decl.results.to_vec());
    let mut near = vec![
        (params.clone(), results.clone()),
        ([&params[..], &[ValType::I32]].concat(), results.clone()),
        (vec![ValType::I32; 1000], results.clone()),
        (params.clone(), [&results[..], &[ValType::I32]].concat()),
        (params.clone(), vec![ValType::I64]),
        (params.clone(), vec![ValType::F64; 2]),
        (params[..params.len().saturating_sub(1)].to_vec(), results.clone()),
        (params.clone(), Vec::new()),
    ];
    for index in 0..params.len() {
        for other in [ValType::I64, ValType::F64] {
            let mut changed = params.clone();
            changed[index] = other;
            near.push((changed, results.clone()));
        }
    }
    near
}

/// Returns the signature as the verdict writes it.
fn signature(params: &[ValType], results: &[ValType]) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let shown = match params.len() {
        0..=16 => list(params),
        _ => format!("{}, ...", list(&params[..16])),
    };
    match results {
        [result] => format!("({shown}) -> {result}"),
        _ => format!("({shown}) -> ({})", list(results)),
    }
}

/// Returns a module of the newest ABI; what may be called only behind another is exported with that.
fn module(export: &str, params: &[ValType], results: &[ValType]) -> String {
    let before = match export {
        "main" | "__main_void" => r#"(func (export "_initialize"))"#,
        _ => "",
    };
    let (params, results) = (types(params), types(results));
    with(&format!("{before} (func (export {export:?}) (param{params}) (result{results}) unreachable)"))
}

fn with(fields: &str) -> String {
    format!("(module {fields} {MEMORY} {MARKER} {MALLOC})")
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;
const MARKER: &str = r#"(func (export "proxy_abi_version_0_2_1"))"#;
const MALLOC: &str = r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#;
