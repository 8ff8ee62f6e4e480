//! The metrics of a VM: ids and what each kind allows.

use std::sync::Arc;

use crate::abi::{MetricType, Status};
use crate::model::plugin::Plugin;
use crate::resources::host::Metric;

/// The most bytes of a metric's name. Some plugins put all their tags into it.
pub(crate) const MAX_NAME: usize = 8 << 10;

/// Ids as deployed hosts give them: the low two bits say the type, counters start at 4, gauges at
/// 5, histograms at 6.
#[derive(Clone, Debug)]
pub(crate) struct MetricTable {
    by_type: [Vec<Entry>; 3],
    max: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    plugin: Arc<Plugin>,
    /// The one of its sandbox, which all of its VMs have together.
    name: Arc<str>,
    metric: Arc<dyn Metric>,
}

impl MetricTable {
    pub(crate) fn new(max: usize) -> Self {
        Self { by_type: Default::default(), max }
    }

    /// Returns the id of a metric that is defined already.
    ///
    /// differs: Envoy gives a new id to the same metric each time.
    pub(crate) fn find(&self, metric_type: MetricType, plugin: &Arc<Plugin>, name: &str) -> Option<u32> {
        let entries = self.by_type.get(metric_type as usize)?;
        let index = entries.iter().position(|entry| *entry.name == *name && entry.is_of(plugin))?;
        id(metric_type, index)
    }

    /// Returns all defined metrics.
    pub(crate) fn names(&self) -> impl Iterator<Item = (MetricType, &str)> {
        let types = [MetricType::Counter, MetricType::Gauge, MetricType::Histogram];
        let each = types.into_iter().zip(&self.by_type);
        each.flat_map(|(metric_type, entries)| entries.iter().map(move |entry| (metric_type, &*entry.name)))
    }

    /// Returns whether a plugin can define one more.
    pub(crate) fn has_room(&self, plugin: &Arc<Plugin>) -> bool {
        self.count(plugin) < self.max
    }

    /// Counts those that a plugin has defined.
    pub(crate) fn count(&self, plugin: &Arc<Plugin>) -> usize {
        self.by_type.iter().flatten().filter(|entry| entry.is_of(plugin)).count()
    }

    pub(crate) fn insert(
        &mut self,
        metric_type: MetricType,
        plugin: &Arc<Plugin>,
        name: Arc<str>,
        metric: Arc<dyn Metric>,
    ) -> Option<u32> {
        let entries = self.by_type.get_mut(metric_type as usize)?;
        entries.push(Entry { plugin: Arc::clone(plugin), name, metric });
        id(metric_type, entries.len() - 1)
    }

    /// Returns the metric of an id, for the plugin that owns it; other plugins' metrics are not found.
    pub(crate) fn get(&self, id: u32, plugin: &Arc<Plugin>) -> Result<(MetricType, &Arc<dyn Metric>), Status> {
        let metric_type = type_of(id)?;
        let index = usize::try_from(id / 4).ok().and_then(|n| n.checked_sub(1)).ok_or(Status::NotFound)?;
        let entry = self.by_type.get(metric_type as usize).and_then(|entries| entries.get(index));
        let entry = entry.filter(|entry| entry.is_of(plugin)).ok_or(Status::NotFound)?;
        Ok((metric_type, &entry.metric))
    }
}

impl Entry {
    /// Plugins of one name have their metrics together.
    #[inline]
    fn is_of(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin) || self.plugin.name == plugin.name
    }
}

/// Returns the type in an id's low bits.
pub(crate) fn type_of(id: u32) -> Result<MetricType, Status> {
    match id & 3 {
        0 => Ok(MetricType::Counter),
        1 => Ok(MetricType::Gauge),
        2 => Ok(MetricType::Histogram),
        _ => Err(Status::BadArgument),
    }
}

fn id(metric_type: MetricType, index: usize) -> Option<u32> {
    let index = u32::try_from(index).ok()?;
    index.checked_add(1)?.checked_mul(4)?.checked_add(metric_type as u32)
}
