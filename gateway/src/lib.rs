//! A reverse proxy that puts real traffic through Proxy-Wasm plugins, and the portcullis command line.
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | from a configuration to what workers run: compiled plugins, rights, sandboxes, snapshots |
//! | [`observe`] | what is seen of the gateway: log, metrics, denials, the admin interface, transcripts, profiles, learned rights |
//! | [`signals`] | what stops the process, and what does not |
//! | [`config`] | the YAML file, read into plain data |
//! | [`server`] | the whole gateway: prepare, serve, stop |
//! | `worker` | one thread: accepting, exchanges, callouts, ticks |
//! | [`net`] | sockets, TLS, upstream connections, the echo |
//! | `convert` | between HTTP messages and header maps |
//! | [`descriptors`], `seats` | how many file descriptors there may be, and which clients have them |
//! | [`inspect`] | what a plugin is and needs, as text, JSON and YAML |
//! | [`precompile`] | a plugin with its machine code in its file |
//! | [`replay`] | doing again what a transcript says |
//! | [`abi`], [`engines`], [`presets`] | the tables of the ABI, of the engines and of the presets, as text |

pub mod abi;
pub mod config;
mod convert;
pub mod descriptors;
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
mod seats;
pub mod server;
pub mod signals;
mod starts;
mod worker;
