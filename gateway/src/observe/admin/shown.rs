//! The part of the admin interface that follows the configuration that runs, and that a reload replaces.

use std::sync::{Arc, Mutex, PoisonError};

use super::hosts::Hosts;
use crate::config::{AdminToken, Config};
use crate::explain::Outline;

/// The part of the interface's state that follows the configuration.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(super) config: serde_json::Value,
    pub(super) sandboxes: serde_json::Value,
    /// The same for `/explain`.
    pub(super) outline: Option<Outline>,
    pub(super) hosts: Hosts,
    pub(super) token: Option<AdminToken>,
}

impl Shown {
    /// Makes it of a configuration, whose plugins are in these sandboxes. `with_values`: with the configurations of plugins and VMs.
    pub(crate) fn of(config: &Config, sandboxes: serde_json::Value, with_values: bool) -> Self {
        Self {
            config: if with_values { config.to_json_with_values() } else { config.to_json() },
            sandboxes,
            outline: None,
            hosts: Hosts::new(&config.admin_hosts),
            token: config.admin_token.clone(),
        }
    }

    /// Makes it of a configuration and its sandboxes, of which `/explain` tells, too.
    pub(crate) fn of_outline(outline: Outline, with_values: bool) -> Self {
        let shown = Self::of(outline.config(), outline.sandboxes().to_json(), with_values);
        Self { outline: Some(outline), ..shown }
    }
}

/// The place of what is shown. Clones are the same place.
#[derive(Clone, Debug)]
pub(crate) struct Showing(Arc<Mutex<Arc<Shown>>>);

impl Showing {
    pub(crate) fn new(shown: Shown) -> Self {
        Self(Arc::new(Mutex::new(Arc::new(shown))))
    }

    /// Returns what is shown now; a request has the same to its end.
    pub(super) fn get(&self) -> Arc<Shown> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows another configuration from now on.
    pub(crate) fn replace(&self, shown: Shown) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }
}
