//! Rights that a plugin has used, noted by rules that allow everything. [`observer`](crate::observe::observer) says why learning is no
//! observer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::RuleTexts;
use super::schema::{Family, Key, SCHEMA};

/// Rights that a plugin has used, noted while its rules are [`Rules::learning`](super::Rules::learning).
#[derive(Debug, Default)]
pub struct Learned(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    capabilities: BTreeSet<&'static str>,
    arguments: BTreeMap<(Family, &'static str), BTreeSet<String>>,
}

/// Values of one key, after which all are allowed: what varies so much is no rule.
const MOST_VALUES: usize = 32;
/// Bytes of a value; of one that is longer only the start is noted, with a star behind it.
const MOST_BYTES: usize = 256;

impl Learned {
    /// Returns the names of the capabilities that were used, sorted.
    pub fn capabilities(&self) -> Vec<&'static str> {
        self.used().capabilities.iter().copied().collect()
    }

    /// Returns the least rules that allow what was used. Of capabilities that are ruled together the first that was
    /// used has them.
    pub fn rules(&self) -> RuleTexts {
        let used = self.used();
        let mut texts = RuleTexts::new();
        for ((family, key), values) in &used.arguments {
            let ruled = SCHEMA.iter().find(|ruled| ruled.family == *family);
            let capability =
                ruled.and_then(|ruled| ruled.capabilities.iter().find(|name| used.capabilities.contains(*name)));
            let Some(capability) = capability else { continue };
            let values = if values.contains("*") { vec!["*".to_owned()] } else { values.iter().cloned().collect() };
            texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
        }
        texts
    }

    pub(crate) fn capability(&self, name: &'static str) {
        self.used().capabilities.insert(name);
    }

    pub(super) fn argument(&self, family: Family, key: Key, argument: &[u8]) {
        let ruled = SCHEMA.iter().find(|ruled| ruled.family == family);
        let Some((name, ..)) = ruled.and_then(|ruled| ruled.keys.iter().find(|(_, of, _)| *of == key)) else { return };
        let all = if key == Key::Paths && family == Family::HttpCall { "/" } else { "*" };
        let mut used = self.used();
        let values = used.arguments.entry((family, name)).or_default();
        if values.contains(all) {
            return;
        }
        let text = as_pattern(argument, family);
        if text == all || values.len() >= MOST_VALUES && !values.contains(&text) {
            values.clear();
            values.insert(all.to_owned());
        } else {
            values.insert(text);
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a pattern that the argument meets.
fn as_pattern(argument: &[u8], family: Family) -> String {
    let (start, cut) = match argument.get(..MOST_BYTES) {
        Some(start) if argument.len() > MOST_BYTES => (start, "*"),
        _ => (argument, ""),
    };
    let is_property = matches!(family, Family::GetProperty | Family::SetProperty);
    let readable = |byte: &u8| byte.is_ascii_graphic();
    let mut text = String::with_capacity(start.len() + 1);
    for (index, byte) in start.iter().enumerate() {
        match byte {
            0 if is_property => text.push('.'),
            // What takes away must not come of what was used.
            b'!' if index == 0 => text.push('*'),
            byte if readable(byte) => text.push(char::from(*byte)),
            _ => text.push('*'),
        }
    }
    text + cut
}

#[cfg(test)]
mod tests {
    use super::super::Rules;
    use super::*;
    use crate::abi::MapType;

    #[test]
    fn what_is_learned_allows_what_was_used() {
        let learned = std::sync::Arc::new(Learned::default());
        let learning = Rules::learning(std::sync::Arc::clone(&learned));
        let used = |family, key, argument: &[u8]| {
            assert!(learning.get(family).is_some_and(|rule| rule.allows(key, argument)));
        };
        for name in
            ["proxy_http_call", "proxy_get_property", "proxy_get_header_map_pairs", "proxy_get_header_map_value"]
        {
            learned.capability(name);
        }
        used(Family::HttpCall, Key::Upstreams, b"auth");
        used(Family::GetProperty, Key::Paths, b"request\0time");
        used(Family::ReadHeaders, Key::Map(MapType::RequestHeaders), b"!odd name");
        used(Family::SetData, Key::Keys, b"of a capability that was not used");
        assert!(learning.get(Family::HttpCall).is_some_and(|rule| rule.allows_path(b"/check?user=me")));
        let texts = learned.rules();
        assert_eq!(
            format!("{texts:?}"),
            r#"{"proxy_get_header_map_value": {"request_headers": ["*odd*name"]}, "proxy_get_property": {"paths": ["request.time"]}, "proxy_http_call": {"paths": ["/check"], "upstreams": ["auth"]}}"#
        );
        let rules = Rules::new(&texts).unwrap_or_default();
        let allows = |family, key, argument: &[u8]| rules.get(family).is_some_and(|rule| rule.allows(key, argument));
        assert!(allows(Family::GetProperty, Key::Paths, b"request\0time"));
        assert!(!allows(Family::HttpCall, Key::Upstreams, b"other"));
        assert!(
            rules
                .get(Family::ReadHeaders)
                .is_some_and(|rule| rule.allows_header(MapType::RequestHeaders, b"!odd name"))
        );
    }

    #[test]
    fn what_varies_too_much_becomes_a_star() {
        let learned = Learned::default();
        learned.capability("proxy_get_shared_data");
        for number in 0..=MOST_VALUES {
            learned.argument(Family::GetData, Key::Keys, number.to_string().as_bytes());
        }
        assert_eq!(format!("{:?}", learned.rules()), r#"{"proxy_get_shared_data": {"keys": ["*"]}}"#);
    }
}
