//! Messages about plugins that cannot be loaded or do not start, each with its place and a remedy.

use portcullis::chain::LoadError;
use portcullis::engine::{EngineError, StartError};
use portcullis::module::BytecodeError;

use super::compile::CompileError;
use crate::Diagnostic;

/// Explains why a plugin could not be loaded into a worker, at its place.
pub fn explain(plugin: &crate::Plugin, error: &LoadError) -> Diagnostic {
    match error {
        LoadError::Start(error) => not_started(plugin, error, ""),
        error => plugin.origin.diagnostic(error.to_string(), LOGGED),
    }
}

/// The remedy where the host does not know more than the log.
const LOGGED: &str = "see the plugin's log lines above";

/// Reports that a plugin did not start, at the place of its configuration or its root_id, whichever it refused. `before` is what
/// the message begins with.
pub(crate) fn not_started(plugin: &crate::Plugin, error: &StartError, before: &str) -> Diagnostic {
    let (place, help) = match error {
        StartError::Configure { .. } => (&plugin.configuration_origin, REFUSED),
        StartError::VmStart { .. } => (&plugin.vm.configuration_origin, REFUSED),
        StartError::Trap { .. } if !plugin.root_id.is_empty() => (
            &plugin.root_id_origin,
            "see the plugin's log lines above; the module may have no root context of this root_id",
        ),
        _ => (&plugin.origin, LOGGED),
    };
    let root = match error {
        StartError::Trap { .. } if !plugin.root_id.is_empty() => format!("root_id {:?}: ", plugin.root_id),
        _ => String::new(),
    };
    // The remedy says the same.
    let error = error.to_string();
    let error = error.trim_end_matches("; its log says why");
    place.diagnostic(format!("{before}{root}{error}"), help)
}

/// The remedy for a plugin that has answered false.
const REFUSED: &str = "correct it, as the plugin's log lines above say";

/// Returns the message of an error and one remedy: the error's own, if it has one.
pub(super) fn remedy(error: &LoadError) -> (String, String) {
    const ANY: &str = "build the module as a Proxy-Wasm plugin, or correct the path";
    let text = error.to_string();
    match (error, text.rsplit_once("; ")) {
        (LoadError::Bytecode(BytecodeError::NoMarker), Some((message, _))) => (message.to_owned(), ANY.to_owned()),
        (LoadError::Bytecode(BytecodeError::NotWasm(_)), None) if text.ends_with("compressed with gzip") => {
            (text, "decompress it with gunzip".to_owned())
        }
        (LoadError::Bytecode(BytecodeError::NotWasm(_)), None) if text.ends_with("it is empty") => {
            (text, "build the plugin again".to_owned())
        }
        (LoadError::Engine(EngineError { source, .. }), _)
            if let Some(error) = source.downcast_ref::<CompileError>() =>
        {
            (text, error.help().to_owned())
        }
        (LoadError::Bytecode(_), Some((message, help))) => (message.to_owned(), help.to_owned()),
        _ => (text, ANY.to_owned()),
    }
}
