//! Which requests a route takes.

use std::borrow::Cow;

use super::document::Read;
use super::mapping::Mapping;
use super::value::Value;

/// The conditions of a route; a request has to meet all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteMatch {
    /// The host; None for any.
    pub host: Option<HostMatch>,
    /// The path.
    pub path: PathMatch,
    /// The headers.
    pub headers: Vec<HeaderMatch>,
}

/// A condition on the host. Case does not count, nor does the port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// This host, in lower case.
    Exact(String),
    /// All hosts that end so, in lower case with the leading dot: `*.example.com` is `.example.com`.
    Suffix(String),
}

/// A condition on the path, without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The path begins so, as text: `/api` takes `/apis` too.
    Prefix(String),
    /// The path is this.
    Exact(String),
}

impl Default for PathMatch {
    fn default() -> Self {
        Self::Prefix("/".to_owned())
    }
}

/// A condition on a header: on its bytes, and on all values of its name with commas between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderMatch {
    /// The header's name, in lower case.
    pub name: String,
    /// What its value has to be.
    pub rule: HeaderRule,
    /// Whether the condition is met when the rule is not; so also by a request without the header.
    pub invert: bool,
}

/// What the value of a header has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderRule {
    /// These bytes.
    Exact(String),
    /// Bytes that begin so.
    Prefix(String),
    /// Anything at all, or with `false` the header has to be absent.
    Present(bool),
}

impl RouteMatch {
    /// Whether a request meets the conditions. `header` looks a header up by its name in lower case, and gives all of its
    /// values, with commas between.
    pub fn matches<'h>(&self, host: &[u8], path: &[u8], header: impl Fn(&str) -> Option<Cow<'h, [u8]>>) -> bool {
        self.host.as_ref().is_none_or(|condition| condition.matches(host))
            && self.path.matches(path)
            && self.headers.iter().all(|condition| condition.matches(header(&condition.name).as_deref()))
    }

    /// Whether it takes every request with an ordinary path.
    pub fn is_catch_all(&self) -> bool {
        *self == Self::default()
    }
}

impl HostMatch {
    fn matches(&self, host: &[u8]) -> bool {
        let host = without_port(host);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Suffix(suffix) => {
                let start = host.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                let end = start.and_then(|start| host.get(start..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }
}

impl PathMatch {
    fn matches(&self, path: &[u8]) -> bool {
        let path = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Exact(exact) => path == exact.as_bytes(),
        }
    }
}

impl HeaderMatch {
    fn matches(&self, value: Option<&[u8]>) -> bool {
        let met = match &self.rule {
            HeaderRule::Exact(exact) => value == Some(exact.as_bytes()),
            HeaderRule::Prefix(prefix) => value.is_some_and(|value| value.starts_with(prefix.as_bytes())),
            HeaderRule::Present(present) => value.is_some() == *present,
        };
        met != self.invert
    }
}

/// Reads the `match` of a route.
pub(super) fn read(value: &Value<'_>) -> Read<RouteMatch> {
    let mapping = value.mapping(&["host", "prefix", "path", "headers"])?;
    let host = mapping.optional("host", host);
    let path = path(&mapping);
    let headers = mapping.or("headers", Vec::new(), |list| list.list(|_, value| header(value)));
    Ok(RouteMatch { host: host?.flatten(), path: path?, headers: headers? })
}

/// Reads a path or the beginning of one.
pub(super) fn absolute(value: &Value<'_>) -> Read<String> {
    let text = value.string()?;
    if !text.starts_with('/') {
        return Err(value.expected("a path", "start it with \"/\""));
    }
    if text.contains(['?', '#']) {
        return Err(value.expected("a path", "remove the query: it is not looked at"));
    }
    Ok(text.to_owned())
}

fn path(mapping: &Mapping<'_>) -> Read<PathMatch> {
    match mapping.at_most_one(&["prefix", "path"])? {
        None => Ok(PathMatch::default()),
        Some(("prefix", value)) => absolute(value).map(PathMatch::Prefix),
        Some((_, value)) => absolute(value).map(PathMatch::Exact),
    }
}

/// Reads a host; `*` is any.
fn host(value: &Value<'_>) -> Read<Option<HostMatch>> {
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
    let (name, wildcard) = match text.strip_prefix('*') {
        Some(suffix) => (suffix, true),
        None => (text.as_str(), false),
    };
    if name.contains('*') || wildcard && !name.starts_with('.') {
        return Err(value.expected(what, "a * can only stand for the first labels, as in \"*.example.com\""));
    }
    if name.is_empty() || name == "." || name.contains([' ', '/', '?', '#', '@']) {
        return Err(value.expected(what, "write the name alone"));
    }
    let name = name.to_owned();
    Ok(Some(if wildcard { HostMatch::Suffix(name) } else { HostMatch::Exact(name) }))
}

const RULES: &[&str] = &["exact", "prefix", "present"];

fn header(value: &Value<'_>) -> Read<HeaderMatch> {
    let mapping = value.mapping(&["name", "exact", "prefix", "present", "invert"])?;
    let name = mapping.required("name", "add the header's name", |name| match name.name()?.parse() {
        Ok::<http::HeaderName, _>(header) => Ok(header.as_str().to_owned()),
        Err(_) => Err(name.expected("the name of a header", "write a name such as x-env")),
    });
    let rule = match mapping.at_most_one(RULES) {
        Ok(Some(("exact", text))) => text.string().map(|text| HeaderRule::Exact(text.to_owned())),
        Ok(Some(("prefix", text))) => text.string().map(|text| HeaderRule::Prefix(text.to_owned())),
        Ok(Some((_, flag))) => flag.boolean().map(HeaderRule::Present),
        Ok(None) => Err(value.fail("no rule for the header's value", "add exact, prefix or `present: true`")),
        Err(reported) => Err(reported),
    };
    let invert = mapping.or("invert", false, Value::boolean);
    Ok(HeaderMatch { name: name?, rule: rule?, invert: invert? })
}

/// A host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let last = |wanted: u8| host.iter().rposition(|byte| *byte == wanted);
    let port = last(b':').filter(|colon| last(b']').is_none_or(|end| end < *colon));
    port.and_then(|colon| host.get(..colon)).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: Option<HostMatch>, path: PathMatch, headers: Vec<HeaderMatch>) -> RouteMatch {
        RouteMatch { host, path, headers }
    }

    fn for_host(host: HostMatch) -> RouteMatch {
        route(Some(host), PathMatch::default(), Vec::new())
    }

    #[test]
    fn a_host_matches_in_any_case_and_with_any_port() {
        let exact = for_host(HostMatch::Exact("api.example.com".to_owned()));
        for host in ["api.example.com", "API.Example.com:8080"] {
            assert!(exact.matches(host.as_bytes(), b"/", |_| None), "{host}");
        }
        for host in ["example.com", "x.api.example.com", ""] {
            assert!(!exact.matches(host.as_bytes(), b"/", |_| None), "{host}");
        }
        let address = for_host(HostMatch::Exact("[::1]".to_owned()));
        assert!(address.matches(b"[::1]:80", b"/", |_| None));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_or_more() {
        let suffix = for_host(HostMatch::Suffix(".example.com".to_owned()));
        for host in ["a.example.com", "A.B.EXAMPLE.com:1", "é.example.com"] {
            assert!(suffix.matches(host.as_bytes(), b"/", |_| None), "{host}");
        }
        for host in ["example.com", ".example.com", "badexample.com", "com", "example.com.evil.org"] {
            assert!(!suffix.matches(host.as_bytes(), b"/", |_| None), "{host}");
        }
    }

    #[test]
    fn a_path_matches_without_its_query() {
        let prefix = route(None, PathMatch::Prefix("/api".to_owned()), Vec::new());
        let exact = route(None, PathMatch::Exact("/api".to_owned()), Vec::new());
        for (path, by_prefix, by_exact) in [
            ("/api", true, true),
            ("/api?x=/", true, true),
            ("/apis", true, false),
            ("/api/a", true, false),
            ("/?/api", false, false),
        ] {
            assert_eq!(prefix.matches(b"", path.as_bytes(), |_| None), by_prefix, "{path}");
            assert_eq!(exact.matches(b"", path.as_bytes(), |_| None), by_exact, "{path}");
        }
    }

    #[test]
    fn headers_match_by_their_rules() {
        let meets = |rule: HeaderRule, invert: bool, value: Option<&'static [u8]>| {
            let name = "x-env".to_owned();
            let condition = HeaderMatch { name, rule, invert };
            route(None, PathMatch::default(), vec![condition]).matches(b"", b"/", |name| {
                assert_eq!(name, "x-env");
                value.map(Cow::Borrowed)
            })
        };
        let exact = || HeaderRule::Exact("prod".to_owned());
        let prefix = || HeaderRule::Prefix("pr".to_owned());
        assert!(meets(exact(), false, Some(b"prod")));
        assert!(!meets(exact(), false, Some(b"pro")));
        assert!(!meets(exact(), false, None));
        assert!(meets(exact(), true, None));
        assert!(meets(prefix(), false, Some(b"prod")));
        assert!(!meets(prefix(), true, Some(b"prod")));
        assert!(meets(HeaderRule::Present(true), false, Some(b"")));
        assert!(meets(HeaderRule::Present(false), false, None));
        assert!(!meets(HeaderRule::Present(true), true, Some(b"")));
        // What is no text is there all the same.
        assert!(!meets(HeaderRule::Present(true), true, Some(b"\xff")));
        assert!(meets(prefix(), false, Some(b"pr\xff")) && !meets(exact(), false, Some(b"prod\xff")));
    }
}
