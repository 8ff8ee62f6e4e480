//! Reflection: a plugin that may not see headers has them shown to it, by a server that answers with the request that it got.

use crate::abi::MapType;
use crate::abi::hostcall::HostcallId;
use crate::model::plugin::Plugin;
use crate::rights::Family;

/// Parts of a request's head that say which server answers, and how.
const TARGET: [&str; 3] = [":path", ":method", ":authority"];

/// Hostcalls that set them.
const WRITES: [HostcallId; 3] = [
    HostcallId::proxy_add_header_map_value,
    HostcallId::proxy_replace_header_map_value,
    HostcallId::proxy_set_header_map_pairs,
];

impl Plugin {
    /// Returns which of `:path`, `:method` and `:authority` the plugin may write although its rules hide headers of requests
    /// from it. An upstream that shows a request to who sent it (an echo, a page for debugging) shows them to such a plugin.
    pub fn reflects(&self) -> Vec<&'static str> {
        let hides = self.rules.get(Family::ReadHeaders).is_some_and(|rule| !rule.shows_all(MapType::RequestHeaders));
        if !hides || !WRITES.iter().any(|id| self.capabilities.allows(*id)) {
            return Vec::new();
        }
        let rule = self.rules.get(Family::WriteHeaders);
        let may_write = |name: &&str| rule.is_none_or(|rule| rule.shows(MapType::RequestHeaders, name.as_bytes()));
        TARGET.into_iter().filter(may_write).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rights::{Capabilities, RuleTexts, Rules};

    fn reflects(capabilities: Capabilities, rules: &[(&str, &str, &[&str])]) -> Vec<&'static str> {
        let mut texts = RuleTexts::new();
        for (capability, key, values) in rules {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
        }
        let rules = Rules::new(&texts).unwrap_or_default();
        Plugin { capabilities, rules, ..Plugin::new("p") }.reflects()
    }

    #[test]
    fn a_plugin_that_hides_headers_and_sends_requests_elsewhere_reflects() {
        const READ: &str = "proxy_get_header_map_value";
        const WRITE: &str = "proxy_set_header_map_pairs";
        let all = Capabilities::ALL;
        for hidden in [&[(READ, "request_headers", &["!cookie"][..])][..], &[(READ, "response_headers", &["*"])]] {
            assert_eq!(reflects(all, hidden), TARGET, "{hidden:?}");
        }
        for shown in [&[][..], &[(READ, "request_headers", &["*"][..])], &[(READ, "other_maps", &["*"])]] {
            assert!(reflects(all, shown).is_empty(), "{shown:?}");
        }
        let hidden = (READ, "request_headers", &["x-*"][..]);
        assert!(reflects(Capabilities::NONE, &[hidden]).is_empty());
        assert_eq!(reflects(all, &[hidden, (WRITE, "request_headers", &["*", "!:path", "!host"])]), [":method"]);
        assert!(reflects(all, &[hidden, (WRITE, "response_headers", &["*"])]).is_empty());
    }
}
