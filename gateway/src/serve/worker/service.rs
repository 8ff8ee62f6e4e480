//! Services: plugins that no stream comes to. Nobody meets one that has failed, so a task looks after them.

use std::rc::Rc;
use std::time::Duration;

use portcullis::Chain;

use crate::config::{FailurePolicy, Plugin};
use crate::serve::worker::Context;

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
    /// Returns how often to look.
    fn period(&self) -> Duration {
        let reloaded = self.plugins.iter().filter(|plugin| plugin.failure_policy == FailurePolicy::Reload);
        let shortest = reloaded.map(|plugin| plugin.reload_backoff.base_interval).min();
        shortest.unwrap_or(PERIOD).clamp(Duration::from_millis(10), PERIOD)
    }
}

/// Starts services again that have failed, as their policies say; for ever. The chain logs what happens to them.
pub(super) async fn keep_up(context: Rc<Context>) {
    let services = &context.services;
    if services.plugins.is_empty() {
        return;
    }
    let period = services.period();
    loop {
        context.worker.borrow_mut().keep_up(&services.chain);
        context.pump();
        tokio::time::sleep(period).await;
    }
}
