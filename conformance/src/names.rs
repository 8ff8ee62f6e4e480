//! Names of callbacks, as checks and pages have them.

use portcullis_core::abi::CallbackId;

/// Returns a callback's name without `proxy_on_`.
pub(crate) fn short(phase: CallbackId) -> &'static str {
    let export = phase.decl().export;
    export.strip_prefix("proxy_on_").unwrap_or(export)
}
