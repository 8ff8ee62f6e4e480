//! A reverse proxy that puts real traffic through Proxy-Wasm plugins, and the portcullis command line.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cli`] | the command line, one file for each subcommand |
//! | [`upstream`] | what requests are sent to: connections to clusters, the echo |
//! | [`serve`] | the gateway that serves: workers, connections, exchanges, signals, descriptors |
//! | [`plan`] | from a configuration to what workers run: compiled plugins, rights, sandboxes, snapshots |
//! | [`observe`] | what is seen of the gateway: log, metrics, denials, the admin interface, transcripts, profiles, learned rights |
//! | [`config`] | the YAML file, read into plain data |
//! | [`net`] | sockets, TLS and bodies, for both sides |

pub mod cli;
pub mod config;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod net;
pub mod observe;
pub mod plan;
pub mod serve;
pub mod upstream;
