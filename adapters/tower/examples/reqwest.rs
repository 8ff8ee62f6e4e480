//! A reverse proxy behind a plugin: reqwest sends requests to the upstream, and the callouts of plugins.
//!
//! `cargo run -p portcullis-tower --example reqwest [PLUGIN.wasm [ADDRESS [UPSTREAM]]]`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use http::Uri;
use portcullis::engine::EngineSettings;
use portcullis::model::Plugin;
use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost};
use portcullis_tower::{ConnectionInfo, PluginLayer, QueueBody, ServiceUpstreams, Workers};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt, service_fn};

fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // plugins: begin
    runtime.thread_stack_size(4 << 20);
    // plugins: end
    runtime.enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let plugin = args.next().unwrap_or_else(|| "guests/wasm/header_tour.wasm".to_owned());
    let address = args.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let upstream = args.next().unwrap_or_else(|| "http://127.0.0.1:8000".to_owned());
    serve(TcpListener::bind(address).await?, &plugin, &upstream).await
}

pub(crate) async fn serve(listener: TcpListener, plugin: &str, upstream: &str) -> Result<(), Box<dyn Error>> {
    // A proxy passes redirects on.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let send = service_fn(move |request: http::Request<QueueBody>| {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap));
        let answer = request.map(|request| client.execute(request));
        async move { Ok::<_, reqwest::Error>(http::Response::from(answer?.await?)) }
    });
    let base: Uri = upstream.parse()?;
    let proxy = send.clone().map_request(move |mut request: http::Request<QueueBody>| {
        *request.uri_mut() = at(&base, request.uri());
        // What this client speaks, whatever its own client does.
        *request.version_mut() = http::Version::HTTP_11;
        request
    });

    // plugins: begin
    let module = Module::load(&DefaultEngine::new(&EngineSettings::default())?, std::fs::read(plugin)?.into())?;
    let specs = [PluginSpec::new(Plugin::new("example"), Arc::new(module))];
    let upstreams = ServiceUpstreams::new(send).with("auth", "http://127.0.0.1:9000".parse()?);
    let host = SystemHost::new(|line| println!("{}", String::from_utf8_lossy(line.message)));
    let host = host.with_upstreams(upstreams.names().map(str::to_owned));
    let plugins = Workers::new(host, upstreams).start(&specs)?;
    tokio::spawn(plugins.clone().run());
    let app = Router::new().fallback_service(PluginLayer::new(plugins).layer(proxy)).layer(map_request(describe));
    // plugins: end

    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

/// Returns the target of a request at the upstream.
fn at(base: &Uri, target: &Uri) -> Uri {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = target.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

// plugins: begin
/// Tells plugins where a request comes from.
async fn describe(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectionInfo::new(client));
    request
}
// plugins: end
