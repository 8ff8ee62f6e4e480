//! A reverse proxy behind a plugin of a file, with the plugin's rights: `examples/doors` runs it, and `benches/run doors`.
//!
//! `cargo run --example pingora_door PLUGINS.yaml NAME LISTEN UPSTREAM`, addresses as `127.0.0.1:8080`. The upstream gets the callouts to
//! `auth`, too. Without a plugin, for comparison, if NAME is `-`. It has a thread for each CPU that it may use.

use std::error::Error;

use async_trait::async_trait;
use pingora_core::server::{Server, configuration::ServerConf};
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use portcullis::{SystemHost, resources::Host, system::SystemClock};
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_pingora::{Cluster, Clusters, Options, Plugged, PluginService, start};

const USAGE: &str = "pingora_door PLUGINS.yaml NAME LISTEN UPSTREAM";

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
    let mut next = || args.next().ok_or(USAGE);
    let (file, name, listen, upstream) = (next()?, next()?, next()?, next()?.parse::<std::net::SocketAddr>()?);
    let peer = HttpPeer::new(upstream, false, String::new());
    let threads = std::thread::available_parallelism()?.get();
    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads, ..ServerConf::default() });
    server.bootstrap();
    if name == "-" {
        let mut service = http_proxy_service(&server.configuration, Proxy(peer));
        service.add_tcp(&listen);
        server.add_service(service);
        server.run_forever()
    }

    let host = SystemHost::new(|line| {
        let plugin = line.plugin.map_or("", |plugin| &plugin.name);
        eprintln!("{plugin}: {}", String::from_utf8_lossy(line.message));
    });
    let (host, clock) = (host.with_upstreams(["auth".to_owned()]), SystemClock::new());
    let host = move || Box::new(host.clone()) as Box<dyn Host>;
    let loaded = PluginsFile::read(&file)?.load(&LoadOptions::default(), &host)?;
    let spec = loaded.spec(&name).ok_or_else(|| format!("there is no plugin {name:?}"))?;
    let clusters = Clusters::new([("auth", Cluster::new(peer.clone()))]);
    let specs = std::slice::from_ref(spec);
    let plugins = start(specs, threads, &clusters, &Options::default(), host, move |time| clock.instant(time))?;
    server.add_service(background_service("plugins", PluginService::new(plugins.clone(), &server.configuration)));
    let mut service = http_proxy_service(&server.configuration, Plugged::new(Proxy(peer), plugins));
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever()
}
