//! The gateway, in this process.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use portcullis_gateway::config::Config;
use portcullis_gateway::serve::generation::{Cancel, Held, Reload, Reloaded};
use portcullis_gateway::serve::server::{Gateway, Running};

use super::{Client, Upstream, get};

/// The engine that runs all plugins of these tests, instead of the default one.
const ENGINE: &str = "PORTCULLIS_TEST_ENGINE";

/// A gateway that serves.
pub(crate) struct Gate {
    pub(crate) running: Running,
}

/// A configuration with one listener; `backend` is the upstream of the last route, which takes all.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    workers: usize,
    listener: String,
    plugins: String,
    routes: String,
    backend: String,
    clusters: String,
}

/// Asks an admin interface, which answers to names of loopback.
pub(crate) async fn ask_admin(address: SocketAddr, path: &str) -> super::Answer {
    let mut request = get(path);
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    Client::h1(address).await.ask(request).await
}

/// The path of a built guest.
pub(crate) fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../guests/wasm/{name}.wasm"))
}

/// The folder of what this process has compiled, so that each plugin is compiled once.
fn compiled() -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
        // What an earlier process left may be of an engine that was another one then.
        let _ = std::fs::remove_dir_all(&folder);
        folder
    });
    FOLDER.clone()
}

/// The engine that plugins run on which name none.
pub(crate) fn engine() -> String {
    std::env::var(ENGINE).unwrap_or_else(|_| portcullis::engine::all()[0].name.to_owned())
}

impl Setup {
    /// In front of the built-in echo.
    pub(crate) fn echo() -> Self {
        Self { workers: 1, backend: "echo: {}".to_owned(), ..Self::default() }
    }

    /// In front of an upstream.
    pub(crate) fn to(upstream: &Upstream) -> Self {
        Self::to_address(upstream.address)
    }

    /// In front of whatever is there.
    pub(crate) fn to_address(address: SocketAddr) -> Self {
        Self { backend: format!("endpoints: [{address}]"), ..Self::echo() }
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Adds a plugin to the listener's chain.
    pub(crate) fn plugin(mut self, name: &str, code: &Path, more: &str) -> Self {
        writeln!(self.plugins, "      - {}", Self::plugin_entry(name, code, more)).unwrap();
        self
    }

    /// Adds a plugin to the listener's chain, as it stands there.
    pub(crate) fn chain_entry(mut self, entry: &str) -> Self {
        writeln!(self.plugins, "      - {entry}").unwrap();
        self
    }

    /// A plugin as it stands in a chain.
    pub(crate) fn plugin_entry(name: &str, code: &Path, more: &str) -> String {
        format!(
            "{{name: {name}, vm_config: {{code: {{local: {{filename: {:?}}}}}}}, {more}}}",
            code.display().to_string()
        )
    }

    /// Adds a key to the listener.
    pub(crate) fn listener(mut self, key: &str) -> Self {
        writeln!(self.listener, "    {key}").unwrap();
        self
    }

    /// Adds a route before the last one.
    pub(crate) fn route(mut self, route: &str) -> Self {
        writeln!(self.routes, "      - {{{route}}}").unwrap();
        self
    }

    /// Adds a key to the upstream.
    pub(crate) fn backend(mut self, key: &str) -> Self {
        write!(self.backend, ", {key}").unwrap();
        self
    }

    /// Adds a cluster.
    pub(crate) fn cluster(mut self, name: &str, keys: &str) -> Self {
        writeln!(self.clusters, "  - {{name: {name}, {keys}}}").unwrap();
        self
    }

    /// The file.
    pub(crate) fn text(&self) -> String {
        let Self { workers, listener, plugins, routes, backend, clusters } = self;
        let plugins = if plugins.is_empty() { String::new() } else { format!("    plugins:\n{plugins}") };
        format!(
            "workers: {workers}\nadmin: 127.0.0.1:0\nshutdown_timeout: 5s\n\
             listeners:\n  - address: 127.0.0.1:0\n{listener}{plugins}    routes:\n{routes}      - {{cluster: backend}}\n\
             clusters:\n  - {{name: backend, {backend}}}\n{clusters}"
        )
    }

    /// Starts it, with what this process has compiled already.
    pub(crate) fn start(&self) -> Gate {
        Gate::start(&self.with_cache())
    }

    fn with_cache(&self) -> String {
        format!("{}code_cache: {:?}\n", self.text(), compiled().display().to_string())
    }

    /// Why it does not start.
    pub(crate) fn refusal(&self) -> String {
        match Gate::try_start(&self.text()) {
            Ok(_) => panic!("it started"),
            Err(error) => error,
        }
    }
}

impl Gate {
    pub(crate) fn start(text: &str) -> Self {
        Self::try_start(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn try_start(text: &str) -> Result<Self, String> {
        let config = Config::parse("gateway.yaml", text).map_err(|error| error.to_string())?;
        let engine = std::env::var(ENGINE).ok();
        let gateway = Gateway::prepare_on(config, engine.as_deref()).map_err(|error| error.to_string())?;
        Ok(Self { running: gateway.serve().map_err(|error| error.to_string())? })
    }

    /// Serves another configuration from now on.
    pub(crate) async fn reload(&self, setup: &Setup) -> Result<Reloaded, String> {
        self.reload_text(&setup.with_cache()).await
    }

    /// Serves another file from now on.
    pub(crate) async fn reload_text(&self, text: &str) -> Result<Reloaded, String> {
        let config = Config::parse("gateway.yaml", text).map_err(|error| error.to_string())?;
        let reloader = self.running.reloader();
        let reloading = tokio::task::spawn_blocking(move || reloader.reload(config, &Cancel::default()));
        super::within(reloading).await.unwrap().map_err(|error| error.to_string())
    }

    /// Returns the generations that live.
    pub(crate) fn held(&self) -> Vec<Held> {
        self.running.reloader().generations()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.addresses[0]
    }

    pub(crate) async fn h1(&self) -> Client {
        Client::h1(self.address()).await
    }

    pub(crate) async fn h2(&self) -> Client {
        Client::h2(self.address()).await
    }

    /// Returns an answer of the admin interface.
    pub(crate) async fn admin(&self, path: &str) -> super::Answer {
        ask_admin(self.running.admin.unwrap(), path).await
    }

    /// A metric, 0 if it is not there. `line` is its name and labels.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        let metrics = self.admin("/metrics").await;
        let value = metrics.text().lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// Stops it from another thread, so that the test can go on meanwhile.
    pub(crate) fn stop(mut self) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || self.running.stop())
    }
}
