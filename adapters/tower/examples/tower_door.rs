//! A reverse proxy behind a plugin of a file, with the plugin's rights: `examples/doors` runs it, and `benches/run doors`.
//!
//! `cargo run -p portcullis-tower --example tower_door PLUGINS.yaml NAME LISTEN UPSTREAM`, addresses as `127.0.0.1:8080`. The upstream gets
//! the callouts to `auth`, too. Without a plugin, for comparison, if NAME is `-`. It has a thread for each CPU that it may use.

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::SystemHost;
use portcullis::resources::Host;
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_tower::{ConnectionInfo, PluginLayer, QueueBody, ServiceUpstreams, Workers};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

const USAGE: &str = "tower_door PLUGINS.yaml NAME LISTEN UPSTREAM";

fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.thread_stack_size(4 << 20).enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut next = || args.next().ok_or(USAGE);
    let (file, name, listen, upstream) = (next()?, next()?, next()?, next()?);
    let upstream: Uri = format!("http://{upstream}").parse()?;
    let listener = TcpListener::bind(listen).await?;
    if name == "-" {
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let proxy = move |request| async move {
            let response = client.request(towards(&upstream, request)).await;
            response.map_or_else(|_| StatusCode::BAD_GATEWAY.into_response(), IntoResponse::into_response)
        };
        axum::serve(listener, Router::new().fallback(proxy)).await?;
        return Ok(());
    }

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

    let proxy = client.map_request(move |request| towards(&upstream, request));
    let app = Router::new().fallback_service(PluginLayer::new(plugins).layer(proxy)).layer(map_request(describe));
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Sends a request to the upstream.
fn towards<B>(upstream: &Uri, mut request: http::Request<B>) -> http::Request<B> {
    let mut target = upstream.clone().into_parts();
    target.path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    request
}

/// Tells plugins where a request comes from.
async fn describe(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectionInfo::new(client));
    request
}
