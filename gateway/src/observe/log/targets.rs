//! Targets of lines, by which a filter tells them apart.

/// The target of lines that plugins log.
pub(super) const PLUGIN: &str = "plugin";

/// The target of lines that the host logs about a plugin's VM.
pub(super) const VM: &str = "portcullis::vm";

/// The target of lines that the log says of itself.
pub(super) const LOG: &str = "portcullis::log";
