//! A hyper server behind a plugin, with upgrades and CONNECT.
//!
//! `cargo run -p portcullis-tower --example hyper [PLUGIN.wasm [ADDRESS]]`

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
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
    serve(TcpListener::bind(address).await?, &plugin).await
}

pub(crate) async fn serve(listener: TcpListener, plugin: &str) -> Result<(), Box<dyn Error>> {
    let app = service_fn(|request: Request<QueueBody>| async move {
        let text = format!("Hello from hyper at {}\n", request.uri());
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    });

    // plugins: begin
    let module = Module::load(&DefaultEngine::new(&EngineSettings::default())?, std::fs::read(plugin)?.into())?;
    let specs = [PluginSpec::new(Plugin::new("example"), Arc::new(module))];
    let client = Client::builder(TokioExecutor::new()).build_http();
    let upstreams = ServiceUpstreams::new(client).with("auth", "http://127.0.0.1:9000".parse()?);
    let host = SystemHost::new(|line| println!("{}", String::from_utf8_lossy(line.message)));
    let host = host.with_upstreams(upstreams.names().map(str::to_owned));
    let plugins = Workers::new(host, upstreams).start(&specs)?;
    tokio::spawn(plugins.clone().run());
    let app = PluginLayer::new(plugins).layer(app);
    // plugins: end

    loop {
        let (socket, client) = listener.accept().await?;
        // plugins: begin
        let connection = ConnectionInfo::new(client).with_destination(socket.local_addr()?);
        let app = app.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            request
        });
        // plugins: end
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(app);
            if let Err(error) = server.serve_connection_with_upgrades(TokioIo::new(socket), service).await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
}
