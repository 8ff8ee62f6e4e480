//! The engines that are built in, and the seam that all engines have. No other file knows engines by name.

pub use portcullis_core::engine::*;

cfg_if::cfg_if! {
    if #[cfg(feature = "wasmtime")] {
        /// The engine that is used when nobody names one.
        pub type DefaultEngine = portcullis_wasmtime::Wasmtime;
    } else if #[cfg(feature = "wasmer")] {
        /// The engine that is used when nobody names one.
        pub type DefaultEngine = portcullis_wasmer::Wasmer;
    } else if #[cfg(feature = "wasmi")] {
        /// The engine that is used when nobody names one.
        pub type DefaultEngine = portcullis_wasmi::Wasmi;
    } else {
        compile_error!("portcullis needs an engine: enable its cargo feature `wasmtime`, `wasmer` or `wasmi`");
    }
}

/// Returns the engines that are built in; the first is the default.
#[cfg(any(feature = "wasmtime", feature = "wasmer", feature = "wasmi"))]
const ENGINES: &[EngineInfo] = &[
    #[cfg(feature = "wasmtime")]
    EngineInfo::of::<portcullis_wasmtime::Wasmtime>(|settings| {
        Ok(Box::new(portcullis_wasmtime::Wasmtime::new(settings)?))
    }),
    #[cfg(feature = "wasmer")]
    EngineInfo::of::<portcullis_wasmer::Wasmer>(|settings| Ok(Box::new(portcullis_wasmer::Wasmer::new(settings)?))),
    #[cfg(feature = "wasmer-singlepass")]
    EngineInfo::of::<portcullis_wasmer::Wasmer<portcullis_wasmer::Singlepass>>(|settings| {
        Ok(Box::new(portcullis_wasmer::Wasmer::<portcullis_wasmer::Singlepass>::with_compiler(settings)?))
    }),
    #[cfg(feature = "wasmi")]
    EngineInfo::of::<portcullis_wasmi::Wasmi>(|settings| Ok(Box::new(portcullis_wasmi::Wasmi::new(settings)?))),
];

/// All engines there are, each as its cargo feature is named.
const KNOWN: &[&str] = &["wasmtime", "wasmer", "wasmer-singlepass", "wasmi"];

/// An engine that is built in.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EngineInfo {
    /// Its name in configurations and logs.
    pub name: &'static str,
    /// The version of the runtime beneath it.
    pub version: &'static str,
    /// The limits that it can enforce.
    pub features: EngineFeatures,
    start: fn(&EngineSettings) -> Result<Box<dyn AnyEngine>, EngineError>,
}

impl EngineInfo {
    const fn of<E: WasmEngine>(start: fn(&EngineSettings) -> Result<Box<dyn AnyEngine>, EngineError>) -> Self {
        Self { name: E::NAME, version: E::VERSION, features: E::FEATURES, start }
    }

    /// Starts it.
    ///
    /// # Errors
    /// The engine cannot run on this machine.
    pub fn start(&self, settings: &EngineSettings) -> Result<Box<dyn AnyEngine>, EngineError> {
        (self.start)(settings)
    }
}

/// Why an engine cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineChoiceError {
    /// The engine is known, but not built into this binary.
    #[error("the engine {name} is not in this binary; build it with the cargo feature `{name}` (there is {})", names())]
    NotBuiltIn {
        /// The engine's name, which is its cargo feature's.
        name: &'static str,
    },
    /// No engine has the name.
    #[error("there is no engine {name:?}; this binary has {}", names())]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
}

/// An engine that was asked for by a name.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Choice {
    /// The engine.
    pub engine: &'static EngineInfo,
    /// The name was of a runtime that only Envoy has, and the default engine takes its place.
    pub is_substitute: bool,
}

/// Returns the engines that are built in; the first is the default.
pub fn all() -> &'static [EngineInfo] {
    ENGINES
}

/// Returns the names of the engines that are not built in; each is also the name of the Cargo feature that builds it in.
pub fn missing() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().copied().filter(|known| ENGINES.iter().all(|engine| engine.name != *known))
}

/// Finds an engine by its own name, or by Envoy's (`envoy.wasm.runtime.wasmtime`). The empty name
/// and Envoy's other runtimes (`envoy.wasm.runtime.v8`, `.wamr`) mean the default.
///
/// # Errors
/// The engine is not built in, or none has the name.
///
/// ```
/// use portcullis::engine::EngineSettings;
///
/// let choice = portcullis::engine::find("envoy.wasm.runtime.v8")?;
/// assert!(choice.is_substitute, "V8 is an engine of Envoy's alone");
/// let engine = choice.engine.start(&EngineSettings::default())?;
/// assert_eq!(engine.name(), choice.engine.name);
///
/// assert!(portcullis::engine::find("jvm").is_err_and(|error| error.to_string().contains("there is no engine")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find(name: &str) -> Result<Choice, EngineChoiceError> {
    let own = name.strip_prefix("envoy.wasm.runtime.").unwrap_or(name);
    let is_substitute = own != name && matches!(own, "v8" | "wamr");
    let mut engines = ENGINES.iter();
    let found = if is_substitute || name.is_empty() { engines.next() } else { engines.find(|known| known.name == own) };
    found.map(|engine| Choice { engine, is_substitute }).ok_or_else(|| {
        match KNOWN.iter().find(|known| **known == own) {
            Some(name) => EngineChoiceError::NotBuiltIn { name },
            None => EngineChoiceError::Unknown { name: name.to_owned() },
        }
    })
}

fn names() -> String {
    ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_names_are_understood() {
        for (name, is_substitute) in [("", false), ("envoy.wasm.runtime.v8", true), ("envoy.wasm.runtime.wamr", true)] {
            let choice = find(name).map(|choice| (choice.engine.name, choice.is_substitute));
            assert_eq!(choice, Ok((ENGINES[0].name, is_substitute)), "{name}");
        }
        for known in ENGINES {
            for name in [known.name.to_owned(), format!("envoy.wasm.runtime.{}", known.name)] {
                let choice = find(&name).map(|choice| (choice.engine.name, choice.is_substitute));
                assert_eq!(choice, Ok((known.name, false)), "{name}");
            }
        }
    }

    #[test]
    fn an_engine_that_is_not_there_is_an_error() {
        let message = |name| find(name).map(|choice| choice.engine.name).map_err(|error| error.to_string());
        assert_eq!(message("v8"), Err(format!("there is no engine \"v8\"; this binary has {}", names())));
        for known in KNOWN.iter().filter(|known| ENGINES.iter().all(|engine| engine.name != **known)) {
            let error = format!(
                "the engine {known} is not in this binary; build it with the cargo feature `{known}` (there is {})",
                names()
            );
            assert_eq!(message(known), Err(error));
        }
    }

    #[test]
    fn every_engine_starts() {
        for info in ENGINES {
            let engine = info.start(&EngineSettings::default());
            assert_eq!(engine.map(|engine| engine.name()).ok(), Some(info.name));
        }
    }

    #[test]
    fn fingerprints_have_the_versions() {
        for info in ENGINES {
            let engine = info.start(&EngineSettings::default());
            let fingerprint = engine.map(|engine| (engine.version(), engine.fingerprint()));
            let expected = format!("{} {} ", info.name, info.version);
            assert!(fingerprint.is_ok_and(|(version, text)| version == info.version && text.starts_with(&expected)));
        }
    }
}
