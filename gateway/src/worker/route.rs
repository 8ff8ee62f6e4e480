//! Choosing a route.

use std::borrow::Cow;

use http::Uri;
use portcullis::core::{Headers, LocalResponse, SharedStreamInfo, lock, response_flag};
use portcullis::{Chain, local_response};

use crate::config::{PathMatch, Route};
use crate::worker::ListenerState;

impl ListenerState {
    /// The first route that takes a request.
    pub(super) fn route(&self, headers: &Headers) -> Option<(&Route, &Chain)> {
        let host = headers.get(b":authority").unwrap_or_default();
        let path = headers.get(b":path").unwrap_or_default();
        let found =
            self.routes.iter().find(|(route, _)| route.matcher.matches(host, path, |name| joined(headers, name)));
        found.map(|(route, chain)| (route, chain.as_ref().unwrap_or(&self.chain)))
    }
}

/// All values of a name, with commas between, as Envoy matches them.
fn joined<'h>(headers: &'h Headers, name: &str) -> Option<Cow<'h, [u8]>> {
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

/// The target with the part of its path that the route matched replaced, if the route says so.
pub(super) fn rewrite(route: &Route, target: &Uri) -> Option<Uri> {
    let replacement = route.prefix_rewrite.as_deref()?;
    let matched = match &route.matcher.path {
        PathMatch::Prefix(matched) | PathMatch::Exact(matched) => matched,
    };
    let rest = target.path_and_query()?.as_str().strip_prefix(matched.as_str())?;
    let mut parts = target.clone().into_parts();
    parts.path_and_query = Some(format!("{replacement}{rest}").parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Answers a request that plugins have made match a route whose plugins it has not passed; logs both routes.
pub(super) fn refuse_rewritten(info: &SharedStreamInfo, route: &Route) -> LocalResponse {
    let mut info = lock(info);
    info.response_flags |= response_flag::UNAUTHORIZED;
    tracing::warn!(
        from = info.route_name.as_deref().unwrap_or("none"),
        to = route.name,
        "request refused: plugins made it match a route whose plugins it has not passed; give both routes the same plugins, or \
         write `reachable_by_rewrite: true` in the route that it matches"
    );
    local_response(403, "route_not_reachable_by_rewrite", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_matched_prefix_is_replaced_and_the_query_kept() {
        let text = "listeners:\n- address: 127.0.0.1:1\n  routes:\n  - match: { prefix: /api/ }\n    prefix_rewrite: /\n    cluster: e\nclusters:\n- name: e\n  echo: {}\n";
        let config = Config::parse("t.yaml", text);
        let config = config.map_err(|error| error.to_string());
        let route = config.as_ref().ok().and_then(|config| config.listeners.first()?.routes.first());
        let rewritten =
            |target: &str| route.and_then(|route| rewrite(route, &target.parse().ok()?)).map(|uri| uri.to_string());
        assert_eq!(rewritten("http://h/api/a?b"), Some("http://h/a?b".to_owned()), "{config:?}");
        assert_eq!(rewritten("http://h/other"), None);
    }
}
