//! Dropped lines, and the line that reports them.

use crate::observe::log::targets::LOG;

/// Numbers of dropped lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) plugins: u64,
    pub(crate) gateway: u64,
}

impl Dropped {
    /// Logs how many lines were dropped.
    pub(super) fn tell(self) {
        let Self { plugins, gateway } = self;
        tracing::warn!(
            target: LOG,
            plugins,
            gateway,
            "lines of the log were dropped, because its reader did not keep up; look at what reads standard error, log less, or \
             use --log-when-full wait"
        );
    }
}
