//! Clients of the gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use super::{Sent, empty, full, within};

/// One connection to the gateway.
#[derive(Debug)]
pub(crate) enum Client {
    H1(http1::SendRequest<Sent>),
    H2(http2::SendRequest<Sent>),
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<Sent> {
    Request::get(path).body(empty()).unwrap()
}

/// A request with a body.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Sent> {
    Request::post(path).body(full(body)).unwrap()
}

impl Client {
    pub(crate) async fn h1(address: SocketAddr) -> Self {
        apart(async move { Self::h1_over(within(TcpStream::connect(address)).await.unwrap()).await }).await
    }

    pub(crate) async fn h2(address: SocketAddr) -> Self {
        apart(async move { Self::h2_over(within(TcpStream::connect(address)).await.unwrap()).await }).await
    }

    /// Over TLS, with what is agreed on of `protocols`.
    pub(crate) async fn tls(address: SocketAddr, certificate: &Path, protocols: &[&str]) -> Self {
        Self::tls_over(within(TcpStream::connect(address)).await.unwrap(), certificate, protocols).await
    }

    /// The same over a connection that is there already.
    pub(crate) async fn tls_over(tcp: TcpStream, certificate: &Path, protocols: &[&str]) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let tcp = tcp.into_std().unwrap();
        apart(async move {
            let tcp = TcpStream::from_std(tcp).unwrap();
            let name = ServerName::try_from("gateway.test").unwrap();
            let tls = within(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap();
            let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            if h2 { Self::h2_over(tls).await } else { Self::h1_over(tls).await }
        })
        .await
    }

    /// Sends a request; gives the response when its head is there. A path as target gets an authority.
    pub(crate) async fn send(&mut self, mut request: Request<Sent>) -> hyper::Result<Response<Incoming>> {
        match self {
            Self::H1(sender) => {
                request.headers_mut().entry(HOST).or_insert(HeaderValue::from_static("gateway.test"));
                within(sender.ready()).await?;
                within(sender.send_request(request)).await
            }
            Self::H2(sender) => {
                let host = request.headers_mut().remove(HOST);
                let host = host.as_ref().map_or("gateway.test", |host| host.to_str().unwrap());
                *request.uri_mut() = format!("http://{host}{}", request.uri()).parse::<Uri>().unwrap();
                within(sender.ready()).await?;
                within(sender.send_request(request)).await
            }
        }
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn ask(&mut self, request: Request<Sent>) -> Answer {
        self.try_ask(request).await.unwrap()
    }

    /// As [`Self::ask`]; a response that breaks off is an error.
    pub(crate) async fn try_ask(&mut self, request: Request<Sent>) -> hyper::Result<Answer> {
        Answer::read(self.send(request).await?).await
    }

    /// Waits until the gateway has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let Self::H1(sender) = self else { panic!("for HTTP/1 only") };
        within(async {
            while sender.ready().await.is_ok() && !sender.is_closed() {
                tokio::task::yield_now().await
            }
        })
        .await;
    }

    pub(crate) fn is_h2(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    async fn h1_over(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static) -> Self {
        let (sender, connection) = within(http1::handshake(TokioIo::new(io))).await.unwrap();
        tokio::spawn(connection);
        Self::H1(sender)
    }

    async fn h2_over(io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static) -> Self {
        let builder = http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = within(builder.handshake(TokioIo::new(io))).await.unwrap();
        tokio::spawn(connection);
        Self::H2(sender)
    }
}

impl Answer {
    /// Reads a response to its end.
    pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<Self> {
        let (parts, body) = response.into_parts();
        let body = within(body.collect()).await?;
        let trailers = body.trailers().cloned();
        Ok(Self { status: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes(), trailers })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Returns the text of the echo.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {:?}", self.status, self.body))
    }

    /// The values of a header, joined.
    pub(crate) fn header(&self, name: &str) -> String {
        joined(&self.headers, name)
    }

    /// The values of a trailer, joined.
    pub(crate) fn trailer(&self, name: &str) -> String {
        self.trailers.as_ref().map(|trailers| joined(trailers, name)).unwrap_or_default()
    }
}

/// Runs it on the thread of all connections: they go on while a test waits for its gateway to stop.
async fn apart<T: Send + 'static>(what: impl Future<Output = T> + Send + 'static) -> T {
    static RUNTIME: LazyLock<Handle> = LazyLock::new(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let handle = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    });
    RUNTIME.spawn(what).await.unwrap()
}

fn joined(headers: &HeaderMap, name: &str) -> String {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
    values.join(",")
}

/// A connection on which a test writes bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(within(TcpStream::connect(address)).await.unwrap())
    }

    pub(crate) async fn write(&mut self, text: &str) {
        within(self.0.write_all(text.as_bytes())).await.unwrap();
    }

    /// Reads until the text ends so.
    pub(crate) async fn read_to(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let byte = within(self.0.read_u8()).await;
            text.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text))));
        }
        String::from_utf8(text).unwrap()
    }

    /// Reads until the gateway closes.
    pub(crate) async fn read_all(&mut self) -> String {
        let mut text = Vec::new();
        // A reset ends it as well.
        let _ = within(self.0.read_to_end(&mut text)).await;
        String::from_utf8(text).unwrap()
    }
}
