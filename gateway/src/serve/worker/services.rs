//! Services: plugins that no stream comes to. Nobody meets one that has failed, so a task looks after them.

use std::time::Duration;

use portcullis::Chain;
use portcullis_driver::{Driver, OneThread};

use crate::config::{FailurePolicy, Plugin};
use crate::upstream::clusters::Clusters;

/// The services of a worker.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) chain: Chain,
    /// Their plugins as they were configured, in the same order.
    pub(super) plugins: Vec<Plugin>,
}

/// The longest that a failure goes unnoticed.
const PERIOD: Duration = Duration::from_secs(1);

impl Services {
    /// Looks after the services of the worker that `driver` drives; for ever.
    pub(super) async fn keep_up(&self, driver: &Driver<OneThread, Clusters>) {
        if !self.plugins.is_empty() {
            driver.keep_up(&self.chain, self.period()).await;
        }
    }

    /// Returns how often to look.
    fn period(&self) -> Duration {
        let reloaded = self.plugins.iter().filter(|plugin| plugin.failure_policy == FailurePolicy::Reload);
        let shortest = reloaded.map(|plugin| plugin.reload_backoff.base_interval).min();
        shortest.unwrap_or(PERIOD).clamp(Duration::from_millis(10), PERIOD)
    }
}
