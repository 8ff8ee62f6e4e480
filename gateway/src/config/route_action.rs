//! Actions of routes: send requests to a cluster, or answer them.

use bytes::Bytes;
use portcullis_config::reader::{Key, Kind, Mapping, Read, Refused, Reported, Section, Type, Value, base64, files};

use super::cluster::ClusterNames;
use super::envoy_keys;
use super::route_match::URL_PATH;

/// The action of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// Sends it to a cluster.
    Forward(Forward),
    /// Answers it.
    Respond(DirectResponse),
    /// Sends the client elsewhere.
    Redirect(Redirect),
}

/// The clusters of a route; there is one of each name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The names, and how many of `total` requests each gets on average; never empty.
    clusters: Vec<(String, u32)>,
    /// The sum of the weights, never 0.
    total: u64,
}

/// An answer that a route gives without an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// The status, 200 to 599.
    pub status: u16,
    /// Headers besides it, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Where a client is sent, as far as that is not where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The scheme.
    pub scheme: Option<String>,
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<RedirectPath>,
    /// Whether the query of the request is left out.
    pub strip_query: bool,
}

/// How a redirect changes the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectPath {
    /// This takes its place, with a query of its own or the one of the request.
    Whole(String),
    /// This takes the place of what the route has matched.
    Prefix(String),
}

impl Forward {
    /// Chooses a cluster by weight; asks for a random number only where there is a choice.
    pub fn choose(&self, random: impl FnOnce() -> u64) -> &str {
        let [(name, _)] = self.clusters.as_slice() else {
            let mut left = random().checked_rem(self.total).unwrap_or_default();
            let mut clusters = self.clusters.iter();
            let chosen = clusters.find(|(_, weight)| match left.checked_sub(u64::from(*weight)) {
                Some(rest) => {
                    left = rest;
                    false
                }
                None => true,
            });
            return chosen.map_or("", |(name, _)| name);
        };
        name
    }

    /// Returns the names and their weights.
    pub fn clusters(&self) -> &[(String, u32)] {
        &self.clusters
    }
}

pub(super) const CLUSTER: Key = Key::new("cluster", Type::Name, "The cluster that requests go to.");
pub(super) const WEIGHTED_CLUSTERS: Key =
    Key::new("weighted_clusters", Type::Section(&WEIGHTED), "In place of `cluster`: several of them, by weight.");

const CLUSTERS: Key = Key::new("clusters", Type::List(const { &Type::Section(&SHARE) }), "The clusters.").required();

static WEIGHTED: Section = Section::new(
    "weighted_clusters",
    "listeners[].routes[].weighted_clusters",
    "Clusters among which requests are divided.",
    &[CLUSTERS],
);

const SHARE_NAME: Key = Key::new("name", Type::Name, "The cluster.").required();
const WEIGHT: Key = Key::new(
    "weight",
    Type::Integer(0, u32::MAX as u64),
    "The share of the cluster: its weight divided by the sum of all weights.",
)
.required();

static SHARE: Section = Section::new(
    "weighted_cluster",
    "listeners[].routes[].weighted_clusters.clusters[]",
    "A cluster and its part of the requests.",
    &[SHARE_NAME, WEIGHT],
);

/// Reads the cluster or clusters of a route.
pub(super) fn forward(mapping: &Mapping<'_>, clusters: &ClusterNames) -> Read<Forward> {
    match mapping.at_most_one(&[CLUSTER, WEIGHTED_CLUSTERS])? {
        Some(("weighted_clusters", value)) => weighted(value, clusters),
        _ => mapping.required(CLUSTER, "add the name of one of the clusters", |name| {
            Ok(Forward { clusters: vec![(clusters.reference(name)?, 1)], total: 1 })
        }),
    }
}

const TOTAL: Refused = (
    "total_weight",
    "the total is the sum of the weights",
    "remove the key, and adapt the weights if they add up to less",
);

const NO_PLUGINS: Refused =
    ("typed_per_filter_config", "plugins are not configured per route", "give the route plugins of its own");

fn weighted(value: &Value<'_>, names: &ClusterNames) -> Read<Forward> {
    const HELP: &str = "add `clusters: [{name: a, weight: 90}, {name: b, weight: 10}]`";
    let mapping = value.mapping_without(&WEIGHTED, &envoy_keys::refused(&[TOTAL], &[envoy_keys::WEIGHTED]))?;
    let refused = envoy_keys::refused(&[NO_PLUGINS], &[envoy_keys::WEIGHTED]);
    let clusters = mapping.required(CLUSTERS, HELP, |list| {
        list.list(|_, value| {
            let mapping = value.mapping_without(&SHARE, &refused)?;
            let name =
                mapping.required(SHARE_NAME, "add the name of one of the clusters", |name| names.reference(name));
            let weight = mapping.required(WEIGHT, "add a number such as 50", |weight| weight.integer(WEIGHT.range()));
            Ok((name?, u32::try_from(weight?).unwrap_or(u32::MAX)))
        })
    })?;
    match clusters.iter().map(|(_, weight)| u64::from(*weight)).sum() {
        0 => Err(value.fail("the weights add up to 0", "give one of the clusters a weight of 1 or more")),
        total => Ok(Forward { clusters, total }),
    }
}

const BODY_FORMAT: Refused = ("body_format", "bodies are not made from a format", "write the body as it is to be sent");

const STATUS: Key = Key::new("status", Type::Integer(200, 599), "The status.").required();
const BODY: Key =
    Key::new("body", Type::Either(const { &[Type::Text, Type::Section(&BODY_SOURCE)] }), "The body; at most 1 MiB.")
        .default("''");
const RESPONSE_HEADERS: Key = Key::new("headers", Type::Map(&Type::Text), "Headers besides the status.").default("{}");

pub(super) static RESPONSE: Section = Section::new(
    "direct_response",
    "listeners[].routes[].direct_response",
    "A response that a route gives without an upstream.",
    &[STATUS, BODY, RESPONSE_HEADERS],
);

const INLINE_STRING: Key = Key::new("inline_string", Type::Text, "Text.");
const INLINE_BYTES: Key = Key::new("inline_bytes", Type::Base64, "Bytes.");
const FILENAME: Key =
    Key::new("filename", Type::Name, "A file, found from the working directory or beside the configuration.");

static BODY_SOURCE: Section = Section::new(
    "body",
    "listeners[].routes[].direct_response.body",
    "A body that is no text; one of the keys.",
    &[INLINE_STRING, INLINE_BYTES, FILENAME],
);

/// Reads `direct_response`.
pub(super) fn direct_response(value: &Value<'_>) -> Read<DirectResponse> {
    let mapping = value.mapping_without(&RESPONSE, &[BODY_FORMAT])?;
    let status = mapping.required(STATUS, "add one, such as `status: 200`", |status| status.integer(STATUS.range()));
    let body = mapping.or(BODY, Vec::new(), body);
    let headers = mapping.or(RESPONSE_HEADERS, Vec::new(), headers);
    let status = u16::try_from(status?).unwrap_or(500);
    let body = body?;
    if let Some(place) = mapping.get(BODY).filter(|_| matches!(status, 204 | 205 | 304) && !body.is_empty()) {
        return Err(
            place.fail(format!("a response of status {status} has no body"), "remove it, or choose another status")
        );
    }
    Ok(DirectResponse { status, headers: headers?, body: body.into() })
}

/// The most bytes of a body: it is kept in memory.
const LARGEST_BODY: u64 = 1 << 20;

/// Reads a body: text, or Envoy's `DataSource`.
fn body(value: &Value<'_>) -> Read<Vec<u8>> {
    if let Kind::String(text) = value.kind() {
        return Ok(text.as_bytes().to_vec());
    }
    let mapping = value.mapping(&BODY_SOURCE)?;
    let Some((form, place)) = mapping.at_most_one(BODY_SOURCE.keys)? else {
        return Err(value.fail("no body is given", "add inline_string, inline_bytes or filename"));
    };
    let bytes = match form {
        "inline_string" => place.string()?.as_bytes().to_vec(),
        "inline_bytes" => base64::read(place)?,
        _ => {
            let path = files::existing(place, "correct the path")?;
            portcullis::input::read_file(&path, LARGEST_BODY).map_err(|error| match error.kind() {
                std::io::ErrorKind::FileTooLarge => too_large(place),
                _ => place.fail(format!("cannot read the file: {error}"), "correct the path"),
            })?
        }
    };
    match bytes.len() as u64 > LARGEST_BODY {
        true => Err(too_large(place)),
        false => Ok(bytes),
    }
}

fn too_large(place: &Value<'_>) -> Reported {
    place.fail("the body has more than 1MiB", "shorten it, or let an upstream serve it")
}

/// Reads headers: a mapping of names to values.
fn headers(value: &Value<'_>) -> Read<Vec<(String, String)>> {
    /// Made by whoever sends the message.
    const OWN: &[&str] = &["content-length", "transfer-encoding", "connection", "keep-alive", "upgrade"];
    let mapping = value.entries()?;
    let headers = mapping.entries().iter().map(|entry| {
        let Ok(name) = entry.key.parse::<http::HeaderName>() else {
            return Err(entry
                .value
                .fail(format!("{:?} is no name of a header", entry.key), "write a name such as x-env"));
        };
        if OWN.contains(&name.as_str()) {
            return Err(entry.value.fail(format!("{name} is set by the gateway"), "remove it"));
        }
        let text = entry.value.string()?;
        match text.parse::<http::HeaderValue>() {
            Ok(_) => Ok((name.as_str().to_owned(), text.to_owned())),
            Err(_) => Err(entry.value.expected("the value of a header", "remove line ends and control characters")),
        }
    });
    let headers: Vec<Read<_>> = headers.collect();
    headers.into_iter().collect()
}

/// Envoy's names of the statuses.
const STATUSES: &[(&str, u16)] = &[
    ("MOVED_PERMANENTLY", 301),
    ("FOUND", 302),
    ("SEE_OTHER", 303),
    ("TEMPORARY_REDIRECT", 307),
    ("PERMANENT_REDIRECT", 308),
];

impl Redirect {
    /// Returns Envoy's name of the status.
    pub(super) fn code(&self) -> &'static str {
        STATUSES.iter().find(|(_, status)| *status == self.status).map_or("MOVED_PERMANENTLY", |(name, _)| name)
    }
}

const REGEX_REWRITE: Refused =
    ("regex_rewrite", "paths are not rewritten by regular expressions", "use prefix_rewrite or path_redirect");

const HTTPS_REDIRECT: Key =
    Key::new("https_redirect", Type::Boolean, "Whether the scheme becomes `https`.").default("false");
const SCHEME_REDIRECT: Key =
    Key::new("scheme_redirect", Type::Words(&["http", "https"]), "In place of `https_redirect`: the scheme.");
const HOST_REDIRECT: Key =
    Key::new("host_redirect", Type::Form("host", r"^[A-Za-z0-9_.:\[\]-]+$"), "The host.").computed("the request's");
const PORT_REDIRECT: Key = Key::new("port_redirect", Type::Integer(1, 65535), "The port.").computed("the request's");
const PATH_REDIRECT: Key = Key::new("path_redirect", URL_PATH, "The path, with a query of its own or the request's.")
    .computed("the request's");
const PREFIX_REWRITE: Key =
    Key::new("prefix_rewrite", URL_PATH, "In place of `path_redirect`: replacement of the matched part of the path.");
const RESPONSE_CODE: Key = Key::new(
    "response_code",
    Type::Words(&["MOVED_PERMANENTLY", "FOUND", "SEE_OTHER", "TEMPORARY_REDIRECT", "PERMANENT_REDIRECT"]),
    "The status: 301, 302, 303, 307 or 308.",
)
.default("MOVED_PERMANENTLY");
const STRIP_QUERY: Key =
    Key::new("strip_query", Type::Boolean, "Whether the query of the request is left out.").default("false");

pub(super) static REDIRECT: Section = Section::new(
    "redirect",
    "listeners[].routes[].redirect",
    "The place that a client is sent to; at least one key that changes something.",
    &[
        HTTPS_REDIRECT,
        SCHEME_REDIRECT,
        HOST_REDIRECT,
        PORT_REDIRECT,
        PATH_REDIRECT,
        PREFIX_REWRITE,
        RESPONSE_CODE,
        STRIP_QUERY,
    ],
);

/// Reads `redirect`.
pub(super) fn redirect(value: &Value<'_>) -> Read<Redirect> {
    let mapping = value.mapping_without(&REDIRECT, &envoy_keys::refused(&[REGEX_REWRITE], &[envoy_keys::REDIRECT]))?;
    let scheme = match mapping.at_most_one(&[HTTPS_REDIRECT, SCHEME_REDIRECT])? {
        Some(("https_redirect", flag)) => flag.boolean().map(|https| https.then(|| "https".to_owned())),
        Some((_, scheme)) => scheme.one_of(&[("http", "http"), ("https", "https")]).map(|name| Some(name.to_owned())),
        None => Ok(None),
    };
    let host = mapping.optional(HOST_REDIRECT, |host| {
        let text = host.name()?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
        match text.chars().all(is_host) {
            true => Ok(text),
            false => Err(host.expected("a host such as example.com", "write the name alone")),
        }
    });
    let port = mapping.optional(PORT_REDIRECT, |port| port.integer(PORT_REDIRECT.range()));
    let path = match mapping.at_most_one(&[PATH_REDIRECT, PREFIX_REWRITE])? {
        Some(("path_redirect", path)) => target(path).map(|path| Some(RedirectPath::Whole(path))),
        Some((_, path)) => target(path).map(|path| Some(RedirectPath::Prefix(path))),
        None => Ok(None),
    };
    let status = mapping.or(RESPONSE_CODE, 301, |code| code.one_of(STATUSES));
    let strip_query = mapping.or(STRIP_QUERY, false, Value::boolean);
    let port = port?.map(|port| u16::try_from(port).unwrap_or(u16::MAX));
    let redirect =
        Redirect { status: status?, scheme: scheme?, host: host?, port, path: path?, strip_query: strip_query? };
    let is_same = redirect.scheme.is_none() && redirect.host.is_none() && port.is_none() && redirect.path.is_none();
    if is_same && !redirect.strip_query {
        let help = "add https_redirect, host_redirect, path_redirect or prefix_rewrite";
        return Err(value.fail("this sends clients where they are, again and again", help));
    }
    Ok(redirect)
}

/// Reads a path that may have a query.
fn target(value: &Value<'_>) -> Read<String> {
    let text = value.string()?;
    match text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(value.expected("a path", "start it with \"/\", and encode what a URL cannot hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::Forward;

    #[test]
    fn weights_divide_all_numbers() {
        let clusters = vec![("a".to_owned(), 1), ("none".to_owned(), 0), ("b".to_owned(), 3)];
        let forward = Forward { clusters, total: 4 };
        let chosen: Vec<&str> = (0..8).map(|random| forward.choose(|| random)).collect();
        assert_eq!(chosen, ["a", "b", "b", "b", "a", "b", "b", "b"]);
        assert_eq!(forward.choose(|| u64::MAX), "b");
    }

    #[test]
    fn one_cluster_is_chosen_without_a_random_number() {
        let forward = Forward { clusters: vec![("a".to_owned(), 0)], total: 1 };
        assert_eq!(forward.choose(|| panic!("asked")), "a");
    }
}
