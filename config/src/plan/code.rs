//! The code of a plugin.

use bytes::Bytes;
use portcullis::module::{debug_info_size, without_debug_info};
use portcullis::package::{self, VerifyError};

use crate::{Code, ConfigError, Diagnostic, Verification};

/// Reads the code of a plugin, and returns it with its name in messages. All that has to hold of it does: these bytes are to run, and not
/// what is in the file later.
pub(super) fn read(plugin: &crate::Plugin) -> Result<(String, Vec<u8>), ConfigError> {
    let (what, code) = match &plugin.vm.code {
        Code::File(path) => {
            let code = portcullis::input::read_file(path, portcullis::input::LARGEST_PLUGIN).map_err(|error| {
                let message = format!("cannot read {}: {error}", path.display());
                plugin.vm.code_origin.diagnostic(message, "correct code.local.filename")
            })?;
            (path.display().to_string(), code)
        }
        Code::Bytes(bytes) => ("inline_bytes".to_owned(), bytes.clone()),
        Code::Text(text) => ("inline_string".to_owned(), text.clone().into_bytes()),
    };
    for verification in &plugin.verify {
        verify(verification, &code).map_err(|(why, help)| {
            let diagnostic = plugin.vm.code_origin.diagnostic(format!("{what}: {why}"), help);
            tracing::debug!(plugin = plugin.name, "{diagnostic}");
            diagnostic
        })?;
    }
    Ok((what, code))
}

/// Checks what has to hold of code. An error has the remedy with it.
fn verify(verification: &Verification, code: &[u8]) -> Result<(), (String, String)> {
    match verification {
        Verification::ModuleSignature { keys, origin } => package::verify(code, keys).map_err(|error| {
            let help = match error {
                VerifyError::Mismatch => {
                    "get the module as it was signed, or add the key that it was signed with to those"
                }
                _ => "get the module as it was signed, or sign it with one of those keys that stand",
            };
            (error.to_string(), format!("{help} in {}:{}", origin.file, origin.line))
        }),
    }
}

/// Removes debug information from the code of a plugin if it has more than its operator allows, and says so.
pub(super) fn bounded(plugin: &crate::Plugin, what: &str, code: Vec<u8>) -> (Bytes, Option<Diagnostic>) {
    let (size, limit) = (debug_info_size(&code), plugin.vm.load.debug_info);
    if size <= limit {
        return (code.into(), None);
    }
    let message = format!(
        "{what}: it carries {size} bytes for debuggers (.debug_* and names), more than {limit} (limits.debug_info), and is \
         loaded without: its traps name no functions and lines"
    );
    let help = "strip the module, or raise the limit";
    let notice = plugin.vm.code_origin.diagnostic(message, help);
    tracing::warn!(plugin = plugin.name, "{notice}");
    (without_debug_info(&code).into(), Some(notice))
}
