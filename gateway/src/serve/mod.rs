//! The gateway that serves.
//!
//! | module | what it holds |
//! |---|---|
//! | [`server`] | a configuration, prepared and served |
//! | [`running`] | a gateway that serves, and how it is stopped |
//! | [`generation`] | a configuration as it is served, and how the next one takes its place |
//! | [`control`] | who asks for a reload, and what is told about it |
//! | `systemd`, `pulse` | what systemd is told, and whether the workers answer |
//! | `openings` | listening sockets at the start |
//! | `upgrade` | another process that takes over |
//! | `drain` | the orderly end: `/ready`, the delay, the end of connections |
//! | `worker` | one thread: accepting, exchanges, callouts, ticks |
//! | `starts` | what workers report of their start |
//! | [`descriptors`], `seats` | how many file descriptors there may be, and which clients have them |
//! | [`signals`] | what stops the process, and what does not |

pub mod control;
#[cfg(any(fuzzing, test))]
pub(crate) mod convert;
pub mod descriptors;
pub(crate) mod drain;
pub mod generation;
pub(crate) mod openings;
pub(crate) mod pulse;
pub mod running;
pub(crate) mod seats;
pub mod server;
pub mod signals;
pub(crate) mod starts;
pub(crate) mod systemd;
pub(crate) mod upgrade;
pub(crate) mod worker;
