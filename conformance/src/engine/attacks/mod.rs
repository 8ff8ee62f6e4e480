//! Attacks: what a plugin, or plugins together, would do to get what they may not have. README.md beside this
//! file says what each does and what stops it.
//!
//! Each has a control in which it succeeds, because the plugin has the right: no attack fails because it is broken.
#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod arguments;
mod floods;
mod hidden;
mod memory;
mod phases;
mod plugins;
mod spellings;
mod tokens;

use crate::engine::case::Topic;
pub(crate) use plugins::asks;

/// All attacks.
pub(crate) const TOPICS: [Topic; 7] = [
    Topic { name: "attacks_memory", cases: memory::CASES },
    Topic { name: "attacks_tokens", cases: tokens::CASES },
    Topic { name: "attacks_phases", cases: phases::CASES },
    Topic { name: "attacks_arguments", cases: arguments::CASES },
    Topic { name: "attacks_floods", cases: floods::CASES },
    Topic { name: "attacks_hidden", cases: hidden::CASES },
    Topic { name: "attacks_spellings", cases: spellings::CASES },
];

/// The page that explains them.
pub const PAGE: &str = include_str!("README.md");
