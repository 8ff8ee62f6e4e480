//! The whole file: the keys at its top.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis::model::Percent;
use portcullis::sandbox::Sharing;
use portcullis_config::blocks::{library, settings};
use portcullis_config::reader::{self, Document, Key, Read, Section, Type, Unique, Value, duration};
use portcullis_config::{ConfigError, Diagnostic, Plugin, Settings};
use sha2::{Digest, Sha256};

use super::admin::{self, AdminPath, AdminToken};
use super::changed;
use super::cluster::{self, Cluster};
use super::envoy_keys;
use super::foreign;
use super::listener::{self, Listener};
use super::reload::{self, ReloadLimits};
use super::route::Scope;
use super::service::{self, Service};
use super::stats::{self, StatsTag};

/// All that a gateway needs to know to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How many threads serve requests, from 1 to 1024.
    pub workers: usize,
    /// The address that the admin interface listens at, if it does so at one.
    pub admin: Option<SocketAddr>,
    /// The Unix socket that it listens at, if it does so at one.
    pub admin_socket: Option<AdminPath>,
    /// The hosts that it answers to besides loopback and the address that it was reached at; `*` is any.
    pub admin_hosts: Vec<String>,
    /// The token of requests to it that change something.
    pub admin_token: Option<AdminToken>,
    /// Whether a change of the configuration, or of a file that it names, reloads it.
    pub watch: bool,
    /// How long a graceful stop may take.
    pub shutdown_timeout: Duration,
    /// How long the gateway serves on when it is told to stop, and says so on `/ready`, before it closes anything.
    pub drain_delay: Duration,
    /// How long streams keep a configuration that was replaced.
    pub reload: ReloadLimits,
    /// Which part of a worker plugins get for what no stream waits for, while IO waits (`limits.tick_share`).
    pub tick_share: Percent,
    /// The most connections with upstreams at once, over all workers, each of which has an equal share; without it what the
    /// limit of descriptors leaves.
    pub max_upstream_connections: Option<usize>,
    /// The most HTTP and gRPC callouts in flight, over all workers, each of which has an equal share; without it three of four
    /// connections with upstreams.
    pub max_callouts: Option<usize>,
    /// The folder where compiled code is kept, if it is.
    pub code_cache: Option<PathBuf>,
    /// The rules by which parts of the names of plugins' metrics become labels.
    pub stats_tags: Vec<StatsTag>,
    /// The treatment of plugins that would share a VM and differ, where their VMs do not say it.
    pub sharing: Sharing,
    /// Plugins without traffic.
    pub services: Vec<Service>,
    /// Where requests come in; at least one.
    pub listeners: Vec<Listener>,
    /// Where requests go.
    pub clusters: Vec<Cluster>,
    /// Notices for the operator that are no errors: to be logged as warnings.
    pub notices: Vec<Diagnostic>,
}

impl Config {
    /// Reads a configuration file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, and everything that [`Self::parse`] finds.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        Self::load_noting(path.as_ref()).0
    }

    /// Reads a configuration file as [`Self::load`] does, and notes what was read.
    pub(crate) fn load_noting(path: &Path) -> (Result<Self, ConfigError>, Noted) {
        match reader::load(path, EXAMPLE) {
            Ok((name, text)) => {
                let sha256 = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
                let mut files = Vec::new();
                let config = Self::parse_noting(&name, &text, &mut files);
                (config, Noted { sha256: Some(sha256), files })
            }
            Err(error) => (Err(error), Noted::default()),
        }
    }

    /// Reads a configuration from its text. `name` is the file's path: messages begin with it, and files that are not in
    /// the working directory are looked for beside it.
    ///
    /// # Errors
    ///
    /// If the text is no YAML or breaks the rules of the configuration; with all that is wrong, not only the first.
    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        Self::parse_noting(name, text, &mut Vec::new())
    }

    /// Reads a configuration from its text, and notes the files that it names.
    fn parse_noting(name: &str, text: &str, files: &mut Vec<PathBuf>) -> Result<Self, ConfigError> {
        let document = Document::parse(name, text, EXAMPLE)?;
        let config = read(&document.root());
        *files = document.files();
        let (config, notices) = document.finish(config)?;
        Ok(Self { notices, ..config })
    }

    /// Returns every plugin of every chain, and then those of the services, in the order of the file.
    pub(crate) fn all_plugins(&self) -> impl Iterator<Item = &Plugin> {
        let chains = self.listeners.iter().flat_map(|listener| {
            let routes = listener.routes.iter().filter_map(|route| route.plugins.as_ref());
            listener.plugins.iter().chain(routes.flatten())
        });
        chains.chain(self.services.iter().map(|service| &service.plugin))
    }

    /// Returns the cluster of a name.
    pub fn cluster(&self, name: &str) -> Option<&Cluster> {
        self.clusters.iter().find(|cluster| cluster.name == name)
    }
}

/// Notes of the reading of a configuration, whether it is right or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noted {
    /// The digest of the file, in hexadecimal digits; none if it could not be read.
    pub(crate) sha256: Option<String>,
    /// The files that it names, also those that are not there.
    pub(crate) files: Vec<PathBuf>,
}

/// A file to start from.
const EXAMPLE: &str = "examples/quickstart.yaml";

const WORKERS: Key =
    Key::new("workers", Type::Integer(1, 1024), "Threads that serve requests.").computed("one for each core");
const ADMIN: Key = Key::new(
    "admin",
    Type::Either(const { &[Type::Form("`IP:PORT` or `unix:PATH`", "."), Type::Section(&admin::ADMIN)] }),
    "The admin interface; without the key there is none.",
);
const WATCH: Key = Key::new(
    "watch",
    Type::Boolean,
    "Whether a change of this file, or of a file that it names, reloads the configuration.",
)
.default("false");
const SHUTDOWN_TIMEOUT: Key = Key::new(
    "shutdown_timeout",
    Type::Duration,
    "The time that requests in flight get to end when the gateway is told to stop.",
)
.default("30s");
const DRAIN_DELAY: Key = Key::new(
    "drain_delay",
    Type::Duration,
    "The time for which everything is served on after the gateway was told to stop, while `/ready` is 503: as long as balancers \
     need to notice. `shutdown_timeout` begins after it.",
)
.default("0s");
const MAX_UPSTREAM_CONNECTIONS: Key = Key::new(
    "max_upstream_connections",
    Type::Integer(1, listener::MOST_CONNECTIONS),
    "The most connections with upstreams at once, over all workers, each of which has an equal share.",
)
.computed("what the limit of file descriptors leaves");
const MAX_CALLOUTS: Key = Key::new(
    "max_callouts",
    Type::Integer(1, listener::MOST_CONNECTIONS),
    "The most HTTP and gRPC callouts in flight, over all workers, each of which has an equal share.",
)
.computed("three quarters of `max_upstream_connections`");
const STATS_CONFIG: Key =
    Key::new("stats_config", Type::Section(&stats::STATS), "Labels that are parts of the names of plugins' metrics.");
const SERVICES: Key =
    Key::new("services", Type::List(&service::SERVICES), "Plugins without traffic: for ticks, queues and callouts.")
        .default("[]");
const BOOTSTRAP_EXTENSIONS: Key = Key::new(
    "bootstrap_extensions",
    Type::List(&service::SERVICES),
    "Envoy's name of `services`; one of the two can stand.",
);
const LISTENERS: Key = Key::new(
    "listeners",
    Type::List(const { &Type::Section(&listener::LISTENER) }),
    "Addresses that take requests; at least one.",
)
.required();
/// The file.
pub(super) static FILE: Section = Section::new(
    "file",
    "",
    "The keys at the top of the file.",
    &[
        WORKERS,
        ADMIN,
        WATCH,
        SHUTDOWN_TIMEOUT,
        DRAIN_DELAY,
        reload::RELOAD,
        settings::LIMITS,
        MAX_UPSTREAM_CONNECTIONS,
        MAX_CALLOUTS,
        settings::CODE_CACHE,
        STATS_CONFIG,
        settings::SHARING,
        library::PLUGINS,
        SERVICES,
        BOOTSTRAP_EXTENSIONS,
        LISTENERS,
        cluster::CLUSTERS,
    ],
);

const DEFAULT_SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

fn read(root: &Value<'_>) -> Read<Config> {
    foreign::check(root)?;
    let mapping = root.mapping_without(&FILE, &envoy_keys::refused(&[], &[envoy_keys::TOP]))?;
    let scope = Scope { library: library::Library::read(&mapping), clusters: cluster::ClusterNames::read(&mapping) };
    let mut addresses = Unique::new("address");
    let workers = mapping.or(WORKERS, cores(), |number| number.integer(WORKERS.range()));
    let admin = mapping.optional(ADMIN, |admin| admin::read(admin, &mut addresses));
    let watch = mapping.or(WATCH, false, Value::boolean);
    let shutdown_timeout = mapping.or(SHUTDOWN_TIMEOUT, DEFAULT_SHUTDOWN_TIMEOUT, duration::read);
    let drain_delay = mapping.or(DRAIN_DELAY, Duration::ZERO, duration::read);
    let reload = reload::read(&mapping);
    let most = |key: Key| mapping.optional(key, |number| number.integer(key.range()));
    let max_upstream_connections = most(MAX_UPSTREAM_CONNECTIONS);
    let max_callouts = most(MAX_CALLOUTS);
    let settings = settings::read(&mapping);
    let stats_tags = mapping.or(STATS_CONFIG, Vec::new(), stats::read);
    // The latter is Envoy's name for them.
    let services = mapping.at_most_one(&[SERVICES, BOOTSTRAP_EXTENSIONS]).and_then(|services| {
        services.map_or(Ok(Vec::new()), |(_, services)| service::read_all(services, &scope.library))
    });
    let listeners = mapping
        .required(LISTENERS, listener::NO_LISTENER, |listeners| listener::read_all(listeners, &scope, &mut addresses));
    let clusters = mapping.or(cluster::CLUSTERS, Vec::new(), cluster::read_all);
    scope.library.notice_unused(root);
    if let (Some(value), Ok(listeners), Ok(clusters)) = (mapping.get(LISTENERS), &listeners, &clusters) {
        changed::stream_idle(value, listeners, clusters);
    }
    let admin = admin?.unwrap_or_default();
    let Settings { tick_share, code_cache, sharing, .. } = settings?;
    Ok(Config {
        workers: workers? as usize,
        admin: admin.address,
        admin_socket: admin.socket,
        admin_hosts: admin.hosts,
        admin_token: admin.token,
        watch: watch?,
        shutdown_timeout: shutdown_timeout?,
        drain_delay: drain_delay?,
        reload: reload?,
        tick_share,
        max_upstream_connections: max_upstream_connections?.map(|number| number as usize),
        max_callouts: max_callouts?.map(|number| number as usize),
        code_cache,
        stats_tags: stats_tags?,
        sharing,
        services: services?,
        listeners: listeners?,
        clusters: clusters?,
        notices: Vec::new(),
    })
}

fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(1024) as u64)
}
