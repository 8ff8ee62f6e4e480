//! Notices for configurations that an earlier version understood otherwise, where they do not say which they mean.

use std::time::Duration;

use portcullis_config::reader::{Value, duration};

use super::cluster::{Cluster, ClusterKind};
use super::listener::Listener;
use super::route::Route;
use super::route_action::RouteAction;
use super::timeouts::STREAM_IDLE;

/// The key that decides.
const KEY: &str = STREAM_IDLE.name;

/// Notices each listener with a route whose upstream may take longer than a stream may be idle.
pub(super) fn stream_idle(listeners: &Value<'_>, read: &[Listener], clusters: &[Cluster]) {
    let _ = listeners.list(|index, value| {
        let Some(listener) = read.get(index) else { return Ok(()) };
        let says = value.member(KEY).is_some();
        let limit = listener.timeouts.stream_idle;
        let longer = |allowed: Duration| allowed.is_zero() || allowed > limit;
        let mut routes = listener.routes.iter().filter_map(|route| Some((route, longest(route, clusters)?)));
        let Some((route, allowed)) = routes.find(|(_, allowed)| !says && longer(*allowed)) else {
            return Ok(());
        };
        let allowed = if allowed.is_zero() { "any time".to_owned() } else { duration::format(allowed) };
        let limit = duration::format(limit);
        let message = format!(
            "route {:?} gives its upstream {allowed}, but a stream on which nothing moves for {limit} ends now",
            route.name
        );
        let help = format!("write `{KEY}: {limit}` if that is meant, or `{KEY}: 0s` for no such limit");
        value.notice(message, help);
        Ok(())
    });
}

/// Returns the time that a route gives to its upstreams, at most; zero for no limit. None if it has none.
fn longest(route: &Route, clusters: &[Cluster]) -> Option<Duration> {
    let RouteAction::Forward(forward) = &route.action else { return None };
    if let Some(timeout) = route.timeout {
        return Some(timeout);
    }
    let of_cluster = |name: &str| {
        let cluster = clusters.iter().find(|cluster| cluster.name == name)?;
        let ClusterKind::Endpoints(servers) = &cluster.kind else { return None };
        Some(servers.request_timeout)
    };
    let limits: Vec<_> = forward.clusters().iter().filter_map(|(name, _)| of_cluster(name)).collect();
    limits.iter().find(|limit| limit.is_zero()).or_else(|| limits.iter().max()).copied()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::config::Config;

    fn notices(listener: &str, routes: &str, cluster: &str) -> Vec<String> {
        let text = format!(
            "listeners: [{{address: '127.0.0.1:0', {listener} routes: [{routes}]}}]\n\
             clusters: [{{name: a, endpoints: ['127.0.0.1:1'], {cluster}}}]\n"
        );
        Config::parse("f", &text).unwrap().notices.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_route_that_was_hidden_by_the_order_of_the_file_is_noticed_until_the_order_is_said() {
        let hidden = "{name: all, cluster: a}, {name: exact, match: {host: a.test, prefix: /}, cluster: a}";
        let found = notices("", hidden, "");
        assert!(
            found.len() == 1 && found[0].contains("routes[1]: this route is tried before route \"all\""),
            "{found:?}"
        );
        assert_eq!(notices("route_order: host,", hidden, ""), [""; 0]);
        let found = notices("route_order: file,", hidden, "");
        assert!(found.len() == 1 && found[0].contains("never reached"), "{found:?}");
        // None hides the other.
        let both = "{match: {host: a.test, prefix: /x}, cluster: a}, {match: {prefix: /y}, cluster: a}";
        assert_eq!(notices("", both, ""), [""; 0]);
        let sorted = "{match: {host: a.test, prefix: /}, cluster: a}, {match: {prefix: /}, cluster: a}";
        assert_eq!(notices("", sorted, ""), [""; 0]);
    }

    #[test]
    fn an_upstream_that_may_be_silent_for_longer_is_noticed_until_the_limit_is_said() {
        let route = "{name: r, cluster: a}";
        for (listener, routes, cluster, noticed) in [
            ("", route, "request_timeout: 15s", false),
            ("", route, "request_timeout: 5m", false),
            ("", route, "request_timeout: 301s", true),
            ("", route, "request_timeout: 0s", true),
            ("", "{name: r, cluster: a, timeout: 15s}", "request_timeout: 0s", false),
            ("", "{name: r, cluster: a, timeout: 1h}", "", true),
            ("stream_idle_timeout: 5m,", route, "request_timeout: 0s", false),
            ("stream_idle_timeout: 0s,", route, "request_timeout: 0s", false),
            ("", "{name: r, direct_response: {status: 200}}", "request_timeout: 0s", false),
        ] {
            let found = notices(listener, routes, cluster);
            assert_eq!(
                found.iter().any(|notice| notice.contains("a stream on which nothing moves")),
                noticed,
                "{found:?}"
            );
        }
    }
}
