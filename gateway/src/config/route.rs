//! Routes: which request goes to which cluster.

use std::time::Duration;

use super::cluster::ClusterNames;
use super::document::Read;
use super::duration;
use super::filter_entry::Traffic;
use super::library::Library;
use super::mapping::Refused;
use super::plugin::Plugin;
use super::route_match::{self, RouteMatch};
use super::value::Value;

/// One route of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The name for logs and metrics.
    pub name: String,
    /// Which requests it takes.
    pub matcher: RouteMatch,
    /// The cluster that they go to; there is one of this name.
    pub cluster: String,
    /// How long a whole request to the upstream may take: zero for no limit, None for the cluster's own limit.
    pub timeout: Option<Duration>,
    /// What the matched part of the path is replaced with.
    pub prefix_rewrite: Option<String>,
    /// The plugins for these requests, in place of the listener's; None for the listener's.
    pub plugins: Option<Vec<Plugin>>,
    /// Whether requests reach it that came to a route with other plugins, and match it only as those changed them.
    pub reachable_by_rewrite: bool,
}

/// What the rest of the file offers to listeners and routes.
pub(super) struct Scope {
    pub(super) library: Library,
    pub(super) clusters: ClusterNames,
}

/// Reads the `routes` of a listener.
pub(super) fn read_all(value: &Value<'_>, scope: &Scope) -> Read<Vec<Route>> {
    let mut catch_all: Option<String> = None;
    value.list(|index, value| {
        let route = read(index, value, scope)?;
        if let Some(name) = &catch_all {
            let message = format!("this route is never reached: route {name:?} before it takes every request");
            value.notice(message, "move it up, or remove it");
        } else if route.matcher.is_catch_all() {
            catch_all = Some(route.name.clone());
        }
        Ok(route)
    })
}

const KEYS: &[&str] = &["name", "match", "cluster", "timeout", "prefix_rewrite", "plugins", "reachable_by_rewrite"];

const ENVOY_ROUTE: Refused =
    ("route", "this is Envoy's form of a route", "write cluster, timeout and prefix_rewrite beside match");

fn read(index: usize, value: &Value<'_>, scope: &Scope) -> Read<Route> {
    let mapping = value.mapping_without(KEYS, &[ENVOY_ROUTE])?;
    let name = mapping.or("name", format!("route_{index}"), Value::name);
    let matcher = mapping.or("match", RouteMatch::default(), route_match::read);
    let cluster =
        mapping.required("cluster", "add the name of one of the clusters", |name| scope.clusters.reference(name));
    let timeout = mapping.optional("timeout", duration::read);
    let prefix_rewrite = mapping.optional("prefix_rewrite", route_match::absolute);
    let plugins = mapping.optional("plugins", |chain| scope.library.chain(chain, Traffic::Http));
    let reachable_by_rewrite = mapping.or("reachable_by_rewrite", false, Value::boolean);
    Ok(Route {
        name: name?,
        matcher: matcher?,
        cluster: cluster?,
        timeout: timeout?,
        prefix_rewrite: prefix_rewrite?,
        plugins: plugins?,
        reachable_by_rewrite: reachable_by_rewrite?,
    })
}
