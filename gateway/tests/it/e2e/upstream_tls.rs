//! TLS with upstreams, between real sockets, with servers of the tests' own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portcullis_gateway::upstream::echo::echo;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::e2e::harness::{Gate, Setup, get, logs, run, within};

/// An authority, whose certificate is in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    file: PathBuf,
}

/// A certificate of an authority, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: (PathBuf, PathBuf),
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.ca.pem"));
        std::fs::write(&file, made.pem()).unwrap();
        Self { certificate: made.der().clone(), issuer: Issuer::new(params, key), file }
    }

    fn issue(&self, name: &str, is_expired: bool) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        if is_expired {
            (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        let base = self.file.with_extension(name);
        let files = (base.with_extension("cert.pem"), base.with_extension("key.pem"));
        std::fs::write(&files.0, made.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity { chain: vec![made.der().clone()], key, files }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

/// A server with TLS that answers with the request, or with the same bytes.
struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Serves requests. Clients need a certificate of `clients`, if it is given.
    async fn new(identity: &Identity, alpn: &[&str], clients: Option<&Authority>) -> Self {
        Self::start(identity, alpn, clients, true, rustls::ALL_VERSIONS).await
    }

    async fn start(
        identity: &Identity,
        alpn: &[&str],
        clients: Option<&Authority>,
        is_http: bool,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
        let builder = match clients {
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build().unwrap();
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(identity.chain.clone(), identity.key.clone_key()).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(acceptor.clone(), tcp, is_http));
            }
        });
        Self { address, accepted }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, is_http: bool) {
    let mut tls = match acceptor.accept(tcp).into_fallible().await {
        Ok(tls) => tls,
        Err((_, mut tcp)) => {
            // A socket that is closed with something unread resets the connection, and takes the alert back.
            let _ = tcp.shutdown().await;
            let _ = tcp.read_to_end(&mut Vec::new()).await;
            return;
        }
    };
    if is_http {
        let service = service_fn(|request| async { Ok::<_, Infallible>(echo(request).await) });
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tls), service).await;
        return;
    }
    let mut data = Vec::new();
    if tls.read_to_end(&mut data).await.is_ok() {
        let _ = tls.write_all(&data).await;
        let _ = tls.shutdown().await;
    }
}

/// A gateway in front of a server, of which TLS says `keys`.
fn gate(server: &Server, cluster: &str, protocol: &str, roots: &Authority, keys: &str) -> Gate {
    setup(server.address, cluster, protocol, &format!("roots: {:?}, {keys}", roots.file.display())).start()
}

fn setup(address: SocketAddr, cluster: &str, protocol: &str, tls: &str) -> Setup {
    let keys = format!("endpoints: [{address}], protocol: {protocol}, tls: {{{tls}}}");
    Setup::echo().cluster(cluster, &keys).route(&format!("match: {{prefix: /}}, cluster: {cluster}"))
}

#[test]
fn the_protocol_is_what_both_agree_to() {
    run(async {
        let authority = Authority::new("agreed");
        let identity = authority.issue("a.test", false);
        for (protocol, alpn, version) in [
            ("http1", &["h2", "http/1.1"][..], "HTTP/1.1"),
            ("http1", &[], "HTTP/1.1"),
            ("http2", &["h2", "http/1.1"], "HTTP/2.0"),
            ("auto", &["h2", "http/1.1"], "HTTP/2.0"),
            ("auto", &["http/1.1"], "HTTP/1.1"),
            ("auto", &[], "HTTP/1.1"),
        ] {
            let server = Server::new(&identity, alpn, None).await;
            let gate = gate(&server, "agreeing", protocol, &authority, "server_name: a.test");
            let mut client = gate.h1().await;
            for _ in 0..3 {
                let answer = client.ask(get("/")).await;
                assert_eq!(answer.status, 200, "{protocol} {alpn:?}");
                assert_eq!(answer.json()["version"], version, "{protocol} {alpn:?}");
            }
            assert_eq!(server.accepted(), 1, "{protocol} {alpn:?}: the connection is used again");
        }
    });
}

#[test]
fn each_fault_is_a_failed_connection_and_says_what_to_mend() {
    run(async {
        let (authority, other) = (Authority::new("faults"), Authority::new("faults_other"));
        let (good, expired) = (authority.issue("a.test", false), authority.issue("old.test", true));
        let stranger = other.issue("a.test", false);
        let (name, stranger_files) = ("server_name: a.test", &stranger.files);
        let wrong_client = format!(
            "{name}, certificate: {:?}, private_key: {:?}",
            stranger_files.0.display(),
            stranger_files.1.display()
        );
        for (cluster, identity, protocol, alpn, clients, keys, reason) in [
            (
                "tls_wrong_name",
                &good,
                "http1",
                &[][..],
                None,
                "server_name: b.test",
                "its certificate is for a.test and not for b.test; set server_name",
            ),
            (
                "tls_expired",
                &expired,
                "http1",
                &[],
                None,
                "server_name: old.test",
                "its certificate has expired; have it get a new",
            ),
            (
                "tls_unknown",
                &stranger,
                "http2",
                &["h2"],
                None,
                name,
                "its certificate is of no authority that is trusted; name a file",
            ),
            (
                "tls_no_client",
                &good,
                "http1",
                &[],
                Some(&authority),
                name,
                "it asks for a client certificate; set certificate",
            ),
            (
                "tls_no_client_h2",
                &good,
                "http2",
                &["h2"],
                Some(&authority),
                name,
                "it asks for a client certificate; set certificate",
            ),
            (
                "tls_other_client",
                &good,
                "http1",
                &[],
                Some(&authority),
                wrong_client.as_str(),
                "it refuses the client certificate",
            ),
            (
                "tls_alpn",
                &good,
                "http2",
                &["http/1.1"],
                None,
                name,
                "it takes none of the protocols that are offered by ALPN; set protocol",
            ),
            (
                "tls_no_alpn",
                &good,
                "http2",
                &[],
                None,
                name,
                "it did not agree to HTTP/2 by ALPN; write `protocol: auto`",
            ),
        ] {
            let server = Server::new(identity, alpn, clients).await;
            let gate = gate(&server, cluster, protocol, &authority, keys);
            let answer = gate.h1().await.ask(get("/")).await;
            assert_eq!(answer.status, 503, "{cluster}");
            assert!(answer.text().contains("remote connection failure"), "{cluster}: {}", answer.text());
            let told = format!("upstream failed: cannot speak TLS with upstream {}: {reason}", server.address);
            let shown = logs::of("").into_iter().filter(|line| line.contains(&server.address.to_string()));
            assert!(shown.clone().any(|line| line.contains(&told)), "{cluster}: {:?}", shown.collect::<Vec<_>>());
            assert_eq!(logs::count("", &told), 1);
            let metric = format!("portcullis_upstream_failures_total{{cluster=\"{cluster}\",reason=\"tls_failure\"}}");
            assert_eq!(gate.metric(&metric).await, 1.0, "{cluster}");
        }
    });
}

#[test]
fn a_server_without_tls_is_told_apart() {
    run(async {
        let plain = crate::e2e::harness::Upstream::echo();
        let authority = Authority::new("plain");
        let roots = format!("roots: {:?}", authority.file.display());
        let gate = setup(plain.address, "tls_plain", "http1", &roots).start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 503);
        logs::wait("", &format!("cannot speak TLS with upstream {}: it ", plain.address)).await;
        assert_eq!(plain.requests(), 0, "nothing was sent in the clear");
    });
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    run(async {
        let authority = Authority::new("mutual");
        let (server, client) = (authority.issue("a.test", false), authority.issue("gateway.test", false));
        let keys = format!(
            "server_name: a.test, certificate: {:?}, private_key: {:?}",
            client.files.0.display(),
            client.files.1.display()
        );
        for versions in [&[&rustls::version::TLS12][..], &[&rustls::version::TLS13]] {
            let server = Server::start(&server, &[], Some(&authority), true, versions).await;
            let gate = gate(&server, "tls_mutual", "auto", &authority, &keys);
            assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        }
    });
}

#[test]
fn the_name_may_be_each_requests_own() {
    run(async {
        let authority = Authority::new("by_request");
        let server = Server::new(&authority.issue("a.test", false), &["h2"], None).await;
        let gate = gate(&server, "tls_by_request", "auto", &authority, "server_name_from: request");
        let mut client = gate.h1().await;
        for (host, status) in [("a.test", 200), ("b.test", 503), ("A.test:443", 200), ("b.test", 503)] {
            let mut request = get("/");
            request.headers_mut().insert(http::header::HOST, host.parse().unwrap());
            assert_eq!(client.ask(request).await.status, status, "{host}");
        }
        assert_eq!(server.accepted(), 3, "a.test has one connection, which b.test does not use");
        // Nor do names that the server has no certificate for take the place of one that it has.
        for number in 0..70 {
            let mut request = get("/");
            request.headers_mut().insert(http::header::HOST, format!("n{number}.test").parse().unwrap());
            assert_eq!(client.ask(request).await.status, 503, "{number}");
        }
        let mut request = get("/");
        request.headers_mut().insert(http::header::HOST, "a.test".parse().unwrap());
        assert_eq!((client.ask(request).await.status, server.accepted()), (200, 73));
    });
}

#[test]
fn tcp_streams_go_through_tls() {
    run(async {
        let authority = Authority::new("tcp_tls");
        let identity = authority.issue("127.0.0.1", false);
        let server = Server::start(&identity, &["own"], None, false, rustls::ALL_VERSIONS).await;
        let tls = format!("roots: {:?}, alpn: [own]", authority.file.display());
        let setup = Setup::to_address(server.address).backend(&format!("tls: {{{tls}}}"));
        let text = setup.text().replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}");
        let gate = Gate::start(&text);
        let mut client = TcpStream::connect(gate.address()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within(client.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"hello");
    });
}

#[test]
fn other_authorities_in_the_same_file_make_other_connections() {
    run(async {
        let authority = Authority::new("renewed");
        let server = Server::new(&authority.issue("a.test", false), &["h2"], None).await;
        let tls = format!("roots: {:?}, server_name: a.test", authority.file.display());
        let setup = setup(server.address, "tls_renewed", "auto", &tls);
        let gate = setup.start();
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/")).await.status, 200);
        gate.reload(&setup).await.unwrap();
        assert_eq!(client.ask(get("/")).await.status, 200);
        assert_eq!(server.accepted(), 1, "nothing has changed");
        // The file is the same, and what is in it another authority.
        let _ = Authority::new("renewed");
        gate.reload(&setup).await.unwrap();
        assert_eq!(client.ask(get("/")).await.status, 503);
    });
}
