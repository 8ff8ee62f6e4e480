//! Keys of clusters.

use super::{Group, REMOVE};

/// Envoy's `Cluster`.
pub(in crate::config) const CLUSTER: &[Group] = &[
    (
        &["type", "cluster_type", "hosts"],
        "a cluster is the list of its endpoints, whose names are looked up whenever a connection is opened",
        "remove the key",
    ),
    (
        &["eds_cluster_config", "lrs_server", "lrs_report_endpoint_metrics"],
        "nothing is fetched from a management server",
        "list the servers as `endpoints: [127.0.0.1:9000]`",
    ),
    (
        &["transport_socket", "transport_socket_matches", "transport_socket_matcher", "tls_context"],
        "TLS is one block of the cluster",
        "write `tls: {}`, with `server_name`, `roots`, `certificate` and `private_key` as far as they are needed",
    ),
    (
        &[
            "typed_extension_protocol_options",
            "http2_protocol_options",
            "http_protocol_options",
            "common_http_protocol_options",
            "upstream_http_protocol_options",
            "protocol_selection",
        ],
        "the protocol is one word",
        "write `protocol: http1`, `protocol: http2` or, with tls, `protocol: auto`",
    ),
    (
        &[
            "lb_policy",
            "load_balancing_policy",
            "lb_subset_config",
            "ring_hash_lb_config",
            "maglev_lb_config",
            "least_request_lb_config",
            "round_robin_lb_config",
            "original_dst_lb_config",
            "common_lb_config",
        ],
        "endpoints are used in turn",
        REMOVE,
    ),
    (
        &[
            "health_checks",
            "outlier_detection",
            "ignore_health_on_host_removal",
            "close_connections_on_host_health_failure",
            "wait_for_warm_on_init",
            "cleanup_interval",
        ],
        "endpoints are not checked: one that cannot be connected to is passed over",
        REMOVE,
    ),
    (
        &[
            "circuit_breakers",
            "max_requests_per_connection",
            "per_connection_buffer_limit_bytes",
            "per_connection_buffer_high_watermark_timeout",
            "preconnect_policy",
            "queuing_policies",
            "connection_pool_per_downstream_connection",
        ],
        "connections of a cluster have no limit but max_idle",
        "remove the key, or write `max_idle: 128`",
    ),
    (
        &[
            "dns_refresh_rate",
            "dns_jitter",
            "dns_failure_refresh_rate",
            "respect_dns_ttl",
            "dns_lookup_family",
            "dns_resolvers",
            "use_tcp_for_dns_lookups",
            "dns_resolution_config",
            "typed_dns_resolver_config",
        ],
        "names are looked up by the operating system",
        REMOVE,
    ),
    (
        &["upstream_bind_config", "upstream_connection_options", "upstream_config", "filters"],
        "upstreams are connected to without options and filters",
        REMOVE,
    ),
    (
        &["alt_stat_name", "stats_matcher", "track_timeout_budgets", "track_cluster_stats"],
        "metrics are labelled with the cluster's name",
        REMOVE,
    ),
];

/// Envoy's `LbEndpoint`, `Endpoint` and `LocalityLbEndpoints`.
pub(in crate::config) const ENDPOINT: &[Group] = &[
    (
        &["endpoint_name", "hostname", "observability_name", "health_check_config"],
        "endpoints have no names, and are not checked",
        REMOVE,
    ),
    (&["additional_addresses"], "an endpoint has one address", "write one for each"),
    (
        &[
            "lb_endpoints",
            "load_balancer_endpoints",
            "locality",
            "priority",
            "proximity",
            "leds_cluster_locality_config",
        ],
        "endpoints are one list, without localities",
        "write the endpoints themselves",
    ),
];
