#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is a finding")]

use portcullis_core::fuzzing::Input;
use portcullis_core::module::Bytecode;

use super::section::{split, with};

/// Splits a plugin's file into module and compiled code, and puts code in: the module stays, and the last code is found.
pub fn code_sections(data: &[u8]) {
    let mut input = Input::new(data);
    let (engine, sealed) = (input.bytes(), input.bytes());
    let plugin = input.rest();
    let (wasm, codes) = split(plugin);
    assert!(wasm.len() + codes.iter().map(|code| code.len()).sum::<usize>() <= plugin.len());
    let (again, none) = split(&wasm);
    assert!(none.is_empty() && again == wasm, "what is left has no code");
    // Names of engines are text without a zero.
    let engine: String = String::from_utf8_lossy(engine).replace('\0', "");
    let is_module = wasm.len() >= 8 && Bytecode::judge(&wasm).is_ok();
    let fuller = with(plugin, &engine, sealed);
    if is_module {
        let (same, found) = split(&fuller);
        assert_eq!(same, wasm, "code changes no module");
        assert_eq!(found.last().copied(), Some(sealed));
        assert!(Bytecode::judge(&fuller).is_ok(), "it is still the plugin");
        let replaced = split(&with(&fuller, &engine, b"new")).1.len();
        assert_eq!(replaced, found.len(), "an engine has one code");
    }
}
