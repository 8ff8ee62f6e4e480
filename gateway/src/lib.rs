//! A reverse proxy that puts real traffic through Proxy-Wasm plugins, and the portcullis command line.
//!
//! | module | what it holds |
//! |---|---|
//! | [`observe`] | what is seen of the gateway: log, metrics, denials, the admin interface, transcripts, profiles, learned rights |
//! | [`signals`] | what stops the process, and what does not |
//! | [`config`] | the YAML file, read into plain data |
//! | [`server`] | the whole gateway: prepare, serve, stop |
//! | `worker` | one thread: accepting, exchanges, callouts, ticks |
//! | [`net`] | sockets, TLS, upstream connections, the echo |
//! | `plugins`, `host` | compiling plugins, and what they are given |
//! | `convert` | between HTTP messages and header maps |
//! | [`descriptors`], `seats` | how many file descriptors there may be, and which clients have them |
//! | [`inspect`] | what a plugin is and needs, as text, JSON and YAML |
//! | `advice` | where the rights of a plugin differ from what it can use |
//! | `by_stream` | the state after configure of plugins whose streams have VMs of their own |
//! | `loader`, [`compile`] | modules: from code that is kept, or compiled in a process of their own |
//! | `tier` | compiling while plugins serve on the interpreter |
//! | [`precompile`] | a plugin with its machine code in its file |
//! | [`replay`] | doing again what a transcript says |
//! | [`abi`], [`engines`], [`presets`] | the tables of the ABI, of the engines and of the presets, as text |

pub mod abi;
mod advice;
mod by_stream;
pub mod compile;
pub mod config;
mod convert;
pub mod descriptors;
pub mod engines;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
pub mod inspect;
mod loader;
pub mod net;
pub mod observe;
mod plugins;
pub mod precompile;
pub mod presets;
pub mod replay;
mod rights;
pub mod sandboxes;
mod seats;
mod serve_error;
pub mod server;
pub mod signals;
mod starts;
mod tier;
mod worker;
