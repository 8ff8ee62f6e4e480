//! What `portcullis inspect` prints: what a plugin is, and what it needs from its host.

mod json;
mod text;

use std::path::Path;

use portcullis::core::{AbiVersion, Anatomy, Bytecode, BytecodeError, Capabilities, HostcallId, Needs};

/// What is known of a plugin's file.
#[derive(Clone, Debug)]
pub struct Report {
    /// The file, as it was named by the caller.
    file: String,
    /// Its size in bytes.
    size: usize,
    anatomy: Anatomy,
    /// What it is, or why no engine would be given it.
    verdict: Result<Accepted, BytecodeError>,
    /// What is wrong with each import, at most [`REFUSED_IMPORTS`].
    refused_imports: Vec<BytecodeError>,
}

/// A module that runs.
#[derive(Clone, Debug)]
struct Accepted {
    abi: AbiVersion,
    allocator: &'static str,
    /// The export name of its memory.
    memory: String,
    /// The start functions, in the order in which they are called.
    start: Vec<&'static str>,
    needs: Needs,
}

/// How many imports are shown that keep a module from running.
const REFUSED_IMPORTS: usize = 100;

impl Report {
    /// Reads a plugin's file.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file, or is larger than any module (1 GiB).
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let wasm = portcullis::read_file(path, portcullis::LARGEST_PLUGIN)?;
        Ok(Self::of(path.display().to_string(), &wasm))
    }

    fn of(file: String, wasm: &[u8]) -> Self {
        let verdict = Accepted::judge(wasm);
        let refused_imports = match verdict {
            Ok(_) => Vec::new(),
            Err(_) => Bytecode::refused_imports(wasm, REFUSED_IMPORTS),
        };
        Self { file, size: wasm.len(), anatomy: Anatomy::read(wasm), verdict, refused_imports }
    }

    /// Why the module would be refused, if it would.
    pub fn refusal(&self) -> Option<&BytecodeError> {
        self.verdict.as_ref().err()
    }

    /// All of it, for people.
    pub fn text(&self) -> String {
        text::of(self)
    }

    /// All of it, as JSON.
    pub fn json(&self) -> String {
        format!("{:#}\n", json::of(self))
    }

    /// The rights that the plugin needs, as the key of a plugin in a configuration.
    ///
    /// # Errors
    /// Why the module would be refused.
    pub fn yaml(&self) -> Result<String, BytecodeError> {
        let accepted = self.verdict.as_ref().map_err(Clone::clone)?;
        Ok(block(accepted.needs.capabilities()))
    }
}

impl Accepted {
    fn judge(wasm: &[u8]) -> Result<Self, BytecodeError> {
        let bytecode = Bytecode::judge(wasm)?;
        let mut start: Vec<_> = bytecode.callbacks.iter().filter(|id| id.is_start_function()).collect();
        // The table's order is the order of calls.
        start.sort_by_key(|id| **id as u8);
        Ok(Self {
            abi: bytecode.abi,
            allocator: bytecode.allocator,
            start: start.into_iter().map(|id| id.decl().export).collect(),
            needs: Needs::of(&bytecode)?,
            memory: bytecode.memory,
        })
    }

    /// The names of the hostcalls in `ids` that are functions of WASI, or that are not.
    fn names(ids: &[HostcallId], wasi: bool) -> Vec<&'static str> {
        ids.iter().filter(|id| id.is_wasi() == wasi).map(|id| id.decl().name).collect()
    }

    fn callbacks(&self) -> Vec<&'static str> {
        self.needs.callbacks.iter().map(|id| id.decl().export).collect()
    }
}

fn block(capabilities: Capabilities) -> String {
    let names: String = capabilities.held().map(|name| format!("    {name}: {{}}\n")).collect();
    if names.is_empty() {
        return "capability_restriction_config:\n  allowed_capabilities: {}\n".to_owned();
    }
    format!("capability_restriction_config:\n  allowed_capabilities:\n{names}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_needs_nothing_gets_an_empty_mapping() {
        assert_eq!(block(Capabilities::NONE), "capability_restriction_config:\n  allowed_capabilities: {}\n");
    }

    #[test]
    fn what_is_no_module_says_so_everywhere() {
        let report = Report::of("x.wasm".to_owned(), b"(module)");
        let reason = "it is WebAssembly text";
        assert!(report.text().contains(reason) && report.json().contains(reason), "{}", report.text());
        assert!(report.yaml().is_err_and(|error| error.to_string().contains(reason)));
    }
}
