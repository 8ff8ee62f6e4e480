//! One connection, over which everything goes, so that it meets one worker.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::net::TcpStream;

use crate::host_under_test::Message;

type Body = BoxBody<Bytes, Infallible>;

/// A client of one authority.
#[derive(Debug)]
pub(super) struct Client {
    authority: String,
    connection: Option<SendRequest<Body>>,
}

impl Client {
    pub(super) fn new(authority: String) -> Self {
        Self { authority, connection: None }
    }

    /// Returns where it connects to.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends a request and reads the response to its end; over a new connection if there is none.
    pub(super) async fn send(&mut self, message: &Message) -> Result<Message, String> {
        let response = self.exchange(message).await;
        if response.is_err() {
            self.disconnect();
        }
        response
    }

    async fn exchange(&mut self, message: &Message) -> Result<Message, String> {
        let text = |error: hyper::Error| error.to_string();
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => {
                let socket = TcpStream::connect(&self.authority).await.map_err(|error| error.to_string())?;
                // A control request waits for its answer before the next one is sent.
                socket.set_nodelay(true).map_err(|error| error.to_string())?;
                let (connection, driver) = handshake(TokioIo::new(socket)).await.map_err(text)?;
                tokio::spawn(driver);
                connection
            }
        };
        connection.ready().await.map_err(text)?;
        let response = connection.send_request(request(message)?).await.map_err(text)?;
        let (head, body) = response.into_parts();
        let collected = body.collect().await.map_err(text)?;
        let trailers = collected.trailers().map(pairs).unwrap_or_default();
        let mut headers = pairs(&head.headers);
        headers.push((":status".to_owned(), head.status.as_str().to_owned()));
        self.connection = Some(connection);
        Ok(Message { headers, body: collected.to_bytes(), trailers })
    }
}

fn request(message: &Message) -> Result<Request<Body>, String> {
    let pseudo = |name| message.header(name).unwrap_or_default();
    let mut request = Request::builder().method(pseudo(":method")).uri(pseudo(":path"));
    request = request.header("host", pseudo(":authority")).header("te", "trailers");
    for (name, value) in message.headers.iter().filter(|(name, _)| !name.starts_with(':')) {
        request = request.header(name, value);
    }
    let mut trailers = HeaderMap::new();
    for (name, value) in &message.trailers {
        request = request.header("trailer", name);
        let name = HeaderName::try_from(name.as_str()).map_err(|error| error.to_string())?;
        trailers.insert(name, HeaderValue::try_from(value.as_str()).map_err(|error| error.to_string())?);
    }
    let body = Full::new(message.body.clone());
    let body = match trailers.is_empty() {
        true => body.boxed(),
        false => {
            // What has a length has no trailers.
            request = request.header("transfer-encoding", "chunked");
            body.with_trailers(async { Some(Ok(trailers)) }).boxed()
        }
    };
    request.body(body).map_err(|error| error.to_string())
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
