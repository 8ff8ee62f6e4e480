//! Rules for the arguments of hostcalls.

mod beyond;
mod host;
mod learned;
mod list;
mod metric_name;
mod path;
mod property_path;
mod read;
mod rule;
mod schema;
#[cfg(test)]
mod spellings;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub use beyond::Beyond;
pub use learned::Learned;
pub(crate) use rule::Rule;
pub(crate) use schema::{Family, Key};
use schema::{Ruled, SCHEMA};

/// Rules as they are written: by capability and key, the texts of each.
pub type RuleTexts = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The argument rules of a plugin, compiled. A capability without rules costs what it cost before; one with
/// rules allocates nothing to be judged, but for a map that is set whole.
///
/// Clones share what is counted: rates, calls in flight and bytes are those of all VMs of the plugin together.
#[derive(Clone, Debug, Default)]
pub struct Rules(Option<Arc<Compiled>>);

/// Why a rule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{capability}{}{}: {problem}", if .key.is_empty() { "" } else { "." }, .key)]
#[non_exhaustive]
pub struct RuleError {
    /// The capability that it stands behind.
    pub capability: String,
    /// Its key; empty if the problem is none of a key.
    pub key: String,
    /// Which text of the key, if it has several.
    pub index: usize,
    /// The fault and its remedy.
    pub problem: String,
}

#[derive(Debug)]
struct Compiled {
    texts: RuleTexts,
    rules: [Option<Rule>; Family::COUNT],
    learned: Option<Arc<Learned>>,
}

impl Rules {
    /// No rules.
    pub const NONE: Self = Self(None);

    /// Compiles rules. The capabilities and keys are in docs/rights.md; [`Rules::keys`] lists them.
    ///
    /// # Errors
    /// A capability that takes no rules, a key that it does not have, a text that cannot be read, or two capabilities
    /// that are ruled together and have different rules.
    pub fn new(texts: &RuleTexts) -> Result<Self, RuleError> {
        let mut rules = [const { None }; Family::COUNT];
        if texts.is_empty() {
            return Ok(Self::NONE);
        }
        for capability in texts.keys() {
            if ruled(capability).is_none() {
                return Err(RuleError::of(capability, "this capability takes no rules; write {} behind it".to_owned()));
            }
        }
        for ruled in SCHEMA {
            let mut given = ruled.capabilities.iter().filter_map(|name| texts.get(*name).map(|keys| (*name, keys)));
            let Some((capability, keys)) = given.next() else { continue };
            if let Some((other, _)) = given.find(|(_, other)| *other != keys) {
                let problem = format!("is ruled together with {capability}; rule one of them, or both alike");
                return Err(RuleError::of(other, problem));
            }
            let rule =
                rule::compile(ruled, keys).map_err(|error| RuleError { capability: capability.to_owned(), ..error })?;
            if let Some(slot) = rules.get_mut(ruled.family as usize) {
                *slot = Some(rule);
            }
        }
        Ok(Self(Some(Arc::new(Compiled { texts: texts.clone(), rules, learned: None }))))
    }

    /// Rules that allow everything and note what was used.
    pub fn learning(learned: Arc<Learned>) -> Self {
        let mut rules = [const { None }; Family::COUNT];
        for ruled in SCHEMA {
            if let Some(slot) = rules.get_mut(ruled.family as usize) {
                *slot = Some(Rule::learning(ruled.family, Arc::clone(&learned)));
            }
        }
        Self(Some(Arc::new(Compiled { texts: RuleTexts::new(), rules, learned: Some(learned) })))
    }

    /// The rules as they were written.
    pub fn texts(&self) -> &RuleTexts {
        const EMPTY: &RuleTexts = &RuleTexts::new();
        self.0.as_ref().map_or(EMPTY, |compiled| &compiled.texts)
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The keys that a capability's rules may have; none if it takes no rules.
    pub fn keys(capability: &str) -> impl Iterator<Item = &'static str> {
        ruled(capability).into_iter().flat_map(|ruled| ruled.keys.iter().map(|(name, ..)| *name))
    }

    #[inline]
    pub(crate) fn get(&self, family: Family) -> Option<&Rule> {
        self.0.as_ref()?.rules.get(family as usize)?.as_ref()
    }

    /// Returns the record of what is used, while rights are learned.
    #[inline]
    pub(crate) fn learned(&self) -> Option<&Arc<Learned>> {
        self.0.as_ref()?.learned.as_ref()
    }
}

impl PartialEq for Rules {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a.learned.is_none() && b.learned.is_none() && a.texts == b.texts,
            _ => false,
        }
    }
}

impl Eq for Rules {}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts().hash(state);
    }
}

impl RuleError {
    fn of(capability: &str, problem: String) -> Self {
        Self { capability: capability.to_owned(), key: String::new(), index: 0, problem }
    }

    fn at(key: &str, index: usize, problem: String) -> Self {
        Self { capability: String::new(), key: key.to_owned(), index, problem }
    }
}

fn ruled(capability: &str) -> Option<&'static Ruled> {
    SCHEMA.iter().find(|ruled| ruled.capabilities.contains(&capability))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::Capabilities;

    pub(super) fn texts(rules: &[(&str, &str, &[&str])]) -> RuleTexts {
        let mut texts = RuleTexts::new();
        for (capability, key, values) in rules {
            let keys = texts.entry((*capability).to_owned()).or_default();
            keys.insert((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect());
        }
        texts
    }

    fn problem(rules: &[(&str, &str, &[&str])]) -> String {
        Rules::new(&texts(rules)).map_or_else(|error| error.to_string(), |_| "none".to_owned())
    }

    #[test]
    fn every_ruled_capability_is_one_and_every_family_has_its_place() {
        let names: Vec<_> = Capabilities::names().collect();
        assert!(SCHEMA.iter().flat_map(|ruled| ruled.capabilities).all(|name| names.contains(name)));
        let mut families: Vec<_> = SCHEMA.iter().map(|ruled| ruled.family as usize).collect();
        families.sort_unstable();
        assert_eq!(families, (0..Family::COUNT).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(
            problem(&[("proxy_done", "names", &["a"])]),
            "proxy_done: this capability takes no rules; write {} behind it"
        );
        assert_eq!(
            problem(&[("proxy_http_call", "upstream", &["a"])]),
            "proxy_http_call.upstream: there is no such key; did you mean \"upstreams\"?"
        );
        assert_eq!(
            problem(&[
                ("proxy_get_header_map_value", "request_headers", &["a"]),
                ("proxy_get_header_map_pairs", "request_headers", &["b"]),
            ]),
            "proxy_get_header_map_pairs: is ruled together with proxy_get_header_map_value; rule one of them, or both alike"
        );
    }

    #[test]
    fn rules_that_read_alike_are_equal() {
        let rules = [("proxy_log", "rate", &["5/s"][..])];
        assert_eq!(Rules::new(&texts(&rules)), Rules::new(&texts(&rules)));
        assert_ne!(Rules::new(&texts(&rules)), Rules::new(&texts(&[("proxy_log", "rate", &["6/s"])])));
        let learning = || Rules::learning(Arc::default());
        assert_ne!(learning(), learning());
    }

    #[test]
    fn a_rule_of_one_is_a_rule_of_all_that_are_ruled_together() {
        let rules = Rules::new(&texts(&[("proxy_get_header_map_pairs", "request_headers", &["x"])]));
        let rules = rules.unwrap_or_default();
        assert!(rules.get(Family::ReadHeaders).is_some() && rules.get(Family::WriteHeaders).is_none());
    }
}
