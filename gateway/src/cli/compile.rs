//! `compile`: a plugin with its machine code in its file.

use std::path::Path;

use portcullis::core::EngineSettings;
use portcullis::{CodeCache, PrecompileError};

use crate::plan::compile;
use crate::serve::server::ServeError;

/// Compiles a plugin within limits by `compiler`, the file of this program, and writes it with its code; gives what to print.
///
/// # Errors
/// A file cannot be read or written, there is no such engine, or it cannot compile the plugin.
pub fn precompile(
    plugin: &Path,
    output: &Path,
    code_cache: &Path,
    engine: &str,
    settings: &EngineSettings,
    limits: &compile::Arguments,
    compiler: Option<&Path>,
) -> Result<String, ServeError> {
    let cannot = |operation, path: &Path| {
        let path = path.to_owned();
        move |error| ServeError::File { operation, path, error }
    };
    let cache = CodeCache::open(code_cache)?;
    let engine = portcullis::engine(engine)?.engine.start(settings).map_err(PrecompileError::from)?;
    let wasm = portcullis::read_file(plugin, portcullis::LARGEST_PLUGIN).map_err(cannot("read", plugin))?;
    let with_code = limits.loader(compiler).precompile(&cache, &*engine, &wasm).map_err(|error| match error {
        PrecompileError::Engine(error) => ServeError::of_compiling(plugin, error),
        error => error.into(),
    })?;
    std::fs::write(output, &with_code).map_err(cannot("write", output))?;
    Ok(format!(
        "{}: {} with code for {} ({} bytes)\n",
        output.display(),
        plugin.display(),
        engine.name(),
        with_code.len()
    ))
}
