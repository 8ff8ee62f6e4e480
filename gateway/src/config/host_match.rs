//! The hosts that a route takes, in the order in which Envoy looks for a virtual host.

use portcullis_config::reader::{Read, Value};

/// A condition on the host. Case does not count, nor does the port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// This host, in lower case.
    Exact(String),
    /// All hosts that end so and are longer, in lower case: `*.example.com` is `.example.com`, `*-canary` is `-canary`.
    Suffix(String),
    /// All hosts that begin so and are longer, in lower case: `example.*` is `example.`, `foo-*` is `foo-`.
    Prefix(String),
}

impl HostMatch {
    pub(super) fn matches(&self, host: &[u8]) -> bool {
        let host = without_port(host);
        let same =
            |part: Option<&[u8]>, name: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(name.as_bytes()));
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Suffix(suffix) => {
                let start = host.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                same(start.and_then(|start| host.get(start..)), suffix)
            }
            Self::Prefix(prefix) => host.len() > prefix.len() && same(host.get(..prefix.len()), prefix),
        }
    }

    /// Returns the place of a condition in the search: exact hosts, then suffixes, then prefixes, the longest first, then
    /// any host.
    pub(super) fn rank(host: Option<&Self>) -> (u8, std::cmp::Reverse<usize>) {
        let (kind, length) = match host {
            Some(Self::Exact(_)) => (0, 0),
            Some(Self::Suffix(suffix)) => (1, suffix.len()),
            Some(Self::Prefix(prefix)) => (2, prefix.len()),
            None => (3, 0),
        };
        (kind, std::cmp::Reverse(length))
    }

    /// Returns true if it takes every host that another one takes.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (own, Self::Exact(name)) => own.matches(name.as_bytes()),
            (Self::Suffix(own), Self::Suffix(other)) => other.ends_with(own.as_str()),
            (Self::Prefix(own), Self::Prefix(other)) => other.starts_with(own.as_str()),
            _ => false,
        }
    }
}

/// Reads a host; `*` is any.
pub(super) fn read(value: &Value<'_>) -> Read<Option<HostMatch>> {
    let what = "a host such as example.com or \"*.example.com\"";
    let text = value.string()?.to_ascii_lowercase();
    if text == "*" {
        return Ok(None);
    }
    if text.contains("://") {
        return Err(value.expected(what, "leave out the scheme"));
    }
    if without_port(text.as_bytes()) != text.as_bytes() {
        return Err(value.expected(what, "leave out the port: routes do not look at it"));
    }
    let (name, make): (&str, fn(String) -> HostMatch) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(suffix), _) => (suffix, HostMatch::Suffix),
        (None, Some(prefix)) => (prefix, HostMatch::Prefix),
        (None, None) => (text.as_str(), HostMatch::Exact),
    };
    if name.contains('*') {
        return Err(value.expected(what, "one * can stand, at the start or at the end"));
    }
    if name.is_empty() || name == "." || name.contains([' ', '/', '?', '#', '@']) {
        return Err(value.expected(what, "write the name alone"));
    }
    Ok(Some(make(name.to_owned())))
}

/// Returns a host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let last = |wanted: u8| host.iter().rposition(|byte| *byte == wanted);
    let port = last(b':').filter(|colon| last(b']').is_none_or(|end| end < *colon));
    port.and_then(|colon| host.get(..colon)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_matches_in_any_case_and_with_any_port() {
        let exact = HostMatch::Exact("api.example.com".to_owned());
        for host in ["api.example.com", "API.Example.com:8080"] {
            assert!(exact.matches(host.as_bytes()), "{host}");
        }
        for host in ["example.com", "x.api.example.com", ""] {
            assert!(!exact.matches(host.as_bytes()), "{host}");
        }
        let address = HostMatch::Exact("[::1]".to_owned());
        assert!(address.matches(b"[::1]:80"));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let suffix = HostMatch::Suffix(".example.com".to_owned());
        for host in ["a.example.com", "A.B.EXAMPLE.com:1", "é.example.com"] {
            assert!(suffix.matches(host.as_bytes()), "{host}");
        }
        for host in ["example.com", ".example.com", "badexample.com", "com", "example.com.evil.org"] {
            assert!(!suffix.matches(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_wildcard_may_stand_at_either_end() {
        let (canary, foo) = (HostMatch::Suffix("-canary".to_owned()), HostMatch::Prefix("foo-".to_owned()));
        for (host, by_suffix, by_prefix) in [
            ("a-canary", true, false),
            ("-canary", false, false),
            ("foo-canary:80", true, true),
            ("FOO-x", false, true),
            ("foo-", false, false),
            ("é", false, false),
        ] {
            assert_eq!(
                (canary.matches(host.as_bytes()), foo.matches(host.as_bytes())),
                (by_suffix, by_prefix),
                "{host}"
            );
        }
    }

    #[test]
    fn hosts_are_searched_as_envoy_does() {
        let suffix = |text: &str| Some(HostMatch::Suffix(text.to_owned()));
        let prefix = |text: &str| Some(HostMatch::Prefix(text.to_owned()));
        let ordered = [
            Some(HostMatch::Exact("a".to_owned())),
            suffix(".b.example"),
            suffix(".c"),
            prefix("example."),
            prefix("e"),
            None,
        ];
        let ranks: Vec<_> = ordered.iter().map(|host| HostMatch::rank(host.as_ref())).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }
}
