//! Routes, which send requests to clusters.

use std::sync::Arc;
use std::time::Duration;

use portcullis::model::ResourceMetadata;
use portcullis_config::Plugin;
use portcullis_config::blocks::filter_entry::Traffic;
use portcullis_config::blocks::library::{self, Library};
use portcullis_config::reader::{Key, Mapping, Read, Refused, Section, Type, Value, duration};

use super::cluster::ClusterNames;
use super::envoy_keys;
use super::host_match::HostMatch;
use super::metadata;
use super::route_action::{self, RouteAction};
use super::route_match::{self, RouteMatch};

/// One route of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name for logs and metrics.
    pub name: String,
    /// Which requests it takes.
    pub matcher: RouteMatch,
    /// The action of the route.
    pub action: RouteAction,
    /// How long the upstream may take for its whole response once the request has been sent whole: zero for no limit, None
    /// for the cluster's own limit.
    pub timeout: Option<Duration>,
    /// Replacement of the matched part of the path.
    pub prefix_rewrite: Option<String>,
    /// The plugins for these requests, in place of the listener's; None for the listener's.
    pub plugins: Option<Vec<Plugin>>,
    /// Whether it takes requests that first matched a route with other plugins, and match this one only after those changed them.
    pub reachable_by_rewrite: bool,
    /// The metadata that plugins read as `xds.route_metadata`.
    pub metadata: Arc<ResourceMetadata>,
}

impl Route {
    /// Chooses the cluster of a request; None if the route answers itself. Asks for a random number only where there is a
    /// choice.
    pub fn cluster(&self, random: impl FnOnce() -> u64) -> Option<&str> {
        match &self.action {
            RouteAction::Forward(forward) => Some(forward.choose(random)),
            RouteAction::Respond(_) | RouteAction::Redirect(_) => None,
        }
    }
}

/// Plugins and clusters that listeners and routes may name.
pub(super) struct Scope {
    pub(super) library: Library,
    pub(super) clusters: ClusterNames,
}

/// In which order the routes of a listener are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteOrder {
    /// By their hosts, as Envoy looks for a virtual host; those with the same host in the order of the file.
    #[default]
    Host,
    /// In the order of the file.
    File,
}

impl RouteOrder {
    /// The names in the configuration.
    pub(super) const NAMES: &[(&str, Self)] = &[("host", Self::Host), ("file", Self::File)];
}

/// Reads the `routes` of a listener, and brings them into the order in which they are tried. None is an order that the
/// configuration does not say.
pub(super) fn read_all(value: &Value<'_>, scope: &Scope, order: Option<RouteOrder>) -> Read<Vec<Route>> {
    let mut routes = value.list(|index, value| Ok((value.clone(), read(index, value, scope)?)))?;
    if order.is_none() {
        notice_new_order(&routes);
    }
    if order.unwrap_or_default() == RouteOrder::Host {
        routes.sort_by_key(|(_, route)| HostMatch::rank(route.matcher.host.as_ref()));
    }
    for (index, (value, route)) in routes.iter().enumerate() {
        let mut before = routes.iter().take(index).map(|(_, before)| before);
        let Some(first) = before.find(|before| before.matcher.covers(&route.matcher)) else { continue };
        let what = if first.matcher.is_catch_all() { "every request" } else { "all that it could take" };
        let message = format!("this route is never reached: route {:?} before it takes {what}", first.name);
        value.notice(message, "move it up, or remove it");
    }
    Ok(routes.into_iter().map(|(_, route)| route).collect())
}

/// Notices each route, in the order of the file, that no request reached when the order of the file decided, and that is tried
/// before the one that hid it now.
fn notice_new_order(routes: &[(Value<'_>, Route)]) {
    let rank = |route: &Route| HostMatch::rank(route.matcher.host.as_ref());
    for (index, (value, route)) in routes.iter().enumerate() {
        let mut above = routes.iter().take(index).map(|(_, above)| above);
        let hid = |above: &&Route| rank(above) > rank(route) && above.matcher.covers(&route.matcher);
        let Some(above) = above.find(hid) else { continue };
        let message = format!(
            "this route is tried before route {:?} above it, since its host is more exact; earlier versions tried routes in \
             the order of the file and never reached it",
            above.name
        );
        value.notice(message, "write `route_order: host` in the listener if that is meant, or `route_order: file`");
    }
}

const NAME: Key = Key::new("name", Type::Name, "The name for logs and metrics.").computed("`route_INDEX`");
const MATCH: Key =
    Key::new("match", Type::Section(&route_match::MATCH), "The requests that the route takes.").computed("all");
const DIRECT_RESPONSE: Key = Key::new(
    "direct_response",
    Type::Section(&route_action::RESPONSE),
    "In place of `cluster`: the route answers requests itself.",
);
const REDIRECT: Key = Key::new(
    "redirect",
    Type::Section(&route_action::REDIRECT),
    "In place of `cluster`: the route sends clients elsewhere.",
);
const ROUTE: Key = Key::new(
    "route",
    Type::Section(&FORWARD),
    "In place of `cluster`: the same keys in a mapping of their own, as in Envoy.",
);
const TIMEOUT: Key = Key::new(
    "timeout",
    Type::Duration,
    "The longest that the upstream may take for its whole response once the request has been sent; `0s` is no limit.",
)
.computed("`request_timeout` of the cluster");
const PREFIX_REWRITE: Key =
    Key::new("prefix_rewrite", route_match::URL_PATH, "Replacement of the matched part of the path.")
        .computed("the path goes on as it is");
const PLUGINS: Key =
    Key::new("plugins", Type::List(&library::CHAINED), "The plugins for these requests, in place of the listener's.")
        .computed("the listener's");
const REACHABLE: Key = Key::new(
    "reachable_by_rewrite",
    Type::Boolean,
    "Whether requests reach it that came to a route with other plugins, and match it only as those changed them.",
)
.default("false");
const METADATA: Key =
    Key::new("metadata", Type::Section(&metadata::METADATA), "Metadata that plugins read as `xds.route_metadata`.");

pub(super) static ROUTES: Section = Section::new(
    "route",
    "listeners[].routes[]",
    "A route; one of `cluster`, `weighted_clusters`, `route`, `direct_response` and `redirect`.",
    &[
        NAME,
        MATCH,
        route_action::CLUSTER,
        route_action::WEIGHTED_CLUSTERS,
        DIRECT_RESPONSE,
        REDIRECT,
        ROUTE,
        TIMEOUT,
        PREFIX_REWRITE,
        PLUGINS,
        REACHABLE,
        METADATA,
    ],
);

// Keys that can stand under Envoy's `route` as well as beside `match`.
static FORWARD: Section = Section::new(
    "forward",
    "listeners[].routes[].route",
    "The upstream of a route, as in Envoy.",
    &[route_action::CLUSTER, route_action::WEIGHTED_CLUSTERS, TIMEOUT, PREFIX_REWRITE],
);

/// Keys of Envoy's routes that have no meaning here.
const REFUSED: &[Refused] = &[
    ("typed_per_filter_config", "plugins are not configured per route", "give the route plugins of its own"),
    ("request_headers_to_add", "routes change no headers", "let a plugin do it"),
    ("request_headers_to_remove", "routes change no headers", "let a plugin do it"),
    (
        "response_headers_to_add",
        "routes change no headers",
        "let a plugin do it, or write headers into direct_response",
    ),
    ("response_headers_to_remove", "routes change no headers", "let a plugin do it"),
    ("decorator", "requests are not traced", "remove the key"),
    ("filter_action", "no filter but Wasm plugins answers", "use direct_response or a plugin"),
    ("non_forwarding_action", "this is for clients of gRPC alone", "use direct_response"),
];

/// Keys of Envoy's `route` that have no meaning here.
const FORWARD_REFUSED: &[Refused] = &[
    (
        "cluster_header",
        "the cluster is not taken from a header",
        "write a route for each value, with a match on the header",
    ),
    ("host_rewrite_literal", "the host goes to the upstream as it came", "let a plugin set :authority"),
    ("auto_host_rewrite", "the host goes to the upstream as it came", "let a plugin set :authority"),
    ("host_rewrite_header", "the host goes to the upstream as it came", "let a plugin set :authority"),
    (
        "regex_rewrite",
        "paths are not rewritten by regular expressions",
        "use prefix_rewrite, or let a plugin set :path",
    ),
    ("retry_policy", "requests are not sent again", "remove the key"),
    ("idle_timeout", "routes limit what the upstream takes alone", "set stream_idle_timeout in the listener"),
    ("max_stream_duration", "routes limit what the upstream takes alone", "set it in the listener"),
    ("hash_policy", "endpoints are used in turn", "remove the key"),
    ("request_mirror_policies", "requests are not mirrored", "remove the key"),
    ("rate_limits", "there is no rate limit service", "let a plugin do it"),
    ("cors", "CORS is not answered", "let a plugin do it"),
    ("upgrade_configs", "connections are not upgraded", "remove the key"),
];

fn read(index: usize, value: &Value<'_>, scope: &Scope) -> Read<Route> {
    let refused = envoy_keys::refused(REFUSED, &[envoy_keys::ROUTE]);
    let forward_refused = envoy_keys::refused(FORWARD_REFUSED, &[envoy_keys::FORWARD]);
    let mapping = value.mapping_without(&ROUTES, &[refused, forward_refused.clone()].concat())?;
    let name = mapping.or(NAME, format!("route_{index}"), Value::name);
    let matcher = mapping.or(MATCH, RouteMatch::default(), route_match::read);
    let inner = mapping.optional(ROUTE, |route| route.mapping_without(&FORWARD, &forward_refused))?;
    let action = action(&mapping, inner.as_ref(), scope);
    let forward = inner.as_ref().unwrap_or(&mapping);
    let timeout = forward.optional(TIMEOUT, duration::read);
    let prefix_rewrite = forward.optional(PREFIX_REWRITE, route_match::replacement);
    let plugins = mapping.optional(PLUGINS, |chain| scope.library.chain(chain, Traffic::Http));
    let reachable_by_rewrite = mapping.or(REACHABLE, false, Value::boolean);
    let metadata = mapping.or(METADATA, Arc::default(), metadata::read);
    Ok(Route {
        name: name?,
        matcher: matcher?,
        action: action?,
        timeout: timeout?,
        prefix_rewrite: prefix_rewrite?,
        plugins: plugins?,
        reachable_by_rewrite: reachable_by_rewrite?,
        metadata: metadata?,
    })
}

/// Reads the action of a route. `inner` is the value of `route`, if there is one.
fn action(mapping: &Mapping<'_>, inner: Option<&Mapping<'_>>, scope: &Scope) -> Read<RouteAction> {
    let found = mapping.at_most_one(&[
        ROUTE,
        route_action::CLUSTER,
        route_action::WEIGHTED_CLUSTERS,
        DIRECT_RESPONSE,
        REDIRECT,
    ])?;
    let has_action = matches!(found, Some(("route" | "direct_response" | "redirect", _)));
    for key in [TIMEOUT, PREFIX_REWRITE] {
        if let Some(place) = mapping.get(key).filter(|_| has_action) {
            let help = if inner.is_some() { "move it there" } else { "remove it" };
            let whose =
                if inner.is_some() { "belongs under route" } else { "has no effect on a route that answers itself" };
            return Err(place.fail(format!("{} {whose}", key.name), help));
        }
    }
    match found {
        Some(("direct_response", value)) => route_action::direct_response(value).map(RouteAction::Respond),
        Some(("redirect", value)) => route_action::redirect(value).map(RouteAction::Redirect),
        _ => route_action::forward(inner.unwrap_or(mapping), &scope.clusters).map(RouteAction::Forward),
    }
}
