//! Debug info that compilers leave in a module: lines of source and names of functions. All of it was chosen by the guest.
//!
//! Engines are not asked to read it: what they would do for each trap, in the thread that serves, is done here once for a
//! module, when it is loaded, within bounds.

mod lines;
mod paths;

use std::ops::Range;

use wasmparser::{Parser, Payload};

pub use lines::SourceLines;

/// How much a module carries for debuggers, in bytes: its sections `.debug_*` and its names of functions.
pub fn debug_info_size(wasm: &[u8]) -> u64 {
    custom_sections(wasm).map(|(_, section)| section.len() as u64).sum()
}

/// Removes what a module carries for debuggers. Nothing else changes, so it runs as before; its traps name no lines and
/// functions by their index alone.
pub fn without_debug_info(wasm: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(wasm.len());
    let mut kept = 0;
    for (_, section) in custom_sections(wasm) {
        rest.extend_from_slice(wasm.get(kept..section.start).unwrap_or_default());
        kept = section.end;
    }
    rest.extend_from_slice(wasm.get(kept..).unwrap_or_default());
    rest
}

/// Returns the sections for debuggers with their names and ranges, in their order. Ends at the first that cannot be read.
fn custom_sections(wasm: &[u8]) -> impl Iterator<Item = (&str, Range<usize>)> {
    let mut end = HEADER;
    Parser::new(0).parse_all(wasm).map_while(Result::ok).filter_map(move |payload| {
        let (_, contents) = payload.as_section()?;
        // Sections follow each other, so one begins where the one before it has ended.
        let whole = std::mem::replace(&mut end, contents.end)..contents.end;
        match payload {
            Payload::CustomSection(section) if is_for_debuggers(section.name()) => Some((section.name(), whole)),
            _ => None,
        }
    })
}

fn is_for_debuggers(name: &str) -> bool {
    name == "name" || name.starts_with(".debug_")
}

/// Length of the magic number and version that a module begins with.
const HEADER: usize = 8;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::module::bytecode::ModuleInfo;

    const GUEST: &str = r#"(module $m
        (func $f (param $p i32) unreachable)
        (@custom ".debug_line" "1234")
        (@custom "other" "12")
        (@custom ".debug_str" (before code) "123456")
        (func $g (export "g") (call $f (i32.const 1))))"#;

    #[test]
    fn only_what_debuggers_read_is_removed() {
        let wasm = wat::parse_str(GUEST).unwrap();
        assert!(ModuleInfo::read(&wasm).names && debug_info_size(&wasm) > 40, "{}", debug_info_size(&wasm));
        let bare = without_debug_info(&wasm);
        assert_eq!(bare.len() as u64, wasm.len() as u64 - debug_info_size(&wasm));
        assert_eq!((debug_info_size(&bare), ModuleInfo::read(&bare).names), (0, false));
        let text = String::from_utf8_lossy(&bare).into_owned();
        assert!(text.contains("other") && !text.contains("debug_"), "{text:?}");
        wasmparser::validate(&bare).unwrap();
        assert_eq!(without_debug_info(&bare), bare);
    }

    #[test]
    fn what_is_no_module_stays_as_it_is() {
        let wasm = wat::parse_str(GUEST).unwrap();
        for bytes in [&b""[..], b"\0asm", b"no module at all", &wasm[..wasm.len() - 1]] {
            assert!(without_debug_info(bytes).len() <= bytes.len());
        }
    }
}
