//! Keys of routes.

use super::{Group, REMOVE};

/// Envoy's `Route`.
pub(in crate::config) const ROUTE: &[Group] = &[
    (&["tracing"], "requests are not traced", REMOVE),
    (
        &["per_request_buffer_limit_bytes", "request_body_buffer_limit"],
        "what plugins hold is limited by the listener",
        "write `buffer_limit: 1MiB` there",
    ),
    (&["stat_prefix"], "metrics are labelled with the listener's name", REMOVE),
    (&["route_specifiers"], "a route says by itself where requests go", "write `cluster: NAME`"),
    (&["domains", "routes"], "this is a virtual host", "write its routes here, and each host as `match: {host: HOST}`"),
];

/// Envoy's `RouteAction`.
pub(in crate::config) const FORWARD: &[Group] = &[
    (
        &["cluster_specifier_plugin", "inline_cluster_specifier_plugin"],
        "clusters are not chosen by plugins of Envoy",
        "use weighted_clusters, or let a plugin set a header for the routes",
    ),
    (&["cluster_not_found_response_code"], "a cluster that is not there is an error of the configuration", REMOVE),
    (&["metadata_match"], "a cluster has no subsets", "write a cluster for each subset"),
    (
        &["path_rewrite", "path_rewrite_policy"],
        "paths are not rewritten by templates",
        "use prefix_rewrite, or let a plugin set :path",
    ),
    (
        &["host_rewrite", "host_rewrite_path_regex", "append_x_forwarded_host"],
        "the host goes to the upstream as it came",
        "let a plugin set :authority",
    ),
    (&["flush_timeout", "max_grpc_timeout", "grpc_timeout_offset"], "routes have one limit", "use timeout"),
    (&["early_data_policy", "priority"], "requests have no priority", REMOVE),
    (&["retry_policy_typed_config", "hedge_policy"], "requests are not sent again", REMOVE),
    (&["include_vh_rate_limits"], "there is no rate limit service", "let a plugin do it"),
    (
        &["internal_redirect_policy", "internal_redirect_action", "max_internal_redirects"],
        "redirects of upstreams go to the client",
        REMOVE,
    ),
];

/// Envoy's `WeightedCluster` and the clusters in it.
pub(in crate::config) const WEIGHTED: &[Group] = &[
    (&["runtime_key_prefix"], "there is no runtime to change weights", REMOVE),
    (&["header_name", "use_hash_policy"], "the cluster is drawn at random", REMOVE),
    (
        &["cluster_header"],
        "the cluster is not taken from a header",
        "write a route for each value, with a match on the header",
    ),
    (&["metadata_match"], "a cluster has no subsets", "write a cluster for each subset"),
    (
        &[
            "request_headers_to_add",
            "request_headers_to_remove",
            "response_headers_to_add",
            "response_headers_to_remove",
            "host_rewrite_literal",
        ],
        "clusters change no headers",
        "let a plugin do it",
    ),
];

/// Envoy's `RouteMatch`.
pub(in crate::config) const MATCH: &[Group] = &[
    (
        &["cookies"],
        "routes do not look at single cookies",
        "use headers with `{name: cookie, string_match: {contains: NAME=VALUE}}`",
    ),
    (&["filter_state"], "routes do not look at filter state", "let a plugin set a header for the routes"),
];

/// Envoy's `RedirectAction`.
pub(in crate::config) const REDIRECT: &[Group] =
    &[(&["path_rewrite"], "paths are not rewritten by templates", "use path_redirect or prefix_rewrite")];
