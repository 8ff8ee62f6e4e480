//! Which engines are built in. The only file that knows them by name.

use portcullis_core::{AnyEngine, EngineError};

cfg_if::cfg_if! {
    if #[cfg(feature = "wasmtime")] {
        /// The engine that is used when nobody names one.
        pub type DefaultEngine = portcullis_wasmtime::Wasmtime;
    } else {
        compile_error!("portcullis needs an engine: enable its cargo feature `wasmtime`");
    }
}

type Start = fn() -> Result<Box<dyn AnyEngine>, EngineError>;

const ENGINES: &[(&str, Start)] = &[
    #[cfg(feature = "wasmtime")]
    ("wasmtime", || Ok(Box::new(portcullis_wasmtime::Wasmtime::new()?))),
];

/// Why an engine cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineChoiceError {
    /// No engine of this name is built in.
    #[error("no engine {name:?} is built in; there is {}", ENGINES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The engine does not start.
    #[error(transparent)]
    Start(#[from] EngineError),
}

/// The names of the engines that are built in; the first is the default.
pub fn engine_names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|(name, _)| *name)
}

/// Starts an engine: by its own name, or by Envoy's (`envoy.wasm.runtime.wasmtime`). The empty name
/// and Envoy's other runtimes (`envoy.wasm.runtime.v8`, `.wamr`) mean the default.
///
/// # Errors
/// The engine is not built in, or does not start.
pub fn engine(name: &str) -> Result<Box<dyn AnyEngine>, EngineChoiceError> {
    let own = name.strip_prefix("envoy.wasm.runtime.").unwrap_or(name);
    let replaced = name.is_empty() || own != name && matches!(own, "v8" | "wamr");
    let mut engines = ENGINES.iter();
    let found = if replaced { engines.next() } else { engines.find(|(known, _)| *known == own) };
    let (_, start) = found.ok_or_else(|| EngineChoiceError::Unknown { name: name.to_owned() })?;
    Ok(start()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_names_are_understood() {
        for name in ["", "wasmtime", "envoy.wasm.runtime.wasmtime", "envoy.wasm.runtime.v8"] {
            assert!(engine(name).is_ok(), "{name}");
        }
        let error = engine("v9").map(|engine| engine.name()).map_err(|error| error.to_string());
        assert_eq!(error, Err("no engine \"v9\" is built in; there is wasmtime".to_owned()));
    }
}
