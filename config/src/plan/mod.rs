//! From plugins as they are configured to plugins as they run.
//!
//! | module | what it holds |
//! |---|---|
//! | `compiler` | [`Compiler`]: plugins of the configuration, with their modules compiled |
//! | `engines` | engines that run, and what they have compiled |
//! | `loaded` | [`LoadedPlugins`](crate::LoadedPlugins): the plugins of a file, for workers |
//! | `loader`, [`compile`] | modules: from code that is kept, or compiled, in a process of their own or in this one |
//! | `code`, `places` | the code of plugins, and places for VMs of streams |
//! | `tier` | compiling while plugins serve on the interpreter |
//! | `rights`, [`requested`] | what a plugin may do, and what its module requests |
//! | [`usage`] | what plugins use of a CPU and of memory |
//! | `sandboxes` | which plugins share a VM |
//! | `snapshots` | the state after configure of plugins whose streams have VMs of their own |
//! | `stack` | the stack of threads that run guests |
//! | `advice` | where the rights of a plugin differ from what it can use |
//! | `remedy` | messages about plugins that cannot be loaded or do not start |

mod advice;
mod code;
pub mod compile;
mod compiler;
mod engines;
pub(crate) mod loaded;
mod loader;
mod places;
mod remedy;
pub mod requested;
pub(crate) mod rights;
mod sandboxes;
mod snapshots;
mod stack;
mod tier;
pub mod usage;

pub use advice::advise;
pub use compiler::{Compiler, EngineOptions};
pub use engines::SharedEngines;
pub use loader::{Loader, tell_outdated};
pub use remedy::explain;
pub use sandboxes::{Configured, Sandbox, Sandboxes, place};
pub use snapshots::{NewHost, take as take_snapshots};
pub use stack::size as stack_size;
pub use tier::{Job, compile_all, giving_way};
