//! axum behind a plugin, whose callouts go out by hyper's client.
//!
//! `cargo run -p portcullis-tower --example axum [PLUGIN.wasm [ADDRESS]]`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::routing::{get, post};
use axum::{Router, body::Bytes};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use portcullis::engine::EngineSettings;
use portcullis::model::Plugin;
use portcullis::{DefaultEngine, Module, PluginSpec, SystemHost};
use portcullis_tower::{ConnectionInfo, PluginLayer, ServiceUpstreams, Workers};
use tokio::net::TcpListener;
use tower::Layer;

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
    serve(TcpListener::bind(address).await?, &plugin).await
}

pub(crate) async fn serve(listener: TcpListener, plugin: &str) -> Result<(), Box<dyn Error>> {
    let app = Router::new()
        .route("/", get(|| async { "Hello from axum\n" }))
        .route("/echo", post(|body: Bytes| async move { body }));

    // plugins: begin
    let module = Module::load(&DefaultEngine::new(&EngineSettings::default())?, std::fs::read(plugin)?.into())?;
    let specs = [PluginSpec::new(Plugin::new("example"), Arc::new(module))];
    let client = Client::builder(TokioExecutor::new()).build_http();
    let upstreams = ServiceUpstreams::new(client).with("auth", "http://127.0.0.1:9000".parse()?);
    let host = SystemHost::new(|line| println!("{}", String::from_utf8_lossy(line.message)));
    let host = host.with_upstreams(upstreams.names().map(str::to_owned));
    let plugins = Workers::new(host, upstreams).start(&specs)?;
    tokio::spawn(plugins.clone().run());
    let app = Router::new().fallback_service(PluginLayer::new(plugins).layer(app)).layer(map_request(describe));
    // plugins: end

    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

// plugins: begin
/// Tells plugins where a request comes from.
async fn describe(ConnectInfo(client): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(ConnectionInfo::new(client));
    request
}
// plugins: end
