//! Modules by the byte, so that they can be wrong in ways that no tool would make.

use portcullis::engine::AnyEngine;
use portcullis::module::Bytecode;

/// Sections: an id and what it holds.
pub(super) type Sections = Vec<(u8, Vec<u8>)>;

pub(super) const TYPES: u8 = 1;
pub(super) const FUNCTIONS: u8 = 3;
pub(super) const TABLES: u8 = 4;
pub(super) const MEMORIES: u8 = 5;
pub(super) const GLOBALS: u8 = 6;
pub(super) const EXPORTS: u8 = 7;
pub(super) const ELEMENTS: u8 = 9;
pub(super) const CODE: u8 = 10;
pub(super) const DATA: u8 = 11;

/// Returns the smallest plugin: a memory, a marker, an allocator.
pub(super) fn plugin() -> Sections {
    let mut exports = vec![3];
    for (name, kind, index) in [("memory", 2, 0), ("proxy_abi_version_0_2_1", 0, 0), ("malloc", 0, 1)] {
        exports.extend(text(name));
        exports.extend([kind, index]);
    }
    vec![
        (TYPES, vec![2, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f]),
        (FUNCTIONS, vec![2, 0, 1]),
        (MEMORIES, vec![1, 0, 1]),
        (EXPORTS, exports),
        // Nothing; and the constant 0.
        (CODE, vec![2, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b]),
    ]
}

/// Returns the same with a section in another's place, or added where it belongs.
pub(super) fn with(id: u8, content: &[u8]) -> Vec<u8> {
    let mut sections = plugin();
    match sections.iter_mut().find(|(of, _)| *of == id) {
        Some((_, old)) => *old = content.to_vec(),
        None => {
            let at = sections.iter().position(|(of, _)| *of > id).unwrap_or(sections.len());
            sections.insert(at, (id, content.to_vec()));
        }
    }
    module(&sections)
}

/// Returns the same with other code for its first function.
pub(super) fn with_body(body: &[u8]) -> Vec<u8> {
    let mut code = vec![2];
    code.extend(leb(body.len()));
    code.extend(body);
    code.extend([4, 0, 0x41, 0, 0x0b]);
    with(CODE, &code)
}

/// Returns the same with something after it.
pub(super) fn followed_by(more: &[u8]) -> Vec<u8> {
    let mut wasm = module(&plugin());
    wasm.extend(more);
    wasm
}

pub(super) fn module(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    for (id, content) in sections {
        wasm.push(*id);
        wasm.extend(leb(content.len()));
        wasm.extend(content);
    }
    wasm
}

pub(super) fn custom(name: &str, content: &[u8]) -> (u8, Vec<u8>) {
    (0, [&text(name)[..], content].concat())
}

fn text(text: &str) -> Vec<u8> {
    [&leb(text.len())[..], text.as_bytes()].concat()
}

pub(super) fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// Returns why a module cannot be loaded: the verdict, or what the engine says where that has none.
pub(super) fn verdict(engine: &dyn AnyEngine, wasm: &[u8]) -> Option<String> {
    match Bytecode::judge(wasm) {
        Ok(bytecode) => engine.load(&bytecode).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
