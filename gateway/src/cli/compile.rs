//! `compile`: a plugin with its machine code in its file.

use std::path::{Path, PathBuf};

use portcullis::code_cache::{CodeCache, PrecompileError};
use portcullis::engine::EngineSettings;

use super::limits::CompileOptions;
use super::process::{Ended, print};
use crate::error::ServeError;

/// Compile a plugin ahead, for a machine like this one.
///
/// Writes the plugin with its machine code in it, which other hosts skip. A gateway whose
/// `code_cache` has the same key runs that code without compiling; with another key, engine,
/// version or CPU it compiles the plugin as if the code were not there. Compile the output again
/// with another --engine to have both.
///
/// Machine code is run without being checked: whoever can read the key can make a gateway run
/// code of their choice.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The plugin (.wasm).
    plugin: PathBuf,

    /// The file to write the plugin with its code to.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// The folder whose key seals the code; made if it is not there.
    #[arg(long, value_name = "DIR")]
    code_cache: PathBuf,

    /// The engine to compile for; the default engine if none is named. `portcullis engines` lists them.
    #[arg(long, value_name = "NAME")]
    engine: Option<String>,

    /// `limits.stack` of the VMs that will run it, in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = EngineSettings::default().stack)]
    stack: usize,

    #[command(flatten)]
    limits: CompileOptions,
}

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let Self { plugin, output, code_cache, engine, stack, limits } = self;
        let cannot = |operation, path: &Path| {
            let path = path.to_owned();
            move |error| ServeError::File { operation, path, error }
        };
        let cache = CodeCache::open(code_cache)?;
        let settings = EngineSettings::default().with_stack(*stack);
        let engine = portcullis::engine::find(engine.as_deref().unwrap_or_default())?.engine;
        let engine = engine.start(&settings).map_err(PrecompileError::from)?;
        let wasm =
            portcullis::input::read_file(plugin, portcullis::input::LARGEST_PLUGIN).map_err(cannot("read", plugin))?;
        let with_code = limits.loader().precompile(&cache, &*engine, &wasm).map_err(|error| match error {
            PrecompileError::Engine(error) => ServeError::of_compiling(plugin, error),
            error => error.into(),
        })?;
        std::fs::write(output, &with_code).map_err(cannot("write", output))?;
        print(&format!(
            "{}: {} with code for {} ({} bytes)\n",
            output.display(),
            plugin.display(),
            engine.name(),
            with_code.len()
        ))
    }
}
