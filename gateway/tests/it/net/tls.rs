//! TLS from clients.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use portcullis_gateway::net::exec::LocalExec;
use portcullis_gateway::net::io::{ConnectionInfo, Stream};
use portcullis_gateway::net::listen::{Listener, bind};
use portcullis_gateway::net::tls;
use serde_json::Value;
use tokio::task::spawn_local;

use crate::net::harness::{LOOPBACK, get, local, serve_echo};

#[test]
fn tls_settles_the_protocol_and_serves() {
    local(async {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = std::env::temp_dir().join(format!("portcullis-net-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let config = tls::server_config(&cert, &key).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();

        for (offered, settled) in
            [(vec!["h2", "http/1.1"], Some("h2")), (vec!["http/1.1"], Some("http/1.1")), (vec![], None)]
        {
            let listener = Listener::from_std(bind(LOOPBACK).unwrap()).unwrap();
            let address = listener.local_addr();
            let config = Arc::clone(&config);
            let server = spawn_local(async move {
                let (tcp, _) = listener.accept().await;
                let stream = Stream::accept_tls(tcp, config, std::time::Duration::from_secs(10)).await.unwrap();
                let client = stream.info().unwrap();
                spawn_local(serve_echo(stream.into_hyper()));
                client
            });
            let tls = tls_client(address, made.cert.der().clone(), &offered).await;
            let (version, response) = ask(tls, settled == Some("h2")).await;
            assert_eq!(response["version"], version);

            let ConnectionInfo { peer, local, tls } = server.await.unwrap();
            let tls = tls.unwrap();
            assert_eq!(local, address);
            assert!(peer.ip().is_loopback());
            assert_eq!(tls.alpn.as_deref(), settled);
            assert_eq!(tls.sni.as_deref(), Some("localhost"));
            assert_eq!(tls.version, "TLSv1.3");
        }
    });
}

type TlsClient = TokioIo<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>;

async fn tls_client(
    address: SocketAddr,
    trusted: rustls::pki_types::CertificateDer<'static>,
    offered: &[&str],
) -> TlsClient {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    TokioIo::new(connector.connect(name, tcp).await.unwrap())
}

async fn ask(io: TlsClient, h2: bool) -> (&'static str, Value) {
    let mut request = get("/");
    let (version, response) = if h2 {
        *request.uri_mut() = "https://localhost/".parse().unwrap();
        let (mut sender, driver) = hyper::client::conn::http2::handshake(LocalExec, io).await.unwrap();
        spawn_local(driver);
        ("HTTP/2.0", sender.send_request(request).await)
    } else {
        let (mut sender, driver) = hyper::client::conn::http1::handshake(io).await.unwrap();
        spawn_local(driver);
        ("HTTP/1.1", sender.send_request(request).await)
    };
    let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
    (version, serde_json::from_slice(&body).unwrap())
}
