//! Chains that a worker has started.

use std::sync::Arc;

use crate::id::PluginId;

/// A chain of plugins that a worker has started, in the order in which requests pass them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain(Arc<[PluginId]>);

impl Chain {
    /// Makes a chain of these plugins.
    pub(crate) fn new(plugins: Vec<PluginId>) -> Self {
        Self(plugins.into())
    }

    /// Says whether both were loaded at once: one is a clone of the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns true if nobody but the worker has it any more.
    pub(crate) fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Returns its plugins, in the order in which requests pass them.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = PluginId> {
        self.0.iter().copied()
    }
}
