//! A reverse proxy that puts real traffic through Proxy-Wasm plugins, and the portcullis command line.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line, one file for each subcommand |
//! | [`upstream`] | connections to clusters, and the built-in echo |
//! | [`serve`] | the gateway that serves: workers, connections, exchanges, signals, descriptors |
//! | [`plan`] | turns a configuration into what workers run: compiled plugins, rights, sandboxes, snapshots |
//! | `explain` | what a configuration would do: the way of a request, the difference of two configurations |
//! | [`observe`] | output for operators: log, metrics, denials, the admin interface, transcripts, profiles, learned rights |
//! | [`config`] | the YAML file, read into plain data |
//! | [`net`] | sockets, TLS and bodies, for both sides |

pub mod cli;
pub mod config;
pub mod error;
mod explain;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod net;
pub mod observe;
pub mod plan;
pub mod serve;
pub mod upstream;
