use std::sync::{Arc, LazyLock};

use crate::fuzzing::Input;
use crate::rights::{Capabilities, OnDenial, Preset, RuleTexts, Rules};

/// The rights of the plugin.
pub(super) struct Rights {
    pub(super) capabilities: Capabilities,
    pub(super) rules: Rules,
    pub(super) on_denial: OnDenial,
    /// Whether `authorization` is hidden from it, in every map.
    pub(super) hides: bool,
    /// Whether callouts are ruled by [`RULES`].
    pub(super) is_ruled: bool,
}

/// A rule of each kind.
const RULES: &[(&str, &str, &[&str])] = &[
    ("proxy_http_call", "upstreams", &["up"]),
    ("proxy_http_call", "methods", &["GET"]),
    ("proxy_http_call", "paths", &["/check"]),
    ("proxy_http_call", "authorities", &["a", "*.example"]),
    ("proxy_http_call", "rate", &["50/s"]),
    ("proxy_http_call", "in_flight", &["3"]),
    ("proxy_grpc_call", "upstreams", &["u*"]),
    ("proxy_grpc_call", "methods", &["a.Service/*"]),
    ("proxy_grpc_stream", "in_flight", &["2"]),
    ("proxy_get_property", "paths", &["*", "!request.headers.x-a"]),
    ("proxy_set_property", "paths", &["k*"]),
    ("proxy_get_shared_data", "keys", &["up"]),
    ("proxy_set_shared_data", "keys", &["*"]),
    ("proxy_set_shared_data", "bytes", &["1KiB"]),
    ("proxy_register_shared_queue", "names", &["up", "vm"]),
    ("proxy_resolve_shared_queue", "vm_ids", &["vm"]),
    ("proxy_enqueue_shared_queue", "names", &["up"]),
    ("proxy_dequeue_shared_queue", "names", &["up"]),
    ("proxy_define_metric", "names", &["*", "!up"]),
    ("proxy_define_metric", "count", &["3"]),
    ("proxy_call_foreign_function", "names", &["*"]),
    ("proxy_call_foreign_function", "filter_state", &["envoy.tcp_proxy.cluster"]),
    ("proxy_call_foreign_function", "upstreams", &["up"]),
    ("proxy_log", "rate", &["5/s"]),
    ("fd_write", "bytes", &["64/s"]),
    ("proxy_send_local_response", "statuses", &["4xx", "500-503"]),
    ("envoy_resolve_dns", "names", &["*.example"]),
    ("envoy_resolve_dns", "rate", &["1/m"]),
];

const MAPS: &[&str] = &[
    "request_headers",
    "request_trailers",
    "response_headers",
    "response_trailers",
    "grpc_initial_metadata",
    "grpc_trailing_metadata",
    "call_headers",
    "call_trailers",
    "other_maps",
];

pub(super) fn choose(input: &mut Input<'_>) -> Rights {
    static HIDING: LazyLock<Rules> = LazyLock::new(|| compiled(hiding()));
    // What is counted is not to last from one execution to the next.
    let ruled = || compiled(hiding().into_iter().chain(texts(RULES)).collect());
    let choice = input.byte();
    let (capabilities, rules) = match choice & 15 {
        0 => (Capabilities::ALL, Rules::NONE),
        1 => (Capabilities::ALL, HIDING.clone()),
        2 => (Preset::Logging.capabilities(), HIDING.clone()),
        3 => (Preset::Headers.capabilities(), Rules::NONE),
        4 => (Preset::Headers.capabilities(), HIDING.clone()),
        5 => (Preset::Bodies.capabilities(), HIDING.clone()),
        6 => (Preset::Callouts.capabilities(), Rules::NONE),
        7 => (Capabilities::ALL, Rules::learning(Arc::default())),
        8 => (Capabilities::NONE, Rules::NONE),
        _ => (Capabilities::ALL, ruled()),
    };
    let on_denial = if choice & 16 == 0 { OnDenial::Answer } else { OnDenial::Trap };
    let hides = matches!(choice & 15, 1 | 2 | 4 | 5 | 9..);
    Rights { capabilities, rules, on_denial, hides, is_ruled: choice & 15 >= 9 }
}

fn hiding() -> RuleTexts {
    let values = vec!["*".to_owned(), "!authorization".to_owned()];
    let maps = MAPS.iter().map(|map| ((*map).to_owned(), values.clone())).collect();
    RuleTexts::from([("proxy_get_header_map_value".to_owned(), maps)])
}

fn texts(rules: &[(&str, &str, &[&str])]) -> RuleTexts {
    let mut texts = RuleTexts::new();
    for (capability, key, values) in rules {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        texts.entry((*capability).to_owned()).or_default().insert((*key).to_owned(), values);
    }
    texts
}

fn compiled(texts: RuleTexts) -> Rules {
    Rules::new(&texts).unwrap_or_else(|error| panic!("{error}"))
}
