//! The host that the conformance kit examines: a proxy with the kit's probes before it.
//!
//! `cargo run --example pingora_kit -- FOLDER PORT [stream]`: the folder is what `portcullis-conformance setup plugins --dir FOLDER` has
//! written, and the port the kit's `--base-port`, of which the first two are this host's and the fifth is the kit's upstream. With
//! `stream`, no head waits for its body.

use std::error::Error;

use async_trait::async_trait;
use pingora_core::server::{Server, configuration::ServerConf};
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use portcullis::{SystemHost, resources::Host, system::SystemClock};
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_pingora::{BodyMode, Cluster, Clusters, Options, Plugged, PluginService, RouteInfo, start};

/// The versions of the ABI, by port.
const VERSIONS: [&str; 2] = ["0.2.1", "0.1.0"];

struct Proxy(HttpPeer);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();
    fn new_ctx(&self) {}

    /// Adds the fields that the gateway and Envoy add, before plugins see the request.
    async fn early_request_filter(&self, session: &mut Session, _: &mut ()) -> pingora_core::Result<()> {
        let head = session.req_header_mut();
        head.insert_header("x-forwarded-proto", "http")?;
        head.insert_header("x-forwarded-for", "127.0.0.1")?;
        head.insert_header("x-request-id", "0b7e4f80-7d2c-4c8a-9d4e-5a1c9f0e2b11")
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [folder, port, rest @ ..] = &args[..] else { return Err("pingora_kit FOLDER PORT [stream]".into()) };
    let mode = if rest.is_empty() { BodyMode::Buffer } else { BodyMode::Stream };
    let options = Options::default().with_request_body(mode).with_response_body(mode);
    let first: u16 = port.parse()?;
    // Over HTTP/1 Pingora would see no trailers of responses.
    let mut peer = HttpPeer::new(("127.0.0.1", first + 4), false, String::new());
    peer.options.set_http_version(2, 2);
    let clusters = Clusters::new([("auth", Cluster::new(peer.clone()))]);

    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads: 1, ..ServerConf::default() });
    server.bootstrap();
    for (abi, port) in VERSIONS.into_iter().zip(first..) {
        let host = SystemHost::new(|_| ()).with_upstreams(["auth".to_owned()]);
        let (host, clock) = (move || Box::new(host.clone()) as Box<dyn Host>, SystemClock::new());
        let file = PluginsFile::read(format!("{folder}/plugins-{abi}.yaml"))?;
        let loaded = file.load(&LoadOptions::default(), &host)?;
        let plugins = start(loaded.specs(), 1, &clusters, &options, host, move |time| clock.instant(time))?;
        server.add_service(background_service(abi, PluginService::new(plugins.clone(), &server.configuration)));
        let plugged = Plugged::new(Proxy(peer.clone()), plugins)
            .with_options(options)
            .with_routes(|_, _| RouteInfo::default().with_route("every").with_cluster("auth").with_endpoints(1));
        let mut service = http_proxy_service(&server.configuration, plugged);
        service.add_tcp(&format!("127.0.0.1:{port}"));
        server.add_service(service);
    }
    server.run_forever()
}
