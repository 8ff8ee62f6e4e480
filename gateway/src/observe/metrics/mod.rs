//! Metrics: the gateway's own and the plugins', for Prometheus.
//!
//! | module | what it holds |
//! |---|---|
//! | `name` | what a plugin's metric is called: by its type and name alone |
//! | `tags` | labels made of parts of names, by the rules of the configuration |
//! | `plugin` | the plugins' metrics |
//! | `own` | the gateway's own, behind the macros of the crate `metrics` |
//! | `buckets` | histograms of a fixed size |
//! | `exposition` | the text |

mod buckets;
#[cfg(test)]
mod check;
mod exposition;
mod name;
mod own;
mod plugin;
mod tags;

use std::sync::{Arc, Mutex, PoisonError};

use portcullis::abi::MetricType;
use portcullis::model::Plugin;
use portcullis::resources::Metric;

use crate::config::StatsTag;
use exposition::Exposition;
use own::Own;
use plugin::OfPlugins;

/// All metrics of the process. Clones are the same, but for the rules by which names become labels.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    own: Own,
    plugins: Arc<Mutex<OfPlugins>>,
    tags: Arc<[StatsTag]>,
}

impl Metrics {
    /// Installs the recorder of the process, or finds the one that is installed. `tags` are for the names that are defined
    /// by way of this value.
    pub(crate) fn install(tags: &[StatsTag]) -> Self {
        static FIRST: Mutex<Option<Metrics>> = Mutex::new(None);
        let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
        let all = first.get_or_insert_with(|| {
            let new = Self { own: Own::default(), plugins: Arc::default(), tags: Arc::default() };
            if metrics::set_global_recorder(new.own.clone()).is_err() {
                tracing::warn!("another recorder of metrics is installed: /metrics shows the metrics of plugins alone");
            }
            new
        });
        Self { tags: tags.into(), ..all.clone() }
    }

    /// Returns the text that Prometheus scrapes.
    pub(crate) fn render(&self) -> String {
        let mut exposition = Exposition::default();
        self.own.add_to(&mut exposition);
        self.plugins.lock().unwrap_or_else(PoisonError::into_inner).add_to(&mut exposition);
        exposition.into_text()
    }

    /// Defines a metric of a plugin, or finds it. No name fails.
    pub(crate) fn define(&self, plugin: &Plugin, metric_type: MetricType, name: &str) -> Arc<dyn Metric> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.define(&plugin.name, metric_type, name, &self.tags)
    }
}
