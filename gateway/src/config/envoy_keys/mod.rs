//! Keys of Envoy's blocks that have no meaning in ours: each is refused with the reason, and none is only unknown.

use portcullis_config::reader::Refused;

mod cluster;
mod listener;
mod route;

pub(super) use cluster::{CLUSTER, ENDPOINT};
pub(super) use listener::{LISTENER, TCP_PROXY};
pub(super) use route::{FORWARD, MATCH, REDIRECT, ROUTE, WEIGHTED};

/// Keys that are refused for one reason, with one remedy.
type Group = (&'static [&'static str], &'static str, &'static str);

/// Refuses the keys of `own`, each with its own reason, and those of the `groups`.
pub(in crate::config) fn refused(own: &[Refused], groups: &[&[Group]]) -> Vec<Refused> {
    let known = |key: &&str| own.iter().any(|(own, ..)| own == key);
    let others = groups.iter().copied().flatten().flat_map(|(keys, why, remedy)| {
        keys.iter().filter(move |key| !known(key)).map(move |key| (*key, *why, *remedy))
    });
    own.iter().copied().chain(others).collect()
}

/// Envoy's `Bootstrap`, at the top of the file.
pub(in crate::config) const TOP: &[Group] = &[
    (&["node", "node_context_params"], "the gateway has no management server, and so no name for one", REMOVE),
    (
        &[
            "stats_sinks",
            "stats_flush_interval",
            "stats_flush_on_admin",
            "stats_eviction_interval",
            "deferred_stat_options",
        ],
        "metrics are not sent anywhere",
        "remove the key, and read /metrics of the admin interface",
    ),
    (&["layered_runtime", "flags_path"], "there is no runtime to change settings", REMOVE),
    (&["tracing", "perf_tracing_file_path"], "requests are not traced", REMOVE),
    (
        &["overload_manager", "watchdog", "watchdogs", "fatal_actions"],
        "there is no overload manager and no watchdog",
        REMOVE,
    ),
    (&["application_log_config"], "the log is set on the command line", "use --log and --log-json"),
    (
        &[
            "cluster_manager",
            "hds_config",
            "config_sources",
            "default_config_source",
            "xds_delegate_extension",
            "xds_config_tracker_extension",
            "listener_manager",
            "grpc_async_client_manager_config",
        ],
        "nothing is fetched from a management server",
        REMOVE,
    ),
    (
        &["use_tcp_for_dns_lookups", "dns_resolution_config", "typed_dns_resolver_config"],
        "names are looked up by the operating system",
        REMOVE,
    ),
    (
        &[
            "enable_dispatcher_stats",
            "header_prefix",
            "stats_server_version_override",
            "default_socket_interface",
            "certificate_provider_instances",
            "inline_headers",
            "default_regex_engine",
            "memory_allocator_manager",
            "enable_worker_cpu_affinity",
        ],
        "this is a setting of Envoy alone",
        REMOVE,
    ),
];

const REMOVE: &str = "remove the key";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use crate::config::Config;

    /// Places, and below each the fields of the message that is pasted there.
    const FIELDS: &str = include_str!("fields.txt");

    #[test]
    fn no_key_of_envoy_is_only_unknown() {
        let (mut place, mut count) = ("", 0);
        for line in FIELDS.lines().filter(|line| !line.starts_with('#')) {
            let Some(keys) = line.strip_prefix("    ") else {
                place = line;
                continue;
            };
            for key in keys.split_whitespace() {
                for key in [key.to_owned(), camel_case(key)] {
                    let error = Config::parse("test.yaml", &place.replace("KEY", &key)).unwrap_err().to_string();
                    assert!(!error.contains("unknown key"), "{place} {key}: {error}");
                    count += 1;
                }
            }
        }
        assert!(count > 700, "{count}");
        let error = Config::parse("test.yaml", "{listeners: [{nonsense: 1}]}").unwrap_err().to_string();
        assert!(error.contains("unknown key \"nonsense\""), "{error}");
    }

    /// Returns the name that a field has in protobuf's JSON.
    fn camel_case(field: &str) -> String {
        let mut words = field.split('_');
        let first = words.next().unwrap_or_default().to_owned();
        words.fold(first, |name, word| {
            let (start, rest) = word.split_at(1);
            name + &start.to_uppercase() + rest
        })
    }
}
