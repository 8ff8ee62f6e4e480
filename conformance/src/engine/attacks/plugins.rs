//! Plugins of attacks.

use portcullis::model::Plugin;
use portcullis::rights::{RuleTexts, Rules};
use portcullis::sandbox::{Placed, SandboxSpec, Sharing, VmSpec};

/// Returns a plugin with rules: capability, key, values.
pub(super) fn ruled(name: &str, rules: &[(&str, &str, &[&str])]) -> Plugin {
    let mut texts = RuleTexts::new();
    for (capability, key, values) in rules {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
    }
    Plugin::new(name).with_rules(Rules::new(&texts).unwrap())
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
