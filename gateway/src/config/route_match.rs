//! The conditions for requests that a route takes.

use std::borrow::Cow;

use portcullis::model::Headers;
use portcullis_config::reader::{Key, Mapping, Read, Refused, Section, Type, Value};

use super::envoy_keys;
use super::host_match;
use super::pattern::{self, Pattern};
use super::string_match;

pub use super::host_match::HostMatch;

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

/// The path of a request.
pub(super) const URL_PATH: Type = Type::Form("path of a URL", "^/");

/// A condition on the path, without its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The path begins so, as text: `/api` takes `/apis` too.
    Prefix(String),
    /// The path is this.
    Exact(String),
    /// The path is this, or begins so at the end of a segment: `/api` takes `/api/x` and not `/apis`. No slash at the end.
    Separated(String),
    /// All of the path matches.
    Regex(Pattern),
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
    /// The rule for its value.
    pub rule: HeaderRule,
    /// Whether the condition is met when the rule is not; so also by a request without the header.
    pub invert: bool,
}

/// Rule for the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderRule {
    /// These bytes.
    Exact(String),
    /// Bytes that begin so.
    Prefix(String),
    /// A text that ends so.
    Suffix(String),
    /// A text with this in it.
    Contains(String),
    /// A text all of which matches.
    Regex(Pattern),
    /// The same as another rule, of ASCII letters in either case; what it holds is in lower case.
    IgnoreCase(Box<Self>),
    /// Anything at all, or with `false` the header has to be absent.
    Present(bool),
}

impl RouteMatch {
    /// Returns whether a request meets the conditions. `header` looks a header up by its name in lower case, and gives all of its
    /// values, with commas between.
    pub fn matches<'h>(&self, host: &[u8], path: &[u8], header: impl Fn(&str) -> Option<Cow<'h, [u8]>>) -> bool {
        self.host.as_ref().is_none_or(|condition| condition.matches(host))
            && self.path.matches(path)
            && self.headers.iter().all(|condition| condition.matches(header(&condition.name).as_deref()))
    }

    /// Returns the first condition that a request does not meet, as [`Self::matches`] tries them; none if it meets all.
    pub(crate) fn mismatch(&self, request: &Headers) -> Option<Mismatch> {
        let [host, path] = [&b":authority"[..], b":path"].map(|name| request.get(name).unwrap_or_default());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if self.host.as_ref().is_some_and(|condition| !condition.matches(host)) {
            return Some(Mismatch::Host(text(host)));
        }
        if !self.path.matches(path) {
            return Some(Mismatch::Path(text(path)));
        }
        let met = |condition: &&HeaderMatch| condition.matches(joined(request, &condition.name).as_deref());
        let unmet = self.headers.iter().find(|condition| !met(condition))?;
        let value = joined(request, &unmet.name).map(|value| text(&value));
        Some(Mismatch::Header { name: unmet.name.clone(), value })
    }

    /// Returns whether it takes every request with an ordinary path.
    pub fn is_catch_all(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if it surely takes every request that another one takes.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (None, _) => true,
            (Some(own), Some(other)) => own.covers(other),
            (Some(_), None) => false,
        };
        host && self.path.covers(&other.path) && self.headers.iter().all(|condition| other.headers.contains(condition))
    }
}

/// The condition of a route that a request does not meet, with what the request has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    Host(String),
    Path(String),
    /// A header, without a value if the request does not have it.
    Header {
        name: String,
        value: Option<String>,
    },
}

/// Returns all values of a header, with commas between, as Envoy matches them.
pub(crate) fn joined<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, [u8]>> {
    // `host` is another name of it.
    let name = if name == "host" { ":authority" } else { name };
    let mut values = headers.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value);
    let mut joined = Cow::Borrowed(values.next()?);
    for value in values {
        let joined = joined.to_mut();
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(joined)
}

impl PathMatch {
    fn matches(&self, path: &[u8]) -> bool {
        let path = path.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Exact(exact) => path == exact.as_bytes(),
            Self::Separated(prefix) => {
                path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
            Self::Regex(pattern) => pattern.matches(path),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            // Every path begins so.
            (Self::Prefix(prefix), _) if prefix == "/" => true,
            (Self::Prefix(prefix), Self::Prefix(path) | Self::Exact(path) | Self::Separated(path)) => {
                path.starts_with(prefix.as_str())
            }
            (Self::Separated(_), Self::Exact(path) | Self::Separated(path)) => self.matches(path.as_bytes()),
            (Self::Separated(prefix), Self::Prefix(path)) => path.starts_with(&format!("{prefix}/")),
            _ => self == other,
        }
    }
}

impl HeaderMatch {
    fn matches(&self, value: Option<&[u8]>) -> bool {
        let met = match &self.rule {
            HeaderRule::Present(present) => value.is_some() == *present,
            rule => value.is_some_and(|value| rule.matches(value)),
        };
        met != self.invert
    }
}

impl HeaderRule {
    /// Returns whether the value of a header matches the rule.
    fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => value == exact.as_bytes(),
            Self::Prefix(prefix) => value.starts_with(prefix.as_bytes()),
            Self::Suffix(suffix) => value.ends_with(suffix.as_bytes()),
            Self::Contains(part) => part.is_empty() || value.windows(part.len()).any(|here| here == part.as_bytes()),
            Self::Regex(pattern) => pattern.matches(value),
            Self::IgnoreCase(rule) => rule.matches(&value.to_ascii_lowercase()),
            Self::Present(present) => *present,
        }
    }
}

const HOST: Key = Key::new(
    "host",
    Type::Name,
    "The host, as `example.com`, `*.example.com` or `example.*`; case and port do not count; `*` is any.",
)
.default("'*'");
const PREFIX: Key =
    Key::new("prefix", URL_PATH, "The path begins so, as text: `/api` takes `/apis`, too.").default("/");
const PATH: Key = Key::new("path", URL_PATH, "In place of `prefix`: the path, without its query, is this.");
const SEPARATED: Key = Key::new(
    "path_separated_prefix",
    URL_PATH,
    "In place of `prefix`: the path is this or begins so at the end of a segment: `/api` takes `/api/x` and not `/apis`.",
);
const SAFE_REGEX: Key =
    Key::new("safe_regex", Type::Section(&pattern::PATTERN), "In place of `prefix`: all of the path matches.");
const HEADERS: Key = Key::new(
    "headers",
    Type::List(const { &Type::Section(&HEADER) }),
    "Conditions on headers, all of which have to be met.",
)
.default("[]");

pub(super) static MATCH: Section = Section::new(
    "match",
    "listeners[].routes[].match",
    "The conditions of a route; a request has to meet all of them.",
    &[HOST, PREFIX, PATH, SEPARATED, SAFE_REGEX, HEADERS],
);

/// Reads the `match` of a route.
pub(super) fn read(value: &Value<'_>) -> Read<RouteMatch> {
    let mapping = value.mapping_without(&MATCH, &envoy_keys::refused(REFUSED, &[envoy_keys::MATCH]))?;
    let host = mapping.optional(HOST, host_match::read);
    let path = path(&mapping);
    let headers = mapping.or(HEADERS, Vec::new(), |list| list.list(|_, value| header(value)));
    Ok(RouteMatch { host: host?.flatten(), path: path?, headers: headers? })
}

/// Conditions of Envoy's routes that have no meaning here.
const REFUSED: &[Refused] = &[
    ("query_parameters", "routes do not look at the query", "let a plugin look at it, and set a header for the routes"),
    ("case_sensitive", "paths are compared as they are", "use safe_regex with (?i)"),
    ("connect_matcher", "CONNECT is not supported", "remove the route"),
    ("path_match_policy", "there are no templates of paths", "use safe_regex"),
    ("runtime_fraction", "a route takes all requests that match", "use weighted_clusters"),
    ("grpc", "routes do not look at it", "use headers: [{name: content-type, prefix: application/grpc}]"),
    ("dynamic_metadata", "no filter here writes metadata", "let a plugin set a header for the routes"),
    ("tls_context", "client certificates are not asked for", "remove the key"),
];

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

/// Reads what part of a path is replaced with.
pub(super) fn replacement(value: &Value<'_>) -> Read<String> {
    let text = absolute(value)?;
    match text.parse::<http::uri::PathAndQuery>() {
        Ok(_) => Ok(text),
        Err(_) => Err(value.expected("a path", "encode what a URL cannot hold, a space as %20")),
    }
}

fn path(mapping: &Mapping<'_>) -> Read<PathMatch> {
    match mapping.at_most_one(&[PREFIX, PATH, SEPARATED, SAFE_REGEX])? {
        None => Ok(PathMatch::default()),
        Some(("prefix", value)) => absolute(value).map(PathMatch::Prefix),
        Some(("path", value)) => absolute(value).map(PathMatch::Exact),
        Some(("safe_regex", value)) => pattern::read(value).map(PathMatch::Regex),
        Some((_, value)) => match absolute(value)? {
            path if path.ends_with('/') => Err(value.expected("a path without a slash at its end", "remove the slash")),
            path => Ok(PathMatch::Separated(path)),
        },
    }
}

const HEADER_NAME: Key = Key::new(
    "name",
    Type::Form("name of a header", r"^:?[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    "The header, or `:method`, `:path`, `:authority` or `:scheme`.",
)
.required();
const EXACT: Key = Key::new("exact", Type::Text, "The value is this.");
const HEADER_PREFIX: Key = Key::new("prefix", Type::Text, "The value begins so.");
const PRESENT: Key = Key::new("present", Type::Boolean, "The header is there, or with `false` it is not.");
const PRESENT_MATCH: Key = Key::new("present_match", Type::Boolean, "Envoy's name of `present`.");
const STRING_MATCH: Key =
    Key::new("string_match", Type::Section(&string_match::STRING_MATCH), "A rule for the value, as in Envoy.");
const INVERT: Key =
    Key::new("invert", Type::Boolean, "Whether the condition is met when the rule is not.").default("false");
const INVERT_MATCH: Key = Key::new("invert_match", Type::Boolean, "Envoy's name of `invert`.");

static HEADER: Section = Section::new(
    "header_match",
    "listeners[].routes[].match.headers[]",
    "A condition on a header, all values of its name with commas between; one rule.",
    &[HEADER_NAME, EXACT, HEADER_PREFIX, PRESENT, PRESENT_MATCH, STRING_MATCH, INVERT, INVERT_MATCH],
);

const RULES: &[Key] = &[EXACT, HEADER_PREFIX, PRESENT, PRESENT_MATCH, STRING_MATCH];

const HEADER_REFUSED: &[Refused] = &[
    ("range_match", "values are not compared as numbers", "use string_match with safe_regex"),
    ("treat_missing_header_as_empty", "a header that is absent meets `invert` alone", "remove the key"),
    ("exact_match", "Envoy has removed this form", "write `string_match: {exact: VALUE}`"),
    ("prefix_match", "Envoy has removed this form", "write `string_match: {prefix: VALUE}`"),
    ("suffix_match", "Envoy has removed this form", "write `string_match: {suffix: VALUE}`"),
    ("contains_match", "Envoy has removed this form", "write `string_match: {contains: VALUE}`"),
    ("safe_regex_match", "Envoy has removed this form", "write `string_match: {safe_regex: {regex: VALUE}}`"),
];

fn header(value: &Value<'_>) -> Read<HeaderMatch> {
    let mapping = value.mapping_without(&HEADER, HEADER_REFUSED)?;
    let name = mapping.required(HEADER_NAME, "add the header's name", |name| match name.name()?.as_str() {
        pseudo @ (":authority" | ":method" | ":path" | ":scheme") => Ok(pseudo.to_owned()),
        text => match text.parse::<http::HeaderName>() {
            Ok(header) => Ok(header.as_str().to_owned()),
            Err(_) => Err(name.expected("the name of a header", "write a name such as x-env")),
        },
    });
    let rule = match mapping.at_most_one(RULES) {
        Ok(Some(("exact", text))) => text.string().map(|text| HeaderRule::Exact(text.to_owned())),
        Ok(Some(("prefix", text))) => text.string().map(|text| HeaderRule::Prefix(text.to_owned())),
        Ok(Some(("string_match", matcher))) => string_match::read(matcher),
        Ok(Some((_, flag))) => flag.boolean().map(HeaderRule::Present),
        Ok(None) => {
            Err(value.fail("no rule for the header's value", "add exact, prefix, string_match or `present: true`"))
        }
        Err(reported) => Err(reported),
    };
    let invert = match mapping.at_most_one(&[INVERT, INVERT_MATCH])? {
        Some((_, flag)) => flag.boolean(),
        None => Ok(false),
    };
    Ok(HeaderMatch { name: name?, rule: rule?, invert: invert? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: Option<HostMatch>, path: PathMatch, headers: Vec<HeaderMatch>) -> RouteMatch {
        RouteMatch { host, path, headers }
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

    #[test]
    fn paths_match_at_the_end_of_a_segment_or_by_a_pattern() {
        let separated = route(None, PathMatch::Separated("/api".to_owned()), Vec::new());
        for (path, expected) in [("/api", true), ("/api/", true), ("/api/x?y", true), ("/apis", false), ("/a", false)] {
            assert_eq!(separated.matches(b"", path.as_bytes(), |_| None), expected, "{path}");
        }
    }

    #[test]
    fn what_another_route_takes_is_covered() {
        let of = |host: Option<HostMatch>, path: PathMatch| route(host, path, Vec::new());
        let (prefix, exact) = (|p: &str| PathMatch::Prefix(p.into()), |p: &str| PathMatch::Exact(p.into()));
        let separated = |p: &str| PathMatch::Separated(p.into());
        for (first, second, expected) in [
            (prefix("/"), separated("/x"), true),
            (prefix("/a"), exact("/ab"), true),
            (prefix("/a/"), separated("/a"), false),
            (separated("/a"), prefix("/a/"), true),
            (separated("/a"), prefix("/a"), false),
            (separated("/a"), exact("/ab"), false),
            (separated("/a"), separated("/a/b"), true),
            (exact("/a"), exact("/a"), true),
            (exact("/a"), prefix("/a"), false),
        ] {
            assert_eq!(of(None, first.clone()).covers(&of(None, second.clone())), expected, "{first:?} {second:?}");
        }
        let host = |name: &str| Some(HostMatch::Exact(name.to_owned()));
        assert!(of(None, prefix("/")).covers(&of(host("a"), prefix("/"))));
        assert!(!of(host("a"), prefix("/")).covers(&of(None, prefix("/"))));
        assert!(!of(host("a"), prefix("/")).covers(&of(host("b"), prefix("/"))));
        let header = |value: &str| HeaderMatch {
            name: "x".to_owned(),
            rule: HeaderRule::Exact(value.to_owned()),
            invert: false,
        };
        let with = |headers: Vec<HeaderMatch>| route(None, prefix("/"), headers);
        assert!(with(vec![header("a")]).covers(&with(vec![header("b"), header("a")])));
        assert!(!with(vec![header("a")]).covers(&with(vec![header("b")])));
    }
}
