//! Listeners: where requests come in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_config::blocks::filter_entry::Traffic;
use portcullis_config::blocks::library;
use portcullis_config::reader::{Key, Read, Refused, Section, Type, Unique, Value, duration, secret, size};
use portcullis_config::{Origin, Plugin};

use super::address;
use super::envoy_keys;
use super::route::{self, Route, RouteOrder, Scope};
use super::timeouts::{self, Timeouts};

/// An address that takes requests, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The name for logs and metrics; no other listener has it.
    pub name: String,
    /// Where it listens; port 0 is any free one.
    pub address: SocketAddr,
    /// The certificate, if it speaks TLS.
    pub tls: Option<Tls>,
    /// How many bytes of one direction of a stream the plugins may make the host hold.
    pub buffer_limit: usize,
    /// The most connections of clients at once, over all workers; without it a share of the descriptors that the process may
    /// have.
    pub max_connections: Option<usize>,
    /// Whether clients connect to it directly: the peer is appended to `x-forwarded-for`, and what a client says of
    /// `x-request-id` and `x-forwarded-proto` is replaced. True by default.
    ///
    /// differs: false is Envoy's default.
    pub use_remote_address: bool,
    /// Time limits for its clients.
    pub timeouts: Timeouts,
    /// The chain of plugins.
    pub plugins: Vec<Plugin>,
    /// The routes in the order in which they are tried; the first that matches takes the request.
    pub routes: Vec<Route>,
    /// The order in which routes are tried.
    pub route_order: RouteOrder,
    /// Where TCP streams go; such a listener has no routes and knows nothing of HTTP.
    pub tcp_proxy: Option<TcpProxy>,
    /// Where the listener is defined.
    pub origin: Origin,
}

/// Where the TCP streams of a listener go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpProxy {
    /// The cluster; there is one of this name.
    pub cluster: String,
    /// How long a stream may be without a byte either way; zero for no limit. One hour by default.
    pub idle_timeout: Duration,
}

/// The identity of a listener that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The file with the certificate chain (PEM).
    pub certificate: PathBuf,
    /// The file with the private key (PEM).
    pub private_key: PathBuf,
    /// Its place.
    pub origin: Origin,
}

/// Reads the top-level `listeners`. `addresses` holds those that are taken.
pub(super) fn read_all(value: &Value<'_>, scope: &Scope, addresses: &mut Unique) -> Read<Vec<Listener>> {
    let mut names = Unique::new("listener name");
    match value.list(|index, value| read(index, value, scope, &mut names, addresses))? {
        listeners if listeners.is_empty() => Err(value.fail("there is no listener", NO_LISTENER)),
        listeners => Ok(listeners),
    }
}

/// The remedy for a file without listeners.
pub(super) const NO_LISTENER: &str = "add one, as `listeners: [{address: 127.0.0.1:8080}]`";

/// Reads an address that nothing else in the file listens on.
pub(super) fn unique_address(value: &Value<'_>, addresses: &mut Unique) -> Read<SocketAddr> {
    let address = address::listening(value)?;
    if address.port() != 0 {
        addresses.check(value, &address.to_string())?;
    }
    Ok(address)
}

const DEFAULT_BUFFER_LIMIT: usize = 1 << 20;

/// No process can have more.
pub(super) const MOST_CONNECTIONS: u64 = 1 << 30;

const NAME: Key = Key::new("name", Type::Name, "The name for logs and metrics; no other listener has it.")
    .computed("`listener_INDEX`");
const ADDRESS: Key =
    Key::new("address", address::LISTENING, "The address to listen at; port 0 is any free one.").required();
const TLS: Key = Key::new("tls", Type::Section(&IDENTITY), "The certificate; without it the listener speaks no TLS.");
const BUFFER_LIMIT: Key = Key::new(
    "buffer_limit",
    Type::Size(1, 1 << 30),
    "The most bytes of one direction of a stream that plugins may make the gateway hold.",
)
.default("1MiB");
const MAX_CONNECTIONS: Key = Key::new(
    "max_connections",
    Type::Integer(1, MOST_CONNECTIONS),
    "The most connections of clients at once, over all workers.",
)
.computed("a share of the file descriptors");
const USE_REMOTE_ADDRESS: Key = Key::new(
    "use_remote_address",
    Type::Boolean,
    "Whether clients connect directly: their address is appended to `x-forwarded-for`, and their `x-request-id` and \
     `x-forwarded-proto` are replaced.",
)
.default("true");
const PLUGINS: Key = Key::new(
    "plugins",
    Type::List(&library::CHAINED),
    "The chain of plugins, for all routes that have none of their own.",
)
.default("[]");
const ROUTES: Key = Key::new(
    "routes",
    Type::List(const { &Type::Section(&route::ROUTES) }),
    "The routes; the first that matches takes the request.",
)
.default("[]");
const ROUTE_ORDER: Key = Key::new(
    "route_order",
    Type::Words(&["host", "file"]),
    "Whether routes are tried by their hosts, the more exact first, or as they stand in the file.",
)
.default("host");
const TCP_PROXY: Key =
    Key::new("tcp_proxy", Type::Section(&PROXY), "In place of `routes`: where the TCP streams of the listener go.");

pub(super) static LISTENER: Section = Section::new(
    "listener",
    "listeners[]",
    "An address that takes requests, and what happens to them.",
    &[
        NAME,
        ADDRESS,
        TLS,
        BUFFER_LIMIT,
        MAX_CONNECTIONS,
        USE_REMOTE_ADDRESS,
        timeouts::HANDSHAKE,
        timeouts::REQUEST_HEADERS,
        timeouts::IDLE,
        timeouts::STREAM_IDLE,
        timeouts::MAX_STREAM_DURATION,
        timeouts::WRITE,
        timeouts::KEEPALIVE,
        PLUGINS,
        ROUTES,
        ROUTE_ORDER,
        TCP_PROXY,
    ],
)
.page("timeouts.md");

const CLUSTER: Key = Key::new("cluster", Type::Name, "The cluster.").required();
const IDLE_TIMEOUT: Key = Key::new(
    "idle_timeout",
    Type::Duration,
    "The longest that a stream may be without a byte either way; `0s` is no limit.",
)
.default("1h");
const STAT_PREFIX: Key = Key::new("stat_prefix", Type::Free, "Envoy's key, which changes nothing.");

static PROXY: Section = Section::new(
    "tcp_proxy",
    "listeners[].tcp_proxy",
    "Upstream of the TCP streams of a listener.",
    &[CLUSTER, IDLE_TIMEOUT, STAT_PREFIX],
)
.page("timeouts.md");

/// The path of a file, or a reference to one.
const FILE: Type = Type::Either(const { &[Type::Name, Type::Section(&secret::SECRET)] });
const CERTIFICATE: Key = Key::new("certificate", FILE, "The file with the certificate chain, in PEM.").required();
const PRIVATE_KEY: Key = Key::new("private_key", FILE, "The file with the private key, in PEM.").required();

static IDENTITY: Section =
    Section::new("tls", "listeners[].tls", "The identity of a listener that speaks TLS.", &[CERTIFICATE, PRIVATE_KEY]);

const REFUSED: &[Refused] = &[
    (
        "filter_chains",
        "this is Envoy's form of a listener",
        "move the Wasm filters to plugins, and the routes to routes",
    ),
    ("http_filters", "this is Envoy's name for the chain of plugins", "rename it to plugins"),
];

fn read(index: usize, value: &Value<'_>, scope: &Scope, names: &mut Unique, addresses: &mut Unique) -> Read<Listener> {
    let mapping = value.mapping_without(&LISTENER, &envoy_keys::refused(REFUSED, &[envoy_keys::LISTENER]))?;
    let place = mapping.get(NAME).unwrap_or(value);
    let name = mapping.or(NAME, format!("listener_{index}"), Value::name).and_then(|name| {
        names.check(place, &name)?;
        Ok(name)
    });
    let address = mapping
        .required(ADDRESS, "add one, such as `address: 127.0.0.1:8080`", |address| unique_address(address, addresses));
    let tls = mapping.optional(TLS, tls);
    let buffer_limit = mapping.or(BUFFER_LIMIT, DEFAULT_BUFFER_LIMIT, |size| size::between(size, BUFFER_LIMIT.range()));
    let max_connections = mapping.optional(MAX_CONNECTIONS, |number| number.integer(MAX_CONNECTIONS.range()));
    let use_remote_address = mapping.or(USE_REMOTE_ADDRESS, true, Value::boolean);
    let is_tcp = mapping.get(TCP_PROXY).is_some();
    let timeouts = timeouts::read(&mapping, is_tcp);
    let traffic = if is_tcp { Traffic::Tcp } else { Traffic::Http };
    let plugins = mapping.or(PLUGINS, Vec::new(), |chain| scope.library.chain(chain, traffic));
    let route_order = mapping.or(ROUTE_ORDER, RouteOrder::default(), |order| order.one_of(RouteOrder::NAMES));
    let order = mapping.get(ROUTE_ORDER).and_then(|_| route_order.as_ref().ok()).copied();
    let routes = mapping.or(ROUTES, Vec::new(), |routes| route::read_all(routes, scope, order));
    let tcp_proxy = mapping.optional(TCP_PROXY, |proxy| tcp_proxy(proxy, scope));
    if let Some(routes) = mapping.get(ROUTES).or_else(|| mapping.get(ROUTE_ORDER)).filter(|_| is_tcp) {
        return Err(routes.fail("a listener has either routes or tcp_proxy", "remove one of them"));
    }
    if let Some(key) = mapping.get(USE_REMOTE_ADDRESS).filter(|_| is_tcp) {
        key.notice("use_remote_address is ignored: TCP streams have no headers", "remove it");
    }
    if !is_tcp && routes.as_ref().is_ok_and(Vec::is_empty) {
        let message = "the listener has no routes: it answers 404 unless a plugin answers";
        value.notice(message, "add one, such as `routes: [{cluster: backend}]`");
    }
    Ok(Listener {
        name: name?,
        address: address?,
        tls: tls?,
        buffer_limit: buffer_limit?,
        max_connections: max_connections?.map(|number| number as usize),
        use_remote_address: use_remote_address?,
        timeouts: timeouts?,
        plugins: plugins?,
        routes: routes?,
        route_order: route_order?,
        tcp_proxy: tcp_proxy?,
        origin: value.origin(),
    })
}

fn tcp_proxy(value: &Value<'_>, scope: &Scope) -> Read<TcpProxy> {
    const HOUR: Duration = Duration::from_secs(3600);
    let refused = envoy_keys::refused(&[], &[envoy_keys::TCP_PROXY]);
    let mapping = value.mapping_without(&PROXY, &refused)?;
    let cluster =
        mapping.required(CLUSTER, "add the name of one of the clusters", |name| scope.clusters.reference(name));
    let idle_timeout = mapping.or(IDLE_TIMEOUT, HOUR, duration::read);
    if let Some(prefix) = mapping.get(STAT_PREFIX) {
        prefix.notice("stat_prefix is ignored: metrics are labelled with the listener's name", "remove it");
    }
    Ok(TcpProxy { cluster: cluster?, idle_timeout: idle_timeout? })
}

fn tls(value: &Value<'_>) -> Read<Tls> {
    let mapping = value.mapping(&IDENTITY)?;
    let file = |key: Key, help: &str| mapping.required(key, help, |path| secret::path(path, "correct the path"));
    let certificate = file(CERTIFICATE, "add the path of the certificate chain, a PEM file");
    let private_key = file(PRIVATE_KEY, "add the path of the private key, a PEM file");
    Ok(Tls { certificate: certificate?, private_key: private_key?, origin: value.origin() })
}
