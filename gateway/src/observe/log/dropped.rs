//! What the log says of lines that it has dropped.

use crate::observe::log::buffer::Dropped;

/// The target of the line that says it.
pub(super) const TARGET: &str = "portcullis::log";

impl Dropped {
    /// Logs how many lines were dropped.
    pub(super) fn tell(self) {
        let Self { plugins, gateway } = self;
        tracing::warn!(
            target: TARGET,
            plugins,
            gateway,
            "lines of the log were dropped, because its reader did not keep up; look at what reads standard error, log less, or \
             use --log-when-full wait"
        );
    }
}
