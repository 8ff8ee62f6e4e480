//! `reload`: has a gateway read its configuration again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use portcullis::input::read_file;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::process::{Ended, print};
use crate::error::ServeError;

/// Have a gateway read its configuration again, and wait until the new one serves.
///
/// Exits 0 then, and 1 if it does not: what is wrong is printed, and the gateway serves as before. It is asked by `POST
/// /reload` of its admin interface: over a Unix socket that its user alone may open, or with the token of `admin.token_file`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The admin interface of the gateway: `HOST:PORT`, or `unix:PATH`.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    admin: String,

    /// The file with the token, which `admin.token_file` of the gateway's configuration names; not needed over a Unix socket
    /// that its user alone may open.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// The time after which nobody is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of the file of a token.
const LARGEST_TOKEN: u64 = 4096;

/// The most bytes of an answer.
const LARGEST_ANSWER: usize = 1 << 20;

impl Arguments {
    pub(super) fn run(&self) -> Ended {
        let authorization = self.token_file.as_deref().map(authorization).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (status, answer) = runtime.block_on(self.ask(authorization)).map_err(|reason| self.failed(reason))?;
        let answer = answer.trim_end();
        let failed = |reason: String| Err(self.failed(reason));
        match status {
            StatusCode::OK => print(&format!("{}\n", in_words(answer))),
            StatusCode::UNPROCESSABLE_ENTITY => {
                failed(format!("not reloaded, and the gateway serves as before:\n{answer}"))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.token_file.is_none() => {
                failed(format!("{answer}; name the file of the token by --token-file"))
            }
            StatusCode::NOT_FOUND => {
                failed("no admin interface that reloads answers there; name that of the gateway by --admin".to_owned())
            }
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::CONFLICT
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::MISDIRECTED_REQUEST => failed(answer.to_owned()),
            status => {
                failed(format!("the answer is {status}: {answer}; name the gateway's admin interface by --admin"))
            }
        }
    }

    /// Asks, and returns the status and text of the answer.
    async fn ask(&self, authorization: Option<HeaderValue>) -> Result<(StatusCode, String), String> {
        let refused = |error: std::io::Error| {
            format!("cannot connect: {error}; start the gateway, or name its admin interface by --admin")
        };
        if let Some(path) = self.admin.strip_prefix("unix:") {
            return match UnixStream::connect(path).await {
                Ok(unix) => post(unix, "localhost", authorization).await,
                Err(error) => Err(refused(error)),
            };
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.admin)).await {
            Ok(Ok(tcp)) => post(tcp, &self.admin, authorization).await,
            Ok(Err(error)) => Err(refused(error)),
            Err(_) => Err(refused(std::io::ErrorKind::TimedOut.into())),
        }
    }

    fn failed(&self, reason: String) -> ServeError {
        ServeError::NotReloaded { admin: self.admin.clone(), reason }
    }
}

/// Reads a token, as the value of `Authorization`.
fn authorization(path: &Path) -> Result<HeaderValue, ServeError> {
    let failed = |error| ServeError::File { operation: "read the token in", path: path.to_owned(), error };
    let bytes = read_file(path, LARGEST_TOKEN).map_err(failed)?;
    let value = HeaderValue::from_bytes(&[b"Bearer ", bytes.trim_ascii()].concat());
    let mut value = value.map_err(|_| failed(std::io::Error::other("it has more than one line")))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Posts to `/reload`.
async fn post(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    authorization: Option<HeaderValue>,
) -> Result<(StatusCode, String), String> {
    let cut = |error: &dyn std::fmt::Display| {
        format!("the connection ended before the answer: {error}; see the log of the gateway, which may have stopped")
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(|error| cut(&error))?;
    tokio::spawn(connection);
    let mut request = Request::post("/reload").header(HOST, host);
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| format!("{error}; correct --admin"))?;
    let answer = sender.send_request(request).await.map_err(|error| cut(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LARGEST_ANSWER).collect().await.map_err(|error| cut(&error))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// Words an answer that is JSON; any other is returned as it is.
fn in_words(answer: &str) -> String {
    let number = |json: &serde_json::Value, key: &str| json.get(key).and_then(serde_json::Value::as_u64);
    let words = serde_json::from_str(answer).ok().and_then(|json: serde_json::Value| {
        let [generation, started, stayed, ended] =
            ["generation", "started", "stayed", "ended"].map(|key| number(&json, key));
        Some(format!(
            "generation {} serves: plugins: {} started, {} stayed, {} ended",
            generation?, started?, stayed?, ended?
        ))
    });
    words.unwrap_or_else(|| answer.to_owned())
}
