//! Targets of lines, by which a filter selects them.

/// The target of lines that plugins log.
pub(super) const PLUGIN: &str = "plugin";

/// The target of lines that the host logs about a plugin's VM.
pub(super) const VM: &str = "portcullis::vm";

/// The target of the log's lines about itself.
pub(super) const LOG: &str = "portcullis::log";
