//! Guests that mean harm: what no guest of an honest toolchain does. The host answers, refuses or ends the guest; it never
//! panics, never hangs, and never touches another VM.
//!
//! Much of it is derived from the tables of hostcalls and callbacks, so that a row that is added is attacked, too.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a case fails by panicking")]

mod allocators;
mod arguments;
mod binary;
mod callbacks;
mod contexts;
mod derived;
mod edge_guest;
mod edges;
mod ids;
mod modules;
mod pairs;
mod parameters;
mod signatures;
mod starts;
mod threats;
mod victims;

use crate::engine::case::Topic;
pub use derived::{Derived, derived};
pub use threats::THREATS;

/// All cases that are not derived.
pub(crate) const TOPICS: [Topic; 7] = [
    Topic { name: "hostile_callbacks", cases: callbacks::CASES },
    Topic { name: "hostile_contexts", cases: contexts::CASES },
    Topic { name: "hostile_ids", cases: ids::CASES },
    Topic { name: "hostile_modules", cases: modules::CASES },
    Topic { name: "hostile_pairs", cases: pairs::CASES },
    Topic { name: "hostile_starts", cases: starts::CASES },
    Topic { name: "hostile_victims", cases: victims::CASES },
];
