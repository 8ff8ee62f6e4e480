//! The proxy of a test: Pingora's server, with plugins before a `ProxyHttp`.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pingora_core::apps::HttpServerOptions;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{ErrorSource, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::{FailToProxy, ProxyHttp, Session, http_proxy_service};
use portcullis::PluginSpec;
use portcullis_core::resources::Host;
use portcullis_core::testing::FakeHost;
use portcullis_pingora::{Cluster, Clusters, Options, Plugged, PluginService, RouteInfo, start};
use tokio::sync::Notify;

use crate::http1::{Message, exchange};
use crate::upstream::Upstream;

/// A proxy, its upstream, and what its plugins log.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: Upstream,
    pub(crate) host: FakeHost,
    logged: Arc<Mutex<Vec<String>>>,
    stop: Arc<Notify>,
    steals_work: bool,
}

/// How a proxy is set up.
pub(crate) struct Setup {
    pub(crate) options: Options,
    pub(crate) work_stealing: bool,
    pub(crate) is_http2: bool,
    pub(crate) shards: usize,
    /// The cluster `h2`, over HTTP/2.
    pub(crate) h2: SocketAddr,
}

impl Default for Setup {
    fn default() -> Self {
        Self { options: Options::default(), work_stealing: true, is_http2: false, shards: 2, h2: nobody() }
    }
}

impl Proxy {
    /// Starts a proxy with these plugins.
    pub(crate) fn start(specs: &[PluginSpec]) -> Self {
        Self::with(specs, Setup::default())
    }

    /// Starts one with these options.
    pub(crate) fn optional(specs: &[PluginSpec], options: Options) -> Self {
        Self::with(specs, Setup { options, ..Setup::default() })
    }

    pub(crate) fn with(specs: &[PluginSpec], setup: Setup) -> Self {
        let upstream = Upstream::start();
        Self::before(upstream.clone(), upstream.address, specs, setup)
    }

    /// Starts one before another upstream.
    pub(crate) fn before(upstream: Upstream, target: SocketAddr, specs: &[PluginSpec], setup: Setup) -> Self {
        let begin = Instant::now();
        let host =
            FakeHost::new().with_upstream("auth").with_upstream("gone").with_upstream("busy").with_upstream("h2");
        let peer = |address: SocketAddr| HttpPeer::new(address, false, String::new());
        let gone = nobody();
        let mut h2 = peer(setup.h2);
        h2.options.set_http_version(2, 2);
        let clusters = Clusters::new([
            ("h2", Cluster::new(h2)),
            ("auth", Cluster::new(peer(upstream.address))),
            ("gone", Cluster::new(peer(gone))),
            ("busy", Cluster::new(peer(upstream.address)).with_max_requests(0)),
        ]);
        let hosts = host.clone();
        let make_host = move || Box::new(hosts.clone()) as Box<dyn Host>;
        let plugins =
            start(specs, setup.shards, &clusters, &setup.options, make_host, move |time| begin + time).unwrap();
        let address = free_address();
        let (logged, stop) = (Arc::default(), Arc::new(Notify::new()));
        let inner = Inner { upstream: target, is_http2: setup.is_http2, logged: Arc::clone(&logged) };
        let running = Running(Arc::clone(&stop));
        thread::spawn(move || {
            let conf = ServerConf { threads: 2, work_stealing: setup.work_stealing, ..ServerConf::default() };
            let mut server = Server::new_with_opt_and_conf(None, conf);
            server.bootstrap();
            let service = PluginService::new(plugins.clone(), &server.configuration);
            server.add_service(background_service("plugins", service));
            let plugged = Plugged::new(inner, plugins).with_options(setup.options).with_routes(route);
            let mut service = http_proxy_service(&server.configuration, plugged);
            if let Some(logic) = service.app_logic_mut() {
                let mut options = HttpServerOptions::default();
                options.h2c = setup.is_http2;
                logic.server_options = Some(options);
            }
            service.add_tcp(&address.to_string());
            server.add_service(service);
            server.run(RunArgs { shutdown_signal: Box::new(running) });
        });
        wait_until(|| TcpStream::connect(address).is_ok());
        Self { address, upstream, host, logged, stop, steals_work: setup.work_stealing }
    }

    /// Sends a request on a connection of its own.
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> Message {
        exchange(self.address, request)
    }

    /// Waits until plugins have logged a line so often.
    pub(crate) fn wait_for(&self, line: &str, times: usize) {
        wait_until(|| self.host.messages().iter().filter(|message| message.contains(line)).count() >= times);
    }

    /// Waits until the proxy has logged a request; returns its hooks and the status.
    pub(crate) fn logged(&self) -> String {
        let last = || self.logged.lock().unwrap().last().cloned();
        wait_until(|| last().is_some());
        last().unwrap()
    }
}

/// Names the route of a request by its method, and its cluster by what the proxy knows of it.
fn route(session: &Session, ctx: &Vec<&'static str>) -> RouteInfo {
    let name = session.req_header().method.as_str();
    RouteInfo::default().with_route(name).with_cluster(ctx.join(" ")).with_endpoints(3)
}

/// Returns an address at which nobody listens.
pub(crate) fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], 1).into()
}

/// Returns an address for a proxy. Its port is none that the system gives to a connection or to another test meanwhile.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Waits until something is so, and fails if that takes for ever.
pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 60, "it does not happen");
        thread::park_timeout(Duration::from_millis(2));
    }
}

impl Drop for Proxy {
    /// Ends the server, if it steals work: another one in the same process would find the handles of one that does not and has ended, in
    /// threads that have the ids of its threads (pingora-runtime's `CURRENT_HANDLE`), and accept nothing.
    fn drop(&mut self) {
        if self.steals_work {
            self.stop.notify_one();
        }
    }
}

/// Runs until it is told to stop.
struct Running(Arc<Notify>);

#[async_trait]
impl ShutdownSignalWatch for Running {
    async fn recv(&self) -> ShutdownSignal {
        self.0.notified().await;
        ShutdownSignal::FastShutdown
    }
}

/// The proxy that a user of Pingora has written already.
struct Inner {
    upstream: SocketAddr,
    is_http2: bool,
    logged: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl ProxyHttp for Inner {
    type CTX = Vec<&'static str>;

    fn new_ctx(&self) -> Self::CTX {
        Vec::new()
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        ctx.push("peer");
        let mut peer = HttpPeer::new(self.upstream, false, String::new());
        if self.is_http2 {
            peer.options.set_http_version(2, 2);
        }
        Ok(Box::new(peer))
    }

    async fn early_request_filter(&self, _: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        ctx.push("early");
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        ctx.push("request");
        if session.req_header().uri.path() != "/own" {
            return Ok(false);
        }
        let mut head = ResponseHeader::build(200, None)?;
        head.insert_header("content-length", 3)?;
        session.write_response_header(Box::new(head), false).await?;
        session.write_response_body(Some("own".into()), true).await?;
        Ok(true)
    }

    /// Allows another attempt where Pingora would for a connection that was kept.
    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        _: &mut Session,
        mut error: Box<pingora_core::Error>,
        _: &mut Self::CTX,
        _: bool,
    ) -> Box<pingora_core::Error> {
        error.set_retry(true);
        error
    }

    /// Writes an error page through the session, as proxies with pages of their own do.
    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora_core::Error,
        _: &mut Self::CTX,
    ) -> FailToProxy {
        let error_code = if *error.esource() == ErrorSource::Upstream { 502 } else { 500 };
        if session.response_written().is_none() {
            let mut page = ResponseHeader::build(error_code, None).unwrap();
            page.insert_header("content-length", 4).unwrap();
            let _ = session.write_response_header(Box::new(page), false).await;
            let _ = session.write_response_body(Some("page".into()), true).await;
        }
        FailToProxy { error_code, can_reuse_downstream: false }
    }

    async fn response_filter(&self, _: &mut Session, head: &mut ResponseHeader, ctx: &mut Self::CTX) -> Result<()> {
        ctx.push("response");
        head.insert_header("x-inner", "1")
    }

    async fn logging(&self, session: &mut Session, error: Option<&pingora_core::Error>, ctx: &mut Self::CTX) {
        let status = session.response_written().map_or(0, |head| head.status.as_u16());
        let error = if error.is_some() { " error" } else { "" };
        self.logged.lock().unwrap().push(format!("{} {status}{error}", ctx.join(" ")));
    }
}
