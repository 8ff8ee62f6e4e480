//! From what an operator has written of a plugin's rights to the rights.

use portcullis::rights::{Capabilities, OnDenial, Preset, RuleTexts, Rules};

use crate::reader::nearest::suggest_several;
use crate::{Allowed, ConfigError, Located, RightsConfig};

/// The rights of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    pub(crate) capabilities: Capabilities,
    pub(crate) rules: Rules,
    pub(crate) on_denial: OnDenial,
}

impl Rights {
    /// Every right.
    const ALL: Self = Self { capabilities: Capabilities::ALL, rules: Rules::NONE, on_denial: OnDenial::Answer };

    /// Returns the rights of a plugin within those of its VM.
    ///
    /// # Errors
    /// A fault of either, or both have rules for the same capability.
    pub(crate) fn within(vm: Option<&RightsConfig>, plugin: Option<&RightsConfig>) -> Result<Self, ConfigError> {
        let (whole, own) = (Self::of(vm)?, Self::of(plugin)?);
        if let Some(twice) = vm.zip(plugin).and_then(|(vm, plugin)| ruled_twice(vm, plugin)) {
            let message = format!("{} has rules here and in vm_config", twice.name.value);
            return Err(twice.name.origin.diagnostic(message, "keep one of the two").into());
        }
        let on_denial = match (whole.on_denial, own.on_denial) {
            (OnDenial::Answer, OnDenial::Answer) => OnDenial::Answer,
            _ => OnDenial::Trap,
        };
        let rules = match (vm, plugin) {
            (Some(vm), Some(plugin)) => rules(&vm.allowed.iter().chain(&plugin.allowed).cloned().collect::<Vec<_>>())?,
            (None, _) => own.rules,
            (_, None) => whole.rules,
        };
        Ok(Self { capabilities: whole.capabilities.and(own.capabilities), rules, on_denial })
    }

    /// Judges rights as they were written; none leaves every right.
    ///
    /// # Errors
    /// A fault of a rule, with its place.
    fn of(written: Option<&RightsConfig>) -> Result<Self, ConfigError> {
        let Some(written) = written else { return Ok(Self::ALL) };
        let mut capabilities = match &written.preset {
            None => Capabilities::NONE,
            Some(name) => preset(name)?.capabilities(),
        };
        for allowed in &written.allowed {
            let one = Capabilities::from_names([allowed.name.value.as_str()]);
            capabilities = capabilities.or(one.map_err(|_| unknown(&allowed.name))?);
        }
        let rules = rules(&written.allowed)?;
        Ok(Self { capabilities, rules, on_denial: written.on_denial })
    }
}

/// Returns the finding about a name that is no capability, with those that it resembles.
fn unknown(name: &Located) -> ConfigError {
    let known: Vec<_> = Capabilities::names().collect();
    let help = suggest_several(&name.value, &known);
    let help = help.unwrap_or_else(|| "`portcullis abi` lists the names".to_owned());
    name.origin.diagnostic(format!("unknown capability {:?}", name.value), help).into()
}

fn preset(name: &Located) -> Result<Preset, ConfigError> {
    Preset::from_name(&name.value).ok_or_else(|| {
        let names = Preset::names().collect::<Vec<_>>().join(", ");
        let message = format!("there is no preset {:?}; there are {names}", name.value);
        name.origin.diagnostic(message, "`portcullis presets` shows what each allows").into()
    })
}

/// Returns the error for a VM and a plugin in it that both have rules for one capability.
fn ruled_twice<'a>(vm: &'a RightsConfig, plugin: &'a RightsConfig) -> Option<&'a Allowed> {
    let ruled = |allowed: &&Allowed| !allowed.rules.is_empty();
    let by_vm =
        |allowed: &&Allowed| vm.allowed.iter().filter(ruled).any(|other| other.name.value == allowed.name.value);
    plugin.allowed.iter().filter(ruled).find(by_vm)
}

/// Compiles the rules of some capabilities.
fn rules(allowed: &[Allowed]) -> Result<Rules, ConfigError> {
    let mut texts = RuleTexts::new();
    for capability in allowed.iter().filter(|capability| !capability.rules.is_empty()) {
        let keys = capability.rules.iter().map(|rule| {
            let values = rule.values.iter().map(|value| value.value.clone()).collect();
            (rule.key.value.clone(), values)
        });
        texts.insert(capability.name.value.clone(), keys.collect());
    }
    Rules::new(&texts).map_err(|error| {
        let capability = allowed.iter().find(|capability| capability.name.value == error.capability);
        let rule = capability.and_then(|capability| capability.rules.iter().find(|rule| rule.key.value == error.key));
        // The key is at fault when it is not known, else the value.
        let is_known = Rules::keys(&error.capability).any(|key| key == error.key);
        let value = rule.and_then(|rule| rule.values.get(error.index)).filter(|_| is_known);
        let name = || capability.map(|capability| &capability.name);
        let place = value.or_else(|| rule.map(|rule| &rule.key)).or_else(name);
        let help = "docs/rights.md lists the rules of each capability";
        match place {
            Some(place) if value.is_some() => place.origin.diagnostic(error.problem, help).into(),
            Some(place) => place.origin.diagnostic(format!("{}: {}", place.value, error.problem), help).into(),
            None => ConfigError::new(Vec::new()),
        }
    })
}
