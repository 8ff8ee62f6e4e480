//! Clusters: where requests go.

use std::sync::Arc;
use std::time::Duration;

use portcullis::model::ResourceMetadata;
use portcullis_config::Origin;
use portcullis_config::reader::{
    EMPTY, Key, Kind, Mapping, Read, Refused, Reported, Section, Type, Unique, Value, duration, nearest,
};

use super::address::{self, Endpoint};
use super::cluster_tls::{self, UPSTREAM_TLS, UpstreamTls};
use super::envoy_keys;
use super::metadata;
use super::timeouts::{self, Keepalive};

/// A named upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The name that routes and callouts use.
    pub name: String,
    /// The servers, or the gateway itself.
    pub kind: ClusterKind,
    /// The metadata that plugins read as `xds.cluster_metadata`.
    pub metadata: Arc<ResourceMetadata>,
    /// Where the cluster is defined.
    pub origin: Origin,
}

/// The kind of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterKind {
    /// The gateway itself: it answers each request with a description of the request.
    Echo,
    /// Servers.
    Endpoints(Endpoints),
}

/// Servers, and how to talk to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The servers, to be used in turn; never empty.
    pub endpoints: Vec<Server>,
    /// The protocol that they speak.
    pub protocol: Protocol,
    /// TLS with them; none for plain connections.
    pub tls: Option<Box<UpstreamTls>>,
    /// How long a connection may take to open; never zero.
    pub connect_timeout: Duration,
    /// How long a whole response may take once the request has been sent whole, for routes that set no limit; zero for no
    /// limit.
    pub request_timeout: Duration,
    /// How many idle connections are kept for each endpoint and worker.
    pub max_idle: usize,
    /// How long a connection may be unused before it is closed; zero for no limit.
    pub idle_timeout: Duration,
    /// The PINGs to HTTP/2 servers while requests are on the connection.
    pub keepalive: Keepalive,
}

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub address: Endpoint,
    /// The metadata that plugins read as `xds.upstream_host_metadata`, if it has some.
    pub metadata: Option<Arc<ResourceMetadata>>,
}

/// The protocol of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, without an upgrade; without TLS by prior knowledge.
    Http2,
    /// The one that a server takes by ALPN; only with TLS.
    Auto,
}

impl Protocol {
    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Auto => "auto",
        }
    }
}

/// The names of the clusters in the file, also of those that could not be read.
pub(super) struct ClusterNames {
    names: Vec<String>,
    /// The key is misspelt, which is reported: a reference to a name is not reported as well.
    misspelt: Option<Reported>,
}

impl ClusterNames {
    /// Collects the names.
    pub(super) fn read(root: &Mapping<'_>) -> Self {
        let clusters = root.get(CLUSTERS).into_iter().flat_map(Value::items);
        let names = clusters.filter_map(|cluster| cluster.member(NAME.name)?.text());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.dedup();
        Self { names, misspelt: root.misspelt(CLUSTERS) }
    }

    /// Reads the name of a cluster that is in the file.
    pub(super) fn reference(&self, value: &Value<'_>) -> Read<String> {
        let name = value.name()?;
        if self.names.contains(&name) {
            return Ok(name);
        }
        if let Some(reported) = self.misspelt {
            return Err(reported);
        }
        let help = nearest::suggest(&name, &self.names).unwrap_or_else(|| match self.names.as_slice() {
            [] => "define it under clusters".to_owned(),
            names => format!("the clusters are {}", names.join(", ")),
        });
        Err(value.fail(format!("no cluster is called {name:?}"), help))
    }
}

/// Reads the top-level `clusters`.
pub(super) fn read_all(value: &Value<'_>) -> Read<Vec<Cluster>> {
    let mut names = Unique::new("cluster name");
    value.list(|_, value| read(value, &mut names))
}

const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
const DEFAULT_MAX_IDLE: u64 = 128;
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) const CLUSTERS: Key =
    Key::new("clusters", Type::List(const { &Type::Section(&CLUSTER) }), "Upstreams, by name.").default("[]");

pub(super) const NAME: Key = Key::new("name", Type::Name, "The name that routes and callouts use.").required();
const METADATA: Key =
    Key::new("metadata", Type::Section(&metadata::METADATA), "Metadata that plugins read as `xds.cluster_metadata`.");
const ENDPOINTS: Key = Key::new(
    "endpoints",
    Type::List(const { &Type::Either(const { &[address::SERVER, Type::Section(&ENDPOINT)] }) }),
    "The servers, used in turn; at least one, unless there is `echo`.",
);
const ECHO: Key = Key::new(
    "echo",
    Type::Nothing,
    "In place of `endpoints`: the gateway itself answers each request with a description of it.",
);
const PROTOCOL: Key =
    Key::new("protocol", Type::Words(&["http1", "http2", "auto"]), "The protocol that the servers speak; `auto`, with `tls`, is what each agrees to by ALPN, HTTP/2 rather than HTTP/1.1.")
    .default("http1");
const TLS: Key =
    Key::new("tls", Type::Section(&UPSTREAM_TLS), "TLS with the servers; without it connections are plain.");
const CONNECT_TIMEOUT: Key =
    Key::new("connect_timeout", Type::Positive, "The longest that a connection may take to open.").default("5s");
const REQUEST_TIMEOUT: Key = Key::new(
    "request_timeout",
    Type::Duration,
    "The longest that a whole response may take once the request has been sent, for routes without a `timeout`; `0s` is no limit.",
)
.default("15s");
const MAX_IDLE: Key = Key::new(
    "max_idle",
    Type::Integer(0, 65536),
    "The most idle connections that are kept for each endpoint and worker.",
)
.default("128");
const IDLE: Key = Key::new(
    "idle_timeout",
    Type::Duration,
    "The longest that a connection may be unused before it is closed; `0s` is no limit.",
)
.default("60s");

pub(super) static CLUSTER: Section = Section::new(
    "cluster",
    "clusters[]",
    "A named upstream.",
    &[
        NAME,
        METADATA,
        ENDPOINTS,
        ECHO,
        PROTOCOL,
        TLS,
        CONNECT_TIMEOUT,
        REQUEST_TIMEOUT,
        MAX_IDLE,
        IDLE,
        timeouts::KEEPALIVE,
    ],
)
.page("timeouts.md");

/// The keys that only a cluster with endpoints has.
const OF_ENDPOINTS: [Key; 8] =
    [ENDPOINTS, PROTOCOL, TLS, CONNECT_TIMEOUT, REQUEST_TIMEOUT, MAX_IDLE, IDLE, timeouts::KEEPALIVE];

const ADDRESS: Key = Key::new("address", address::SERVER, "The address of the server.").required();
const SERVER_METADATA: Key = Key::new(
    "metadata",
    Type::Section(&metadata::METADATA),
    "Metadata that plugins read as `xds.upstream_host_metadata`.",
);

static ENDPOINT: Section = Section::new(
    "endpoint",
    "clusters[].endpoints[]",
    "A server, if more than its address is said.",
    &[ADDRESS, SERVER_METADATA],
);

const REFUSED: &[Refused] =
    &[("load_assignment", "this is Envoy's form of a cluster", "list the servers as `endpoints: [127.0.0.1:9000]`")];

fn read(value: &Value<'_>, names: &mut Unique) -> Read<Cluster> {
    let mapping = value.mapping_without(&CLUSTER, &envoy_keys::refused(REFUSED, &[envoy_keys::CLUSTER]))?;
    let name = mapping.required(NAME, "add a name for the routes to refer to", |place| {
        let name = place.name()?;
        names.check(place, &name)?;
        Ok(name)
    });
    let kind = match mapping.entry(ECHO) {
        Some(echo) => read_echo(&mapping, echo),
        None => endpoints(&mapping).map(ClusterKind::Endpoints),
    };
    let metadata = mapping.or(METADATA, Arc::default(), metadata::read);
    Ok(Cluster { name: name?, kind: kind?, metadata: metadata?, origin: value.origin() })
}

fn read_echo(mapping: &Mapping<'_>, echo: &Value<'_>) -> Read<ClusterKind> {
    if !echo.is_null() {
        echo.mapping(&EMPTY)?;
    }
    for key in OF_ENDPOINTS {
        if let Some(other) = mapping.get(key) {
            let message = "this has no effect on an echo cluster";
            return Err(other.fail(message, "remove it, or remove echo"));
        }
    }
    Ok(ClusterKind::Echo)
}

/// Reads a server: its address, or a mapping with more about it.
fn server(value: &Value<'_>) -> Read<Server> {
    if !matches!(value.kind(), Kind::Mapping) {
        return Ok(Server { address: address::endpoint(value)?, metadata: None });
    }
    let mapping = value.mapping_without(&ENDPOINT, &envoy_keys::refused(SERVER_REFUSED, &[envoy_keys::ENDPOINT]))?;
    let address = mapping.required(ADDRESS, "add it, as `address: 127.0.0.1:9000`", address::endpoint);
    let metadata = mapping.optional(SERVER_METADATA, metadata::read);
    Ok(Server { address: address?, metadata: metadata? })
}

/// Keys of Envoy's endpoints that have no meaning here.
const SERVER_REFUSED: &[Refused] = &[
    ("endpoint", "this is Envoy's form of an endpoint", "write `address: 127.0.0.1:9000` in its place"),
    ("load_balancing_weight", "endpoints are used in turn", "remove the key, or write the endpoint more than once"),
    ("health_status", "endpoints have no health status", "remove the key, or the endpoint if it is not healthy"),
];

/// Reads the block of TLS. One with nothing in it is no block that is absent: what should have TLS would be reached without.
fn tls(mapping: &Mapping<'_>) -> Read<Option<Box<UpstreamTls>>> {
    match mapping.entry(TLS) {
        Some(place) if place.is_null() => {
            Err(place.fail("tls has nothing behind it", "write `tls: {}` for its defaults, or remove the key"))
        }
        Some(place) => cluster_tls::read(place).map(|tls| Some(Box::new(tls))),
        None => Ok(None),
    }
}

fn endpoints(mapping: &Mapping<'_>) -> Read<Endpoints> {
    let help = "add `endpoints: [127.0.0.1:9000]`, or `echo: {}`";
    let endpoints = mapping.required(ENDPOINTS, help, |list| match list.list(|_, endpoint| server(endpoint))? {
        endpoints if endpoints.is_empty() => Err(list.fail("a cluster needs at least one endpoint", help)),
        endpoints => Ok(endpoints),
    });
    let protocols = [Protocol::Http1, Protocol::Http2, Protocol::Auto].map(|protocol| (protocol.name(), protocol));
    let protocol = mapping.or(PROTOCOL, Protocol::default(), |name| name.one_of(&protocols));
    let tls = tls(mapping);
    if let (Some(place), Ok(Protocol::Auto), Ok(None)) = (mapping.get(PROTOCOL), &protocol, &tls) {
        let message = "without tls nothing says which protocol a server speaks";
        return Err(place.fail(message, "add `tls: {}`, or write `protocol: http1` or `protocol: http2`"));
    }
    let connect_timeout = mapping.or(CONNECT_TIMEOUT, DEFAULT_CONNECT_TIMEOUT, duration::positive);
    let request_timeout = mapping.or(REQUEST_TIMEOUT, DEFAULT_REQUEST_TIMEOUT, duration::read);
    let max_idle = mapping.or(MAX_IDLE, DEFAULT_MAX_IDLE, |number| number.integer(MAX_IDLE.range()));
    let idle_timeout = mapping.or(IDLE, DEFAULT_IDLE_TIMEOUT, duration::read);
    let keepalive = mapping.or(timeouts::KEEPALIVE, Keepalive::default(), timeouts::keepalive);
    if let Some(place) = mapping.get(timeouts::KEEPALIVE).filter(|_| matches!(protocol, Ok(Protocol::Http1))) {
        place.notice("connection_keepalive is ignored: HTTP/1.1 has no PINGs", "remove it, or add `protocol: http2`");
    }
    Ok(Endpoints {
        endpoints: endpoints?,
        protocol: protocol?,
        tls: tls?,
        connect_timeout: connect_timeout?,
        request_timeout: request_timeout?,
        max_idle: max_idle? as usize,
        idle_timeout: idle_timeout?,
        keepalive: keepalive?,
    })
}
