//! The rules of one capability, compiled.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::super::likeness::Likeness;
use super::super::rate::{ByteQuota, RateLimiter, Semaphore};
use super::RuleError;
use super::learned::Learned;
use super::list::List;
use super::path::{is_below, is_plain};
use super::schema::{Family, Key, Kind, Ruled};
use super::{metric_name, read};
use crate::abi::MapType;
use crate::model::authority;

/// The arguments that one capability may be used with.
#[derive(Debug)]
pub(crate) struct Rule {
    lists: Vec<(Key, List)>,
    prefixes: Option<Vec<Box<[u8]>>>,
    statuses: Option<Vec<RangeInclusive<u16>>>,
    /// The limit of calls in a period.
    pub(crate) rate: Option<RateLimiter>,
    /// The limit of bytes in a period.
    pub(crate) byte_rate: Option<RateLimiter>,
    /// The limit of calls at once.
    pub(crate) in_flight: Option<Semaphore>,
    /// The limit of bytes that are kept.
    pub(crate) quota: Option<ByteQuota>,
    /// The limit of names in all.
    pub(crate) count: Option<usize>,
    learning: Option<(Family, Arc<Learned>)>,
}

pub(super) fn compile(ruled: &Ruled, keys: &BTreeMap<String, Vec<String>>) -> Result<Rule, RuleError> {
    let mut rule = Rule::empty();
    for (name, texts) in keys {
        let Some((_, key, kind)) = ruled.keys.iter().find(|(known, ..)| known == name) else {
            return Err(RuleError::at(name, 0, unknown(name, ruled)));
        };
        let single = || match texts.as_slice() {
            [text] => Ok(text.as_str()),
            _ => Err(RuleError::at(name, 0, "takes one value".to_owned())),
        };
        let at = |index: usize| move |problem| RuleError::at(name, index, problem);
        match kind {
            Kind::Prefixes => {
                let prefix = |(index, text): (usize, &String)| match text.starts_with('/') && is_plain(text.as_bytes())
                {
                    true => Ok(text.as_bytes().into()),
                    false => Err(at(index)(format!(
                        "{text:?} is no prefix of paths; begin it with /, and leave out segments of dots, empty ones and what servers read in several ways (docs/rights.md)"
                    ))),
                };
                rule.prefixes = Some(texts.iter().enumerate().map(prefix).collect::<Result<_, _>>()?);
            }
            Kind::Statuses => {
                let range = |(index, text): (usize, &String)| read::statuses(text).map_err(at(index));
                rule.statuses = Some(texts.iter().enumerate().map(range).collect::<Result<_, _>>()?);
            }
            Kind::Rate => rule.rate = Some(read::rate(single()?).map_err(at(0))?),
            Kind::ByteRate => rule.byte_rate = Some(read::byte_rate(single()?).map_err(at(0))?),
            Kind::Size => rule.quota = Some(ByteQuota::new(read::size(single()?).map_err(at(0))?)),
            Kind::Number if *key == Key::InFlight => {
                rule.in_flight = Some(Semaphore::new(read::number(single()?).map_err(at(0))?));
            }
            Kind::Number => rule.count = Some(read::number(single()?).map_err(at(0))?),
            kind => {
                let list = List::new(texts, *kind).map_err(|(index, problem)| at(index)(problem))?;
                rule.lists.push((*key, list));
            }
        }
    }
    Ok(rule)
}

impl Rule {
    const fn empty() -> Self {
        Self {
            lists: Vec::new(),
            prefixes: None,
            statuses: None,
            rate: None,
            byte_rate: None,
            in_flight: None,
            quota: None,
            count: None,
            learning: None,
        }
    }

    pub(super) fn learning(family: Family, learned: Arc<Learned>) -> Self {
        Self { learning: Some((family, learned)), ..Self::empty() }
    }

    /// Returns whether an argument is allowed. What no rule is about is.
    pub(crate) fn allows(&self, key: Key, argument: &[u8]) -> bool {
        self.learn(key, argument);
        self.list(key).is_none_or(|list| list.allows(argument))
    }

    /// Returns whether a request without an authority of its own may go to an upstream, whose name stands in for it. The operator chose
    /// that name, so one that is no host can be listed as well.
    pub(crate) fn allows_as_authority(&self, upstream: &str) -> bool {
        self.learn(Key::Authorities, upstream.as_bytes());
        self.list(Key::Authorities).is_none_or(|list| list.allows_upstream(upstream))
    }

    /// Returns whether an argument is allowed by name. What no rule is about is not.
    pub(crate) fn allows_by_name(&self, key: Key, argument: &[u8]) -> bool {
        self.learn(key, argument);
        self.learning.is_some() || self.list(key).is_some_and(|list| list.allows(argument))
    }

    /// Returns whether the rules take away the name of a metric.
    pub(crate) fn takes_metric(&self, name: &[u8]) -> bool {
        self.list(Key::Names).is_some_and(|list| metric_name::takes(list.patterns(), name))
    }

    /// Returns whether the rules take away something that a property's path stands in, by the path of that.
    pub(crate) fn takes_above(&self, path: &[u8]) -> bool {
        let Some(list) = self.list(Key::Paths).map(List::patterns).filter(|list| list.has_exceptions()) else {
            return false;
        };
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(end, _)| end);
        let mut above = ends.filter_map(|end| path.get(..end));
        above.any(|above| list.takes(above, Likeness::DottedFolded))
    }

    /// Returns whether the rules take away something that stands below a property's path.
    pub(crate) fn takes_below(&self, path: &[u8]) -> bool {
        self.list(Key::Paths).is_some_and(|list| list.patterns().takes_below(path, Likeness::DottedFolded))
    }

    /// Returns whether a header of a map is allowed. If rules name maps, the others have no headers, as
    /// far as the plugin is concerned, but for those of `other_maps`.
    pub(crate) fn allows_header(&self, map: MapType, name: &[u8]) -> bool {
        self.learn(Key::Map(map), name);
        self.shows(map, name)
    }

    /// Returns the same of what is not asked for by its name.
    pub(crate) fn shows(&self, map: MapType, name: &[u8]) -> bool {
        match self.list(Key::Map(map)).or_else(|| self.list(Key::OtherMaps)) {
            // One value: what names it by either name allows it, and what takes one name away takes it away.
            Some(list) if authority::is_named(map, name) => list.allows_either(authority::AUTHORITY, authority::HOST),
            Some(list) => list.allows(name),
            None => self.lists.is_empty(),
        }
    }

    /// Returns whether all headers of a map are allowed, whatever they are called.
    pub(crate) fn shows_all(&self, map: MapType) -> bool {
        match self.list(Key::Map(map)).or_else(|| self.list(Key::OtherMaps)) {
            Some(list) => list.patterns().allow_all(),
            None => self.lists.is_empty(),
        }
    }

    /// Notes that all headers of a map are used, while it is learned.
    pub(crate) fn learn_all_headers(&self, map: MapType) {
        self.learn(Key::Map(map), b"*");
    }

    /// Returns whether a callout may have a field, besides those that have rules of their own. What is used of them is not learned: they
    /// vary from call to call.
    pub(crate) fn allows_field(&self, name: &[u8]) -> bool {
        self.list(Key::Fields).is_none_or(|list| list.allows(name))
    }

    /// Returns whether a path is allowed: whole segments of it are a prefix. A path that a server may read in
    /// another way is not.
    pub(crate) fn allows_path(&self, path: &[u8]) -> bool {
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        let is_readable = is_plain(path) && path.len() <= 256 && path.iter().all(u8::is_ascii_graphic);
        self.learn(Key::Paths, if is_readable { path } else { b"/" });
        let Some(prefixes) = &self.prefixes else { return true };
        is_plain(path) && prefixes.iter().any(|prefix| is_below(path, prefix))
    }

    pub(crate) fn allows_status(&self, status: u16) -> bool {
        if self.learning.is_some() {
            self.learn(Key::Statuses, status.to_string().as_bytes());
        }
        self.statuses.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(&status)))
    }

    fn list(&self, key: Key) -> Option<&List> {
        self.lists.iter().find(|(of, _)| *of == key).map(|(_, list)| list)
    }

    fn learn(&self, key: Key, argument: &[u8]) {
        if let Some((family, learned)) = &self.learning {
            learned.argument(*family, key, argument);
        }
    }
}

fn unknown(name: &str, ruled: &Ruled) -> String {
    let names = ruled.keys.iter().map(|(name, ..)| *name);
    let nearest = names.clone().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest.filter(|nearest| strsim::jaro_winkler(name, nearest) > 0.8) {
        Some(nearest) => format!("there is no such key; did you mean {nearest:?}?"),
        None => format!("there is no such key; there are {}", names.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::texts;
    use super::super::{Family, Rules};
    use super::*;

    #[test]
    fn maps_that_no_rule_names_are_empty() {
        let rules =
            Rules::new(&texts(&[("proxy_get_header_map_value", "request_headers", &["X-*"])])).unwrap_or_default();
        let allows = |rules: &Rules, map, name: &str| {
            rules.get(Family::ReadHeaders).is_none_or(|rule| rule.allows_header(map, name.as_bytes()))
        };
        assert!(allows(&rules, MapType::RequestHeaders, "x-a") && !allows(&rules, MapType::RequestHeaders, "y"));
        assert!(!allows(&rules, MapType::ResponseHeaders, "x-a"));
        let others = texts(&[
            ("proxy_get_header_map_value", "request_headers", &["!cookie"]),
            ("proxy_get_header_map_value", "other_maps", &["*"]),
        ]);
        let rules = Rules::new(&others).unwrap_or_default();
        assert!(
            allows(&rules, MapType::ResponseHeaders, "cookie") && !allows(&rules, MapType::RequestHeaders, "cookie")
        );
        assert!(allows(&rules, MapType::RequestHeaders, "host"));
    }

    #[test]
    fn prefixes_and_single_values_are_judged() {
        let error = |key: &str, values: &[&str]| {
            Rules::new(&texts(&[("proxy_http_call", key, values)])).err().map(|error| (error.key, error.index))
        };
        assert_eq!(error("paths", &["/a", "b"]), Some(("paths".to_owned(), 1)));
        assert_eq!(error("rate", &["1/s", "2/s"]), Some(("rate".to_owned(), 0)));
        assert_eq!(error("in_flight", &["many"]), Some(("in_flight".to_owned(), 0)));
        assert_eq!(error("in_flight", &["2"]), None);
    }
}
