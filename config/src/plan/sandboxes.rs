//! Which plugins share a VM, decided before traffic flows, and shown to the operator.

use std::collections::BTreeMap;

use portcullis::PluginSpec;
use portcullis::chain::Isolation;
use portcullis::model::Limits;
use portcullis::resources::Preopen;
use portcullis::rights::Capabilities;
use portcullis::sandbox::{Placed, Placement, SandboxKey, Sharing, schedule};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Code, ConfigError};

/// A plugin of a chain or service: as it was configured, and as it will run.
#[derive(Clone, Copy, Debug)]
pub struct Configured<'a> {
    /// Its configuration.
    pub plugin: &'a crate::Plugin,
    /// Its specification.
    pub spec: &'a PluginSpec,
    /// The words that follow its name where sandboxes are listed, such as `(service)`; empty for none.
    pub remark: &'static str,
}

/// The sandboxes of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Sandboxes {
    sandboxes: Vec<Sandbox>,
    apart: Vec<Apart>,
}

/// One VM for each worker.
#[derive(Clone, Debug)]
pub struct Sandbox {
    key: SandboxKey,
    plugins: Vec<String>,
    vm_id: String,
    code: String,
    /// The start of the code's SHA-256.
    digest: String,
    engine: String,
    isolation: Isolation,
    configuration: usize,
    environment: Vec<String>,
    /// Guest path, host path and whether it may write.
    preopens: Vec<String>,
    any_effective_context: bool,
    recycle: Vec<(&'static str, String)>,
    limits: Vec<(&'static str, String)>,
    capabilities: Capabilities,
    rules: Vec<String>,
}

/// Two plugins that would have shared a VM.
#[derive(Clone, Debug)]
struct Apart {
    plugins: (String, String),
    why: Vec<String>,
}

/// Places plugins in sandboxes; `sharing` is for those whose VMs do not say it. Returns the sandboxes, and the placement of each plugin,
/// whose [`isolated`](Placement::isolated) belongs into its specification.
///
/// # Errors
/// Plugins that would share a VM, differ, and may not be kept apart.
pub fn place(sharing: Sharing, all: &[Configured<'_>]) -> Result<(Sandboxes, Vec<Placement>), ConfigError> {
    let placed: Vec<_> =
        all.iter().map(|own| Placed { sharing: own.plugin.vm.sharing.unwrap_or(sharing), ..own.placed() }).collect();
    let placements = schedule(&placed).map_err(|conflict| {
        let place = |index: usize| all.get(index).map(|own| &own.plugin.origin);
        let help = "give both the same capability_restriction_config, environment, preopens and limits, give them different vm_ids, or write \
                    `sharing: isolate` to give each a VM of its own";
        let first = place(conflict.first).map(|origin| format!(" ({:?} is defined in line {})", conflict.plugins.0, origin.line));
        let message = format!("{conflict}{}", first.unwrap_or_default());
        match place(conflict.second) {
            Some(origin) => origin.diagnostic(message, help).into(),
            None => ConfigError::new(Vec::new()),
        }
    })?;
    let sandboxes = describe(all, &placements);
    Ok((sandboxes, placements))
}

impl<'a> Configured<'a> {
    /// Returns it as one of those that must be equal to share a VM.
    fn placed(&self) -> Placed<'a> {
        Placed { plugin: &self.plugin.name, spec: self.spec.sandbox_spec(), sharing: Sharing::Reject }
    }
}

fn describe(all: &[Configured<'_>], placements: &[Placement]) -> Sandboxes {
    let mut by_key: BTreeMap<SandboxKey, Sandbox> = BTreeMap::new();
    let mut groups: BTreeMap<SandboxKey, Vec<&Configured<'_>>> = BTreeMap::new();
    for (own, placement) in all.iter().zip(placements) {
        let sandbox =
            by_key.entry(placement.sandbox).or_insert_with(|| Sandbox::new(placement.sandbox, own.plugin, own.spec));
        let name = match own.remark {
            "" => own.plugin.name.clone(),
            remark => format!("{} {remark}", own.plugin.name),
        };
        if !sandbox.plugins.contains(&name) {
            sandbox.plugins.push(name);
        }
        groups.entry(own.spec.sandbox_spec().group()).or_default().push(own);
    }
    let mut apart = Vec::new();
    for members in groups.values() {
        let mut seen: Vec<SandboxKey> = Vec::new();
        for own in members {
            let key = own.spec.sandbox();
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let Some(first) = members.first().filter(|_| seen.len() > 1) else { continue };
            let pair = [first.placed(), own.placed()];
            if let Err(conflict) = schedule(&pair) {
                let why = conflict.differences.iter().map(ToString::to_string).collect();
                apart.push(Apart { plugins: conflict.plugins, why });
            }
        }
    }
    Sandboxes { sandboxes: by_key.into_values().collect(), apart }
}

impl Sandbox {
    fn new(key: SandboxKey, plugin: &crate::Plugin, spec: &PluginSpec) -> Self {
        let default = Limits::default().named();
        let limits = spec.vm.limits.named().into_iter().filter(|limit| !default.contains(limit)).collect();
        Self {
            key,
            plugins: Vec::new(),
            vm_id: spec.plugin.vm_id.clone(),
            code: match &plugin.vm.code {
                Code::File(path) => path.display().to_string(),
                Code::Bytes(_) => "inline_bytes".to_owned(),
                Code::Text(_) => "inline_string".to_owned(),
            },
            digest: Sha256::digest(spec.module.code()).iter().take(6).map(|byte| format!("{byte:02x}")).collect(),
            engine: match &spec.tier {
                Some(tier) => format!("{}, and {} until it is compiled", tier.engine(), spec.module.engine()),
                None => spec.module.engine().to_owned(),
            },
            isolation: spec.isolation,
            configuration: spec.vm.configuration.len(),
            environment: spec.vm.environment.iter().map(|(name, _)| name.clone()).collect(),
            preopens: spec.vm.preopens.iter().map(preopen).collect(),
            any_effective_context: spec.vm.any_effective_context,
            recycle: spec.vm.recycle.named(),
            limits,
            capabilities: spec.plugin.capabilities,
            rules: spec.plugin.rules.texts().keys().cloned().collect(),
        }
    }

    /// Returns the start of its key, which identifies it.
    fn short(&self) -> String {
        self.key.to_string().chars().take(12).collect()
    }

    fn text(&self) -> String {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let held = self.capabilities.held().count();
        let capabilities = match self.capabilities == Capabilities::ALL {
            true => "all".to_owned(),
            false => format!("{held} of {}", Capabilities::names().count()),
        };
        let named =
            |of: &[(&str, String)]| of.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>();
        let (limits, recycle) = (named(&self.limits), named(&self.recycle));
        format!(
            "sandbox {}\n  plugins       {}\n  vm_id         {:?}\n  code          {} (sha256 {}...)\n  engine        {}\n  \
             one VM for    {}\n  configuration {} bytes\n  environment   {}\n  preopens      {}\n  limits        {}\n  recycle       {}\n  contexts      {}\n  capabilities  {}\n  \
             rules         {}\n",
            self.short(),
            list(&self.plugins),
            self.vm_id,
            self.code,
            self.digest,
            self.engine,
            if self.isolation == Isolation::Stream { "each stream" } else { "each worker" },
            self.configuration,
            list(&self.environment),
            list(&self.preopens),
            if limits.is_empty() { "default".to_owned() } else { limits.join(", ") },
            if recycle.is_empty() { "never".to_owned() } else { recycle.join(", ") },
            if self.any_effective_context { "those of all plugins of the VM" } else { "the plugin's own" },
            capabilities,
            list(&self.rules),
        )
    }

    /// Returns the plugins in it, in the order of the configuration.
    pub fn plugins(&self) -> &[String] {
        &self.plugins
    }

    /// Returns the file of its code, or the key that has the code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the engine that it runs on.
    pub fn engine(&self) -> &str {
        &self.engine
    }

    /// Formats it for programs.
    pub fn to_json(&self) -> Value {
        let named = |of: &[(&str, String)]| -> serde_json::Map<String, Value> {
            of.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
        };
        json!({
            "sandbox": self.key.to_string(),
            "plugins": self.plugins,
            "vm_id": self.vm_id,
            "code": self.code,
            "code_sha256": self.digest,
            "engine": self.engine,
            "isolation": self.isolation.name(),
            "configuration_bytes": self.configuration,
            "environment": self.environment,
            "preopens": self.preopens,
            "limits": named(&self.limits),
            "recycle": named(&self.recycle),
            "effective_context": if self.any_effective_context { "vm" } else { "plugin" },
            "capabilities": match self.capabilities == Capabilities::ALL {
                true => json!("all"),
                false => json!(self.capabilities.held().collect::<Vec<_>>()),
            },
            "rules": self.rules,
        })
    }
}

fn preopen(preopen: &Preopen) -> String {
    let access = if preopen.write { "read and write" } else { "read" };
    format!("{} = {} ({access})", preopen.guest, preopen.host.display())
}

impl Sandboxes {
    /// Returns the sandbox of a key.
    pub fn get(&self, key: &SandboxKey) -> Option<&Sandbox> {
        self.sandboxes.iter().find(|sandbox| sandbox.key == *key)
    }

    /// Formats the sandboxes for people.
    pub fn text(&self) -> String {
        let mut text: String = self.sandboxes.iter().map(|sandbox| sandbox.text() + "\n").collect();
        for apart in &self.apart {
            let (first, second) = &apart.plugins;
            text.push_str(&format!(
                "{first:?} and {second:?} do not share a VM: they differ in {}\n",
                apart.why.join(", and in ")
            ));
        }
        text.push_str(&format!("{} sandbox(es)\n", self.sandboxes.len()));
        text
    }

    /// Formats the sandboxes for programs.
    pub fn to_json(&self) -> Value {
        let apart = self
            .apart
            .iter()
            .map(|apart| json!({ "plugins": [apart.plugins.0, apart.plugins.1], "differences": apart.why }));
        json!({
            "sandboxes": self.sandboxes.iter().map(Sandbox::to_json).collect::<Vec<_>>(),
            "apart": apart.collect::<Vec<_>>(),
        })
    }
}
