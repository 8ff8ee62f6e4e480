//! The host that the conformance kit examines: a reverse proxy of hyper's server and client, with the kit's probes between them.
//!
//! `cargo run -p portcullis-tower --example tower_kit -- FOLDER PORT`: the folder is what `portcullis-conformance setup plugins --dir FOLDER`
//! has written, and the port the kit's `--base-port`, of which the first two are this host's and the fifth is the kit's upstream.

use std::convert::Infallible;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{HttpConnector, HttpInfo};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use portcullis::SystemHost;
use portcullis::abi::LogLevel;
use portcullis::resources::Host;
use portcullis_config::{LoadOptions, PluginsFile};
use portcullis_tower::{ConnectionInfo, PluginLayer, QueueBody, ServiceUpstreams, UpstreamInfo, Workers};
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};

/// The versions of the ABI, by port.
const VERSIONS: [&str; 2] = ["0.2.1", "0.1.0"];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [folder, port] = &args[..] else { return Err("tower_kit FOLDER PORT".into()) };
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let first: u16 = port.parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(4 << 20).build()?;
    runtime.block_on(async {
        let mut hosts = Vec::new();
        for (abi, port) in VERSIONS.into_iter().zip(first..) {
            let file = format!("{folder}/plugins-{abi}.yaml");
            hosts.push(serve(TcpListener::bind(at(port)).await?, file, at(first + 4)));
        }
        futures_util::future::try_join_all(hosts).await?;
        Ok(())
    })
}

/// Serves a listener whose requests pass the plugins of a file on their way to the upstream, which has their callouts, too.
async fn serve(listener: TcpListener, file: String, upstream: SocketAddr) -> Result<Infallible, Box<dyn Error>> {
    // Over HTTP/1.1 hyper's client would send no trailers that the request has not announced.
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http::<QueueBody>();
    let upstreams = ServiceUpstreams::new(client.clone()).with_http2("auth", format!("http://{upstream}").parse()?);
    let host = SystemHost::new(|_| ()).with_level(LogLevel::Trace).with_upstreams(["auth".to_owned()]);
    let new_host = host.clone();
    let loaded =
        PluginsFile::read(file)?.load(&LoadOptions::default(), &move || Box::new(new_host.clone()) as Box<dyn Host>)?;
    let plugins = Workers::new(host, upstreams).with_count(1).start(loaded.specs())?;
    tokio::spawn(plugins.clone().run());
    let proxy = PluginLayer::new(plugins).layer(proxy(client, upstream));
    for id in 1.. {
        let (socket, peer) = listener.accept().await?;
        let connection = ConnectionInfo::new(peer).with_destination(socket.local_addr()?).with_id(id);
        let proxy = proxy.clone().map_request(move |request| describe(request, &connection));
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let served = server.serve_connection_with_upgrades(TokioIo::new(socket), TowerToHyperService::new(proxy));
            if let Err(error) = served.await {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Err("there are no more numbers for connections".into())
}

/// Says what a proxy in front of plugins knows of a request, and adds the fields that the gateway and Envoy add.
fn describe(mut request: Request<Incoming>, connection: &ConnectionInfo) -> Request<Incoming> {
    let place = UpstreamInfo::default().with_route("every").with_cluster("auth").with_endpoints(1);
    request.extensions_mut().insert(connection.clone());
    request.extensions_mut().insert(place);
    for (name, value) in [
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-request-id", "0b7e4f80-7d2c-4c8a-9d4e-5a1c9f0e2b11"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request
}

/// Sends requests to the upstream, and says where their responses come from.
fn proxy(
    client: Client<HttpConnector, QueueBody>,
    upstream: SocketAddr,
) -> impl tower::Service<Request<QueueBody>, Response = Response<Incoming>, Error = ClientError, Future: Send + 'static>
+ Clone
+ Send
+ 'static {
    client
        .map_request(move |mut request: Request<QueueBody>| {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            // What plugins have left is a path.
            *request.uri_mut() = format!("http://{upstream}{path}").parse().unwrap_or_default();
            request.headers_mut().remove(header::HOST);
            request.headers_mut().remove(header::TRANSFER_ENCODING);
            *request.version_mut() = Version::HTTP_2;
            request
        })
        .map_response(|mut response| {
            if let Some(info) = response.extensions().get::<HttpInfo>().cloned() {
                let place = UpstreamInfo::default()
                    .with_addresses(info.remote_addr(), info.local_addr())
                    .with_ready_after(Duration::from_micros(1));
                response.extensions_mut().insert(place);
            }
            response
        })
}
