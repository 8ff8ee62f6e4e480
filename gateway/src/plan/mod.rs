//! From a configuration to what workers run. Plugins are compiled, and placed in sandboxes, by the crate `portcullis-config`.
//!
//! | module | what it holds |
//! |---|---|
//! | `planned` | what workers are made of |
//! | `source` | where the connections of a listener come from |
//! | `error` | plugins that do not start in a worker |
//! | `maker` | plans of configurations, each generation's |
//! | `listeners` | listeners and services with their plugins compiled |
//! | `clusters` | clusters with their certificates read |
//! | `host` | what plugins are given |

pub(crate) mod clusters;
pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod listeners;
pub(crate) mod maker;
pub(crate) mod planned;
pub(crate) mod source;
