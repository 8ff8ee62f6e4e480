//! A reverse proxy that puts real traffic through Proxy-Wasm plugins, and the portcullis command line.
//!
//! | module | what it holds |
//! |---|---|
//! | [`upstream`] | what requests are sent to: connections to clusters, the echo |
//! | [`serve`] | the gateway that serves: workers, connections, exchanges, signals, descriptors |
//! | [`plan`] | from a configuration to what workers run: compiled plugins, rights, sandboxes, snapshots |
//! | [`observe`] | what is seen of the gateway: log, metrics, denials, the admin interface, transcripts, profiles, learned rights |
//! | [`config`] | the YAML file, read into plain data |
//! | [`net`] | sockets, TLS and bodies, for both sides |
//! | [`inspect`] | what a plugin is and needs, as text, JSON and YAML |
//! | [`precompile`] | a plugin with its machine code in its file |
//! | [`replay`] | doing again what a transcript says |
//! | [`abi`], [`engines`], [`presets`] | the tables of the ABI, of the engines and of the presets, as text |

pub mod abi;
pub mod config;
pub mod engines;
pub mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod inspect;
pub mod net;
pub mod observe;
pub mod plan;
pub mod precompile;
pub mod presets;
pub mod replay;
pub mod serve;
pub mod upstream;
