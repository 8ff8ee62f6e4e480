//! From a configuration to what workers run.
//!
//! | module | what it holds |
//! |---|---|
//! | `planned` | what workers are made of |
//! | `source` | where the connections of a listener come from |
//! | `error` | plugins that do not start in a worker |
//! | `remedy` | messages about plugins that cannot be loaded or do not start |
//! | `compiler` | plugins of the configuration, with their modules compiled |
//! | `listeners` | listeners and services with their plugins compiled |
//! | `loader`, [`compile`] | modules: from code that is kept, or compiled in a process of their own |
//! | `code`, `places` | the code of plugins, and places for VMs of streams |
//! | `stack` | the stack of threads that run guests |
//! | `tier` | compiling while plugins serve on the interpreter |
//! | `rights` | what a plugin may do |
//! | `usage` | what plugins use of a CPU and of memory |
//! | [`sandboxes`] | which plugins share a VM |
//! | `snapshots` | the state after configure of plugins whose streams have VMs of their own |
//! | `host` | what plugins are given |
//! | `advice` | where the rights of a plugin differ from what it can use |

pub(crate) mod advice;
pub(crate) mod code;
pub mod compile;
pub(crate) mod compiler;
pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod listeners;
pub(crate) mod loader;
pub(crate) mod places;
pub(crate) mod planned;
pub(crate) mod remedy;
pub(crate) mod rights;
pub mod sandboxes;
pub(crate) mod snapshots;
pub(crate) mod source;
pub(crate) mod stack;
pub(crate) mod tier;
pub(crate) mod usage;
