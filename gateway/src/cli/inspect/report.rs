//! The report on a plugin's file.

use std::path::Path;

use portcullis::abi::{AbiVersion, HostcallId};
use portcullis::module::{Bytecode, BytecodeError, ModuleInfo, Needs};
use portcullis::rights::Capabilities;

/// The report on a plugin's file.
#[derive(Clone, Debug)]
pub(super) struct Report {
    /// The file, as it was named by the caller.
    pub(super) file: String,
    /// Its size in bytes.
    pub(super) size: usize,
    pub(super) anatomy: ModuleInfo,
    /// The plugin, or the reason for which it would be refused.
    pub(super) verdict: Result<Accepted, BytecodeError>,
    /// The fault of each refused import, at most [`REFUSED_IMPORTS`].
    pub(super) refused_imports: Vec<BytecodeError>,
}

/// A module that runs.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    pub(super) abi: AbiVersion,
    pub(super) allocator: &'static str,
    /// The export name of its memory.
    pub(super) memory: String,
    /// The start functions, in the order in which they are called.
    pub(super) start: Vec<&'static str>,
    pub(super) needs: Needs,
}

/// Maximum number of refused imports that are shown.
const REFUSED_IMPORTS: usize = 100;

impl Report {
    /// Reads a plugin's file.
    ///
    /// # Errors
    /// The file cannot be read, is no regular file, or is larger than any module (1 GiB).
    pub(super) fn read(path: &Path) -> std::io::Result<Self> {
        let wasm = portcullis::input::read_file(path, portcullis::input::LARGEST_PLUGIN)?;
        Ok(Self::of(path.display().to_string(), &wasm))
    }

    pub(super) fn of(file: String, wasm: &[u8]) -> Self {
        let verdict = Accepted::judge(wasm);
        let refused_imports = match verdict {
            Ok(_) => Vec::new(),
            Err(_) => Bytecode::refused_imports(wasm, REFUSED_IMPORTS),
        };
        Self { file, size: wasm.len(), anatomy: ModuleInfo::read(wasm), verdict, refused_imports }
    }

    /// Returns the reason for which the module would be refused, if it would be.
    pub(super) fn refusal(&self) -> Option<&BytecodeError> {
        self.verdict.as_ref().err()
    }

    /// Returns the rights that the plugin needs, as the key of a plugin in a configuration.
    ///
    /// # Errors
    /// Why the module would be refused.
    pub(super) fn yaml(&self) -> Result<String, BytecodeError> {
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

    /// Returns the names of the hostcalls in `ids` that are functions of WASI, or that are not.
    pub(super) fn names(ids: &[HostcallId], wasi: bool) -> Vec<&'static str> {
        ids.iter().filter(|id| id.is_wasi() == wasi).map(|id| id.decl().name).collect()
    }

    pub(super) fn callbacks(&self) -> Vec<&'static str> {
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
}
