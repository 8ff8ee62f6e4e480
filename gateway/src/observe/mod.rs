//! Observing the gateway and its plugins.
//!
//! | module | what it holds |
//! |---|---|
//! | [`log`] | the log: how a line looks, and the thread that writes it |
//! | `metrics`, `usage` | Prometheus: the gateway's metrics and those of plugins, and what plugins use |
//! | `denials` | what plugins asked for without the right |
//! | `health` | whether plugins can serve |
//! | `admin` | the admin interface, which shows all of these |
//! | [`recorder`] | transcripts of what plugins do |
//! | [`profile`] | where plugins spend their time |
//! | [`learn`] | what plugins use, as the configuration that allows it |

pub(crate) mod admin;
pub(crate) mod denials;
pub(crate) mod health;
pub mod learn;
pub mod log;
pub(crate) mod metrics;
pub mod profile;
pub mod recorder;
pub(crate) mod usage;
