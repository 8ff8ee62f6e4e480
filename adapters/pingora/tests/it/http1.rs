//! HTTP/1 as a client writes and reads it, and as an upstream does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Long enough for a machine with other work: a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the end of a body was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    None,
    Length,
    Chunked,
    Close,
}

/// A message that was read.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    /// The body has ended as it should.
    pub(crate) is_whole: bool,
}

impl Message {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// A connection on which messages are written and read.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Reads a request; `None` if the connection ends before one begins.
    pub(crate) fn request(&mut self) -> Option<Message> {
        self.read(|_| false)
    }

    /// Reads a response to a request.
    pub(crate) fn response(&mut self, method: &str) -> Message {
        let is_bare = |line: &str| {
            let status = line.split(' ').nth(1).unwrap_or_default();
            method == "HEAD" || ["204", "304"].contains(&status) || status.starts_with('1')
        };
        self.read(is_bare).unwrap()
    }

    /// Sends a request and reads the response.
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Message {
        let request = request.as_ref();
        self.write(request).unwrap();
        let method = String::from_utf8_lossy(request.split(|byte| *byte == b' ').next().unwrap()).into_owned();
        self.response(&method)
    }

    /// Reads bytes that are no message; returns whether there are so many.
    pub(crate) fn tunnel(&mut self, bytes: &mut [u8]) -> bool {
        self.stream.read_exact(bytes).is_ok()
    }

    /// Returns whether the other side has ended the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.stream.fill_buf(), Ok([]) | Err(_))
    }

    fn read(&mut self, is_bare: impl Fn(&str) -> bool) -> Option<Message> {
        let line = self.line()?;
        let mut fields = Vec::new();
        loop {
            let field = self.line()?;
            let Some((name, value)) = field.split_once(':') else { break };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut message = Message { line, fields, body: Vec::new(), framing: Framing::None, is_whole: true };
        let is_response = message.line.starts_with("HTTP/");
        let is_chunked = message.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let length = message.get("content-length").map(|length| length.parse::<usize>().unwrap());
        if is_bare(&message.line) {
            return Some(message);
        }
        match length {
            _ if is_chunked => {
                message.framing = Framing::Chunked;
                message.is_whole = self.chunks(&mut message.body).is_some();
            }
            Some(length) => {
                message.framing = Framing::Length;
                message.body = vec![0; length];
                message.is_whole = self.stream.read_exact(&mut message.body).is_ok();
            }
            None if is_response => {
                message.framing = Framing::Close;
                message.is_whole = self.stream.read_to_end(&mut message.body).is_ok();
            }
            None => {}
        }
        Some(message)
    }

    fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let size = usize::from_str_radix(&self.line()?, 16).ok()?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).ok()?;
            if size == 0 {
                return Some(());
            }
            body.extend_from_slice(chunk.get(..size)?);
        }
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
    Connection::open(address).exchange(request)
}

/// Returns a request without a body.
pub(crate) fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: test.example\r\n{fields}\r\n")
}

/// Returns a request with a body of a known length.
pub(crate) fn post(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: test.example\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Returns a request with a body in chunks.
pub(crate) fn post_chunked(path: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: test.example\r\ntransfer-encoding: chunked\r\n{fields}\r\n");
    let mut request = head.into_bytes();
    for chunk in body.chunks(9_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}
