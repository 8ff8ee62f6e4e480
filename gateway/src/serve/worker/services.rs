//! Services: plugins that no stream comes to. Nobody meets one that has failed, so a task looks after them.

use std::rc::Rc;
use std::time::Duration;

use portcullis::Chain;

use crate::config::{FailurePolicy, Plugin};
use crate::serve::worker::context::Context;

/// The services of a worker.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) chain: Chain,
    /// Their plugins as they were configured, in the same order.
    pub(super) plugins: Vec<Plugin>,
}

/// The longest that a failure goes unnoticed.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks after the services of a worker; for ever.
pub(super) async fn keep_up(context: Rc<Context>) {
    let services = &context.services;
    if !services.plugins.is_empty() {
        context.driver.keep_up(&services.chain, services.period()).await;
    }
}

impl Services {
    /// Returns how often to look.
    pub(super) fn period(&self) -> Duration {
        let reloaded = self.plugins.iter().filter(|plugin| plugin.failure_policy == FailurePolicy::Reload);
        let shortest = reloaded.map(|plugin| plugin.reload_backoff.base_interval).min();
        shortest.unwrap_or(PERIOD).clamp(Duration::from_millis(10), PERIOD)
    }
}
