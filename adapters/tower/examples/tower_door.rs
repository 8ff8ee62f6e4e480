//! A reverse proxy behind a plugin of a file, with the plugin's rights: `examples/doors` runs it.
//!
//! `cargo run -p portcullis-tower --example tower_door PLUGINS.yaml NAME LISTEN UPSTREAM`, addresses as `127.0.0.1:8080`. The upstream gets
//! the callouts to `auth`, too.

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use http::Uri;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::SystemHost;
use portcullis::resources::Host;
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_tower::{ConnectionInfo, PluginLayer, QueueBody, ServiceUpstreams, Workers};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

const USAGE: &str = "tower_door PLUGINS.yaml NAME LISTEN UPSTREAM";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or(USAGE);
    let (file, name, listen, upstream) = (next()?, next()?, next()?, next()?);
    let upstream: Uri = format!("http://{upstream}").parse()?;

    let client = Client::builder(TokioExecutor::new()).build_http::<QueueBody>();
    let upstreams = ServiceUpstreams::new(client.clone()).with("auth", upstream.clone());
    let host = SystemHost::new(|line| {
        let plugin = line.plugin.map_or("", |plugin| &plugin.name);
        eprintln!("{plugin}: {}", String::from_utf8_lossy(line.message));
    });
    let host = host.with_upstreams(upstreams.names().map(str::to_owned));

    let file = PluginsFile::read(&file)?;
    let new_host = host.clone();
    let loaded = file.load(&LoadOptions::default(), &move || Box::new(new_host.clone()) as Box<dyn Host>)?;
    let spec = loaded.spec(&name).ok_or_else(|| format!("there is no plugin {name:?}"))?;
    let plugins = Workers::new(host, upstreams).start(std::slice::from_ref(spec))?;
    tokio::spawn(plugins.clone().run());

    let proxy = client.map_request(move |mut request: http::Request<QueueBody>| {
        let mut target = upstream.clone().into_parts();
        target.path_and_query = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
        request
    });
    let app = Router::new().fallback_service(PluginLayer::new(plugins).layer(proxy)).layer(map_request(describe));
    let listener = TcpListener::bind(listen).await?;
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Tells plugins where a request comes from.
async fn describe(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectionInfo::new(client));
    request
}
