//! Drivers of scripted plugins, on one thread and on several.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod callouts;
mod common;
mod plugins;
mod threads;
mod timers;
