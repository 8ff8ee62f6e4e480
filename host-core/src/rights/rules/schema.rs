//! Which capabilities take which rules.

use crate::abi::MapType;

/// Capabilities that are ruled together, and what their rules may say.
pub(super) struct Ruled {
    pub(super) family: Family,
    /// A rule of one is a rule of all.
    pub(super) capabilities: &'static [&'static str],
    pub(super) keys: &'static [(&'static str, Key, Kind)],
}

/// Hostcalls that are ruled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Family {
    HttpCall,
    GrpcCall,
    GrpcStream,
    ReadHeaders,
    WriteHeaders,
    GetProperty,
    SetProperty,
    GetData,
    SetData,
    RegisterQueue,
    ResolveQueue,
    Enqueue,
    Dequeue,
    DefineMetric,
    CallForeign,
    Log,
    Output,
    LocalResponse,
    ResolveDns,
}

impl Family {
    pub(crate) const COUNT: usize = Self::ResolveDns as usize + 1;
}

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Upstreams,
    Methods,
    Paths,
    Authorities,
    Fields,
    Names,
    FilterState,
    VmIds,
    Keys,
    Map(MapType),
    OtherMaps,
    Rate,
    InFlight,
    Bytes,
    Count,
    Statuses,
}

/// How the text of a rule is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Patterns of names.
    Names,
    /// Patterns of methods of HTTP.
    Methods,
    /// Patterns of `package.Service/Method`.
    GrpcMethods,
    /// Patterns of names of headers.
    Headers,
    /// Patterns of names of metrics.
    Metrics,
    /// Patterns of hosts without ports.
    Hosts,
    /// Patterns of hosts with ports.
    Authorities,
    /// Patterns of property paths.
    Properties,
    /// Prefixes of paths.
    Prefixes,
    /// A limit of calls in a period.
    Rate,
    /// A limit of bytes in a period.
    ByteRate,
    /// A number.
    Number,
    /// A size in bytes.
    Size,
    /// Statuses of HTTP, and ranges of them.
    Statuses,
}

pub(super) const SCHEMA: &[Ruled] = &[
    Ruled {
        family: Family::HttpCall,
        capabilities: &["proxy_http_call"],
        keys: &[
            ("upstreams", Key::Upstreams, Kind::Names),
            ("methods", Key::Methods, Kind::Methods),
            ("paths", Key::Paths, Kind::Prefixes),
            ("authorities", Key::Authorities, Kind::Authorities),
            ("headers", Key::Fields, Kind::Headers),
            ("rate", Key::Rate, Kind::Rate),
            ("in_flight", Key::InFlight, Kind::Number),
        ],
    },
    Ruled { family: Family::GrpcCall, capabilities: &["proxy_grpc_call"], keys: GRPC },
    Ruled { family: Family::GrpcStream, capabilities: &["proxy_grpc_stream"], keys: GRPC },
    Ruled {
        family: Family::ReadHeaders,
        capabilities: &["proxy_get_header_map_value", "proxy_get_header_map_pairs", "proxy_get_header_map_size"],
        keys: &[
            ("request_headers", Key::Map(MapType::RequestHeaders), Kind::Headers),
            ("request_trailers", Key::Map(MapType::RequestTrailers), Kind::Headers),
            ("response_headers", Key::Map(MapType::ResponseHeaders), Kind::Headers),
            ("response_trailers", Key::Map(MapType::ResponseTrailers), Kind::Headers),
            ("grpc_initial_metadata", Key::Map(MapType::GrpcReceiveInitialMetadata), Kind::Headers),
            ("grpc_trailing_metadata", Key::Map(MapType::GrpcReceiveTrailingMetadata), Kind::Headers),
            ("call_headers", Key::Map(MapType::HttpCallResponseHeaders), Kind::Headers),
            ("call_trailers", Key::Map(MapType::HttpCallResponseTrailers), Kind::Headers),
            ("other_maps", Key::OtherMaps, Kind::Headers),
        ],
    },
    Ruled {
        family: Family::WriteHeaders,
        capabilities: &[
            "proxy_add_header_map_value",
            "proxy_replace_header_map_value",
            "proxy_remove_header_map_value",
            "proxy_set_header_map_pairs",
        ],
        keys: &[
            ("request_headers", Key::Map(MapType::RequestHeaders), Kind::Headers),
            ("request_trailers", Key::Map(MapType::RequestTrailers), Kind::Headers),
            ("response_headers", Key::Map(MapType::ResponseHeaders), Kind::Headers),
            ("response_trailers", Key::Map(MapType::ResponseTrailers), Kind::Headers),
            ("other_maps", Key::OtherMaps, Kind::Headers),
        ],
    },
    Ruled { family: Family::GetProperty, capabilities: &["proxy_get_property"], keys: PROPERTIES },
    Ruled { family: Family::SetProperty, capabilities: &["proxy_set_property"], keys: PROPERTIES },
    Ruled {
        family: Family::GetData,
        capabilities: &["proxy_get_shared_data"],
        keys: &[("keys", Key::Keys, Kind::Names)],
    },
    Ruled {
        family: Family::SetData,
        capabilities: &["proxy_set_shared_data"],
        keys: &[("keys", Key::Keys, Kind::Names), ("bytes", Key::Bytes, Kind::Size)],
    },
    Ruled {
        family: Family::RegisterQueue,
        capabilities: &["proxy_register_shared_queue"],
        keys: &[("names", Key::Names, Kind::Names)],
    },
    Ruled { family: Family::ResolveQueue, capabilities: &["proxy_resolve_shared_queue"], keys: QUEUES },
    Ruled { family: Family::Enqueue, capabilities: &["proxy_enqueue_shared_queue"], keys: QUEUES },
    Ruled { family: Family::Dequeue, capabilities: &["proxy_dequeue_shared_queue"], keys: QUEUES },
    Ruled {
        family: Family::DefineMetric,
        capabilities: &["proxy_define_metric"],
        keys: &[("names", Key::Names, Kind::Metrics), ("count", Key::Count, Kind::Number)],
    },
    Ruled {
        family: Family::CallForeign,
        capabilities: &["proxy_call_foreign_function"],
        keys: &[
            ("names", Key::Names, Kind::Names),
            ("filter_state", Key::FilterState, Kind::Names),
            ("upstreams", Key::Upstreams, Kind::Names),
        ],
    },
    Ruled { family: Family::Log, capabilities: &["proxy_log"], keys: LOG },
    Ruled { family: Family::Output, capabilities: &["fd_write"], keys: LOG },
    Ruled {
        family: Family::LocalResponse,
        capabilities: &["proxy_send_local_response"],
        keys: &[("statuses", Key::Statuses, Kind::Statuses)],
    },
    Ruled {
        family: Family::ResolveDns,
        capabilities: &["envoy_resolve_dns"],
        keys: &[("names", Key::Names, Kind::Hosts), ("rate", Key::Rate, Kind::Rate)],
    },
];

const GRPC: &[(&str, Key, Kind)] = &[
    ("upstreams", Key::Upstreams, Kind::Names),
    ("methods", Key::Methods, Kind::GrpcMethods),
    ("authorities", Key::Authorities, Kind::Authorities),
    ("metadata", Key::Fields, Kind::Headers),
    ("rate", Key::Rate, Kind::Rate),
    ("in_flight", Key::InFlight, Kind::Number),
];

const PROPERTIES: &[(&str, Key, Kind)] = &[("paths", Key::Paths, Kind::Properties)];

const QUEUES: &[(&str, Key, Kind)] = &[("names", Key::Names, Kind::Names), ("vm_ids", Key::VmIds, Kind::Names)];

const LOG: &[(&str, Key, Kind)] = &[("rate", Key::Rate, Kind::Rate), ("bytes", Key::Bytes, Kind::ByteRate)];
