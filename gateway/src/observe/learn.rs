//! Learned rights: what plugins use, and the least configuration that allows it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use portcullis::rights::{Capabilities, Learned, Rules};
use portcullis::sandbox::SandboxKey;

use crate::config::Config;
use crate::plan::planned::Planned;

/// The rights that each plugin of a configuration uses while it is served.
#[derive(Clone, Debug)]
pub struct LearnedRights(Vec<LearnedPlugin>);

#[derive(Clone, Debug)]
struct LearnedPlugin {
    plugin: String,
    /// The place of its definition.
    place: String,
    learned: Arc<Learned>,
}

/// Lets plugins do what their capabilities allow, with any arguments, and notes what they do. Plugins that would share
/// a VM must have the same rights, so they learn together.
pub(crate) fn begin(config: &Config, planned: &mut Planned) -> LearnedRights {
    let mut groups: HashMap<SandboxKey, Arc<Learned>> = HashMap::new();
    let mut plugins: Vec<LearnedPlugin> = Vec::new();
    for (plugin, spec) in config.all_plugins().zip(planned.plugins_mut()) {
        let learned = groups.entry(spec.isolated.unwrap_or_else(|| spec.sandbox_spec().group())).or_default();
        spec.plugin.rules = Rules::learning(Arc::clone(learned));
        let place = format!("{}:{}", plugin.origin.file, plugin.origin.line);
        if !plugins.iter().any(|learned| learned.place == place && learned.plugin == plugin.name) {
            plugins.push(LearnedPlugin { plugin: plugin.name.clone(), place, learned: Arc::clone(learned) });
        }
    }
    LearnedRights(plugins)
}

impl LearnedRights {
    /// Returns a block for each plugin, to be put into its configuration.
    pub fn yaml(&self) -> String {
        let mut yaml = String::from(
            "# What the plugins used. Put each block into its plugin's configuration; what was not used while this was\n\
             # learned is denied then.\n",
        );
        for learned in &self.0 {
            let _ = write!(yaml, "\n# {}, {}\n{}", learned.plugin, learned.place, learned.block());
        }
        yaml
    }
}

impl LearnedPlugin {
    /// Returns one capability a line, in the order of the tables.
    fn block(&self) -> String {
        let mut block = String::from("capability_restriction_config:\n  allowed_capabilities:");
        let (used, rules) = (self.learned.capabilities(), self.learned.rules());
        if used.is_empty() {
            block.push_str(" {}");
        }
        for name in Capabilities::names().filter(|name| used.contains(name)) {
            let _ = write!(block, "\n    {name}: {{");
            for (index, (key, values)) in rules.get(name).into_iter().flatten().enumerate() {
                // JSON's strings are YAML's.
                let values: Vec<_> =
                    values.iter().map(|value| serde_json::Value::from(value.as_str()).to_string()).collect();
                let comma = if index == 0 { "" } else { "," };
                let _ = write!(block, "{comma} {key}: [{}]", values.join(", "));
            }
            block.push_str(if rules.contains_key(name) { " }" } else { "}" });
            if rules
                .get(name)
                .into_iter()
                .flatten()
                .any(|(_, values)| values.iter().any(|value| value == "*" || value == "/"))
            {
                block.push_str(" # all of something: it was read whole, or varied too much; review");
            }
        }
        block.push('\n');
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_that_uses_nothing_needs_nothing() {
        let learned = LearnedPlugin { plugin: "p".to_owned(), place: "f.yaml:1".to_owned(), learned: Arc::default() };
        assert_eq!(learned.block(), "capability_restriction_config:\n  allowed_capabilities: {}\n");
    }
}
