//! A proxy with the plugins of a file: `cargo run --example proxy -- LISTEN UPSTREAM PLUGINS.yaml`, addresses as `127.0.0.1:8080`.

use std::error::Error;

use async_trait::async_trait;
use pingora_core::server::{Server, configuration::ServerConf};
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use portcullis::{SystemHost, resources::Host, system::SystemClock};
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_pingora::{Cluster, Clusters, Options, Plugged, PluginService, start};

struct Proxy(HttpPeer);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();
    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(self.0.clone()))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or("LISTEN UPSTREAM PLUGINS.yaml");
    let (listen, upstream, file) = (next()?, next()?.parse::<std::net::SocketAddr>()?, next()?);
    let peer = HttpPeer::new(upstream, false, String::new());

    let options = Options::default();
    let clusters = Clusters::new([("auth", Cluster::new(peer.clone()))]);
    let host = SystemHost::new(|line| eprintln!("{}", String::from_utf8_lossy(line.message)));
    let (host, clock) = (host.with_upstreams(["auth".to_owned()]), SystemClock::new());
    let host = move || Box::new(host.clone()) as Box<dyn Host>;
    let loaded = PluginsFile::read(file)?.load(&LoadOptions::default(), &host)?;
    let plugins = start(loaded.specs(), 2, &clusters, &options, host, move |time| clock.instant(time))?;

    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads: 2, ..ServerConf::default() });
    server.bootstrap();
    server.add_service(background_service("plugins", PluginService::new(plugins.clone(), &server.configuration)));
    let mut service = http_proxy_service(&server.configuration, Plugged::new(Proxy(peer), plugins));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
