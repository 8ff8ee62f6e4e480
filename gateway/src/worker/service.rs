//! Services: plugins that no stream comes to. Nobody meets one that has failed, so a task looks after them.

use std::rc::Rc;
use std::time::Duration;

use portcullis::Chain;

use crate::config::{FailurePolicy, Plugin};
use crate::worker::Context;

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

/// Starts services again that have failed, as their policies say, and logs what happens to them; for ever.
pub(super) async fn keep_up(context: Rc<Context>) {
    let services = &context.services;
    if services.plugins.is_empty() {
        return;
    }
    let period = services.period();
    let mut down = vec![false; services.plugins.len()];
    loop {
        let failed = context.worker.borrow_mut().keep_up(&services.chain);
        context.pump();
        for (index, (was_down, plugin)) in down.iter_mut().zip(&services.plugins).enumerate() {
            let is_down = failed.contains(&index);
            match (std::mem::replace(was_down, is_down), is_down) {
                (false, true) => tell_failed(plugin),
                (true, false) => tracing::info!(plugin = plugin.name, "the service runs again"),
                _ => {}
            }
        }
        tokio::time::sleep(period).await;
    }
}

fn tell_failed(plugin: &Plugin) {
    let name = &plugin.name;
    match plugin.failure_policy {
        FailurePolicy::Reload => {
            tracing::error!(plugin = name, "the service has failed; it is started again after its back-off")
        }
        FailurePolicy::Closed | FailurePolicy::Open => tracing::error!(
            plugin = name,
            "the service has failed and runs no more, while requests are served; write `failure_policy: FAIL_RELOAD` to have it started again"
        ),
    }
}
