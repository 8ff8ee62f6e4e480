//! The host that the conformance kit examines: `cargo run --example kit -- LISTEN UPSTREAM FOLDER [stream]`, where the folder is
//! what `portcullis-conformance setup other --dir FOLDER` has written. The kit serves the upstream.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::{Server, configuration::ServerConf};
use pingora_core::services::background::background_service;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use portcullis::engine::EngineSettings;
use portcullis::model::Plugin;
use portcullis::resources::Host;
use portcullis::sandbox::VmSpec;
use portcullis::system::SystemClock;
use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost};
use portcullis_pingora::{BodyMode, Cluster, Clusters, Options, Plugged, PluginService, start};

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
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [listen, upstream, folder, rest @ ..] = &args[..] else { return Err("LISTEN UPSTREAM FOLDER [stream]".into()) };
    let mode = if rest.is_empty() { BodyMode::Buffer } else { BodyMode::Stream };
    let options = Options::default().with_request_body(mode).with_response_body(mode);

    let read = |name: &str| std::fs::read(Path::new(folder).join(name));
    let module = Module::load(&DefaultEngine::new(&EngineSettings::default())?, read("probe-0.2.1.wasm")?.into())?;
    let vm = VmSpec::default()
        .with_configuration(read("vm_configuration-0.2.1.txt")?)
        .with_environment(vec![("K".to_owned(), "v".to_owned())]);
    let spec = PluginSpec::new(Plugin::new("test").with_configuration("{}"), Arc::new(module)).with_vm(vm);
    // Over HTTP/1 Pingora would see no trailers of responses.
    let mut peer = HttpPeer::new(upstream.as_str(), false, String::new());
    peer.options.set_http_version(2, 2);
    let clusters = Clusters::new([("auth", Cluster::new(peer.clone()))]);
    let host = SystemHost::new(|_| ()).with_upstreams(["auth".to_owned()]);
    let (host, clock) = (move || Box::new(host.clone()) as Box<dyn Host>, SystemClock::new());
    let plugins = start(&[spec], 1, &clusters, &options, host, move |time| clock.instant(time))?;

    let mut server = Server::new_with_opt_and_conf(None, ServerConf { threads: 1, ..ServerConf::default() });
    server.bootstrap();
    server.add_service(background_service("plugins", PluginService::new(plugins.clone(), &server.configuration)));
    let plugged = Plugged::new(Proxy(peer), plugins).with_options(options);
    let mut service = http_proxy_service(&server.configuration, plugged);
    service.add_tcp(listen);
    server.add_service(service);
    server.run_forever()
}
