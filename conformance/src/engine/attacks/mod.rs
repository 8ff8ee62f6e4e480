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
mod spellings;
mod tokens;

use portcullis::model::Plugin;
use portcullis::rights::{RuleTexts, Rules};
use portcullis::sandbox::{Placed, SandboxSpec, Sharing, VmSpec};

use crate::engine::case::Topic;

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

/// Returns a plugin with rules: capability, key, values.
fn ruled(name: &str, rules: &[(&str, &str, &[&str])]) -> Plugin {
    let mut texts = RuleTexts::new();
    for (capability, key, values) in rules {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
    }
    Plugin { rules: Rules::new(&texts).unwrap(), ..Plugin::new(name) }
}

/// Returns a plugin that asks for a VM with the others'.
pub(crate) fn asks<'a>(plugin: &'a Plugin, vm: &'a VmSpec, sharing: Sharing) -> Placed<'a> {
    let spec = SandboxSpec {
        vm_id: "shared",
        code: b"code",
        engine: "any",
        vm,
        capabilities: plugin.capabilities,
        rules: &plugin.rules,
        alone: None,
    };
    Placed { plugin: &plugin.name, spec, sharing }
}
