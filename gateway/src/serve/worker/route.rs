//! Choosing a route.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use http::Uri;
use portcullis::Chain;
use portcullis::chain::local_response;
use portcullis::model::{Headers, LocalResponse, StreamInfo, response_flag};

use crate::config::{PathMatch, Redirect, RedirectPath, Route, RouteAction, joined};
use crate::serve::worker::listener::ListenerState;

impl ListenerState {
    /// Returns the first route that takes a request.
    pub(super) fn route(&self, headers: &Headers) -> Option<(&Route, &Chain)> {
        let host = headers.get(b":authority").unwrap_or_default();
        let path = headers.get(b":path").unwrap_or_default();
        let found =
            self.routes.iter().find(|(route, _)| route.matcher.matches(host, path, |name| joined(headers, name)));
        found.map(|(route, chain)| (route, chain.as_ref().unwrap_or(&self.chain)))
    }
}

/// Replaces the part of a target's path that the route matched, if the route rewrites it.
///
/// # Errors
/// The target would be longer than a target can be; the received one must not be sent in its place.
pub(super) fn rewrite(route: &Route, target: &mut Uri) -> Result<(), LocalResponse> {
    let Some(replacement) = route.prefix_rewrite.as_deref() else { return Ok(()) };
    let rest = target.path_and_query().and_then(|path| unmatched(route, path.as_str()));
    let rewritten = rest.and_then(|rest| format!("{replacement}{rest}").parse().ok()).and_then(|path| {
        let mut parts = target.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()
    });
    *target = rewritten.ok_or_else(|| local_response(414, "rewritten_path_too_long", ""))?;
    Ok(())
}

/// Returns the response to a request that goes to no upstream: its route has plugins that it has not `passed`, or answers
/// itself. The former is checked first, because an answer comes after the plugins, as an upstream does.
pub(super) fn unforwarded(
    (route, chain): (&Route, &Chain),
    passed: &Chain,
    info: &mut StreamInfo,
) -> Option<LocalResponse> {
    if !route.reachable_by_rewrite && chain != passed {
        return Some(refuse_rewritten(route, info));
    }
    let answer = own_answer(route, info.request_headers.as_ref()?)?;
    (info.route_name, info.route_metadata) = (Some(route.name.clone()), Some(Arc::clone(&route.metadata)));
    (info.cluster_name, info.cluster_metadata) = (None, None);
    Some(answer)
}

/// Answers a request that plugins have made match a route whose plugins it has not passed; logs both routes.
fn refuse_rewritten(route: &Route, info: &mut StreamInfo) -> LocalResponse {
    info.response_flags |= response_flag::UNAUTHORIZED;
    tracing::warn!(
        stream = info.id,
        from = info.route_name.as_deref().unwrap_or("none"),
        to = route.name,
        "request refused: plugins made it match a route whose plugins it has not passed; give both routes the same plugins, or \
         write `reachable_by_rewrite: true` in the route that it matches"
    );
    local_response(403, "route_not_reachable_by_rewrite", "")
}

/// Returns the rest of a path behind the part that the route matched.
fn unmatched<'t>(route: &Route, path: &'t str) -> Option<&'t str> {
    match &route.matcher.path {
        PathMatch::Prefix(matched) | PathMatch::Exact(matched) | PathMatch::Separated(matched) => {
            path.strip_prefix(matched.as_str())
        }
        // A regular expression matches all of it.
        PathMatch::Regex(_) => Some(split_query(path).1),
    }
}

/// Splits a target into its path and its query, with the question mark.
fn split_query(target: &str) -> (&str, &str) {
    target.split_at(target.find('?').unwrap_or(target.len()))
}

/// A random number that stays the same for one request, so that each look-up of its cluster has the same result.
#[derive(Debug, Default)]
pub(super) struct Lot(Cell<Option<u64>>);

impl Lot {
    pub(super) fn draw(&self) -> u64 {
        self.0.get().unwrap_or_else(|| {
            // Each state has keys of its own, seeded by the system.
            let number = RandomState::new().build_hasher().finish();
            self.0.set(Some(number));
            number
        })
    }
}

/// Returns the response of a route that answers itself.
fn own_answer(route: &Route, request: &Headers) -> Option<LocalResponse> {
    match &route.action {
        RouteAction::Forward(_) => None,
        // A success would be the promise of a tunnel.
        _ if request.get(b":method") == Some(b"CONNECT") => {
            Some(local_response(405, "connect_not_supported", "CONNECT is not supported"))
        }
        RouteAction::Respond(response) => {
            let mut headers = Headers::default();
            for (name, value) in &response.headers {
                headers.add(name.as_bytes(), value.as_bytes());
            }
            let body = response.body.clone();
            let answer = local_response(response.status, "direct_response", "");
            Some(answer.with_headers(headers).with_body(body))
        }
        RouteAction::Redirect(redirect) => {
            let mut headers = Headers::default();
            headers.add(b"location", location(route, redirect, request).as_bytes());
            Some(local_response(redirect.status, "direct_response", "").with_headers(headers))
        }
    }
}

/// Returns where a client is sent. Like Envoy, leaves out a port that was the default of the scheme before.
fn location(route: &Route, redirect: &Redirect, request: &Headers) -> String {
    let before = request.get_str(":scheme").unwrap_or("http");
    let scheme = redirect.scheme.as_deref().unwrap_or(before);
    let authority = request.get_str(":authority").unwrap_or_default();
    let colon = authority.rfind(':').filter(|colon| authority.rfind(']').is_none_or(|end| end < *colon));
    let (name, port) = authority.split_at(colon.unwrap_or(authority.len()));
    let is_default = scheme != before && matches!((before, port), ("http", ":80") | ("https", ":443"));
    let kept = if is_default || redirect.port.is_some() { name } else { authority };
    let host = redirect.host.as_deref().unwrap_or(kept);
    let port = redirect.port.map(|port| format!(":{port}")).unwrap_or_default();
    let target = request.get_str(":path").unwrap_or("/");
    let query = |own: &str| match redirect.strip_query || own.contains('?') {
        true => "",
        false => split_query(target).1,
    };
    let path = match &redirect.path {
        Some(RedirectPath::Whole(path)) => format!("{path}{}", query(path)),
        Some(RedirectPath::Prefix(prefix)) => {
            let rest = unmatched(route, split_query(target).0).unwrap_or_default();
            format!("{prefix}{rest}{}", query(prefix))
        }
        None => format!("{}{}", split_query(target).0, query("")),
    };
    if host.is_empty() {
        // Of a client that named no host, only the path is known. Two slashes at its start would name a host.
        return format!("/{}", path.trim_start_matches(['/', '\\']));
    }
    format!("{scheme}://{host}{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_request_draws_once() {
        let (one, other) = (Lot::default(), Lot::default());
        assert_eq!(one.draw(), one.draw());
        assert_ne!(one.draw(), other.draw());
    }

    #[test]
    fn the_matched_prefix_is_replaced_and_the_query_kept() {
        let text = "listeners:\n- address: 127.0.0.1:1\n  routes:\n  - match: { prefix: /api/ }\n    prefix_rewrite: /\n    cluster: e\nclusters:\n- name: e\n  echo: {}\n";
        let config = Config::parse("t.yaml", text);
        let config = config.map_err(|error| error.to_string());
        let route = config.as_ref().ok().and_then(|config| config.listeners.first()?.routes.first());
        let rewritten = |target: &str| {
            let (route, mut target) = (route?, target.parse().ok()?);
            Some(rewrite(route, &mut target).map(|()| target.to_string()).map_err(|answer| answer.status))
        };
        assert_eq!(rewritten("http://h/api/a?b"), Some(Ok("http://h/a?b".to_owned())), "{config:?}");
    }
}
