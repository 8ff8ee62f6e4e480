//! The task that runs plugins, as one of Pingora's services.

use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::background::BackgroundService;
use portcullis_driver::{ManyThreads, Plugins};

use crate::upstreams::Clusters;

/// The time that Pingora gives requests that are under way when it is asked to end, if the configuration has none.
const GRACE: u64 = 300;

/// The most time that plugins get to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Runs the callouts, ticks and queues of plugins, and ends them when the server ends: a service beside the proxy's.
///
/// ```no_run
/// # use pingora_core::server::Server;
/// # use pingora_core::services::background::background_service;
/// # use portcullis_driver::{ManyThreads, Plugins};
/// # use portcullis_pingora::{Clusters, PluginService};
/// # fn add(server: &mut Server, plugins: Plugins<ManyThreads, Clusters>) {
/// let service = PluginService::new(plugins, &server.configuration);
/// server.add_service(background_service("plugins", service));
/// # }
/// ```
///
/// Its one thread sends callouts and ticks plugins; requests run plugins on the proxy's own threads.
#[derive(Debug)]
pub struct PluginService {
    plugins: Plugins<ManyThreads, Clusters>,
    grace: Duration,
    limit: Duration,
}

impl PluginService {
    /// Makes the service. When the server is asked to end gracefully, requests go on for the grace period of the configuration, and in the
    /// last 5 seconds of it, or its second half, plugins are asked to end (`proxy_on_done`). A request that comes then is answered by their
    /// failure policies.
    #[must_use]
    pub fn new(plugins: Plugins<ManyThreads, Clusters>, configuration: &ServerConf) -> Self {
        let whole = Duration::from_secs(configuration.grace_period_seconds.unwrap_or(GRACE));
        let limit = END_LIMIT.min(whole / 2);
        Self { plugins, grace: whole - limit, limit }
    }
}

#[async_trait]
impl BackgroundService for PluginService {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let end = async {
            // A watch whose server has gone says so, too.
            let _ = shutdown.changed().await;
            tokio::time::sleep(self.grace).await;
            self.plugins.shut_down(self.limit).await
        };
        tokio::select! {
            () = self.plugins.clone().run() => {}
            have_ended = end => {
                if !have_ended {
                    tracing::warn!("plugins did not end within {:?}: raise grace_period_seconds, or mend them", self.limit);
                }
            }
        }
    }
}
