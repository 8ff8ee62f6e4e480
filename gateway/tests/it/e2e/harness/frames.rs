//! HTTP/2 by hand, for heads that no library would send.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Raw, within};

/// The answer to a stream, as far as a test looks at it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A response, with its whole body.
    Response(u16, String),
    /// RST_STREAM with this code.
    Reset(u32),
    /// The whole connection was closed.
    Closed,
}

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

impl Raw {
    /// Sends a request over HTTP/2, with its fields as they are given and an optional trailer section behind a body.
    pub(crate) async fn ask_h2(&mut self, fields: &[(&str, &str)], trailers: Option<&[(&str, &str)]>) -> Reply {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        let end = if trailers.is_none() { END_STREAM } else { 0 };
        frame(&mut bytes, HEADERS, END_HEADERS | end, 1, &literals(fields));
        if let Some(trailers) = trailers {
            frame(&mut bytes, DATA, 0, 1, b"body");
            frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 1, &literals(trailers));
        }
        within(self.0.write_all(&bytes)).await.unwrap();
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let Ok((kind, flags, stream, payload)) = within(read(&mut self.0)).await else { return Reply::Closed };
            match (kind, stream) {
                (RST_STREAM, 1) => return Reply::Reset(u32::from_be_bytes(payload[..4].try_into().unwrap())),
                (HEADERS, 1) if status == 0 => status = head_of(&payload).0,
                (DATA, 1) => body.extend_from_slice(&payload),
                _ => continue,
            }
            if flags & END_STREAM != 0 && kind != SETTINGS {
                return Reply::Response(status, String::from_utf8(body).unwrap());
            }
        }
    }

    /// Sends a request without a body over HTTP/2, and reads the frames of its answer. Each is told as `HEADERS 200`, with
    /// `length=N` if it has a `content-length`, `DATA text` or `RST code`; the last with `END`.
    pub(crate) async fn frames_h2(&mut self, method: &str, path: &str) -> Vec<String> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        frame(&mut bytes, SETTINGS, 0, 0, &[]);
        let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
        frame(&mut bytes, HEADERS, END_HEADERS | END_STREAM, 1, &literals(&fields));
        within(self.0.write_all(&bytes)).await.unwrap();
        self.rest_of_frames_h2().await
    }

    /// The frames that are still to come.
    pub(crate) async fn rest_of_frames_h2(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let Ok((kind, flags, 1 | 0, payload)) = within(read(&mut self.0)).await else {
                told.push("CLOSED".to_owned());
                return told;
            };
            let end = if flags & END_STREAM != 0 { " END" } else { "" };
            match kind {
                HEADERS => {
                    let (status, length) = head_of(&payload);
                    let length = length.map(|length| format!(" length={length}")).unwrap_or_default();
                    told.push(format!("HEADERS {status}{length}{end}"));
                }
                DATA => told.push(format!("DATA {}{end}", String::from_utf8(payload).unwrap())),
                RST_STREAM => {
                    told.push(format!("RST {}", u32::from_be_bytes(payload[..4].try_into().unwrap())));
                    return told;
                }
                _ => continue,
            }
            if !end.is_empty() {
                return told;
            }
        }
    }
}

/// Reads a frame: kind, flags, stream, payload.
pub(crate) async fn read(tcp: &mut TcpStream) -> std::io::Result<(u8, u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    tcp.read_exact(&mut payload).await?;
    Ok((head[3], head[4], head[8], payload))
}

pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

/// Fields that enter no table (RFC 7541, section 6.2.2), without Huffman coding.
pub(crate) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            out.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text"));
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

/// The status and `content-length` of a response's field block, the first of its connection.
fn head_of(mut block: &[u8]) -> (u16, Option<u64>) {
    const CONTENT_LENGTH: usize = 28;
    let (mut status, mut length) = (0, None);
    while !block.is_empty() {
        let kind = block[0];
        if kind & 0x80 != 0 {
            let index = integer(&mut block, 7);
            assert!(index < 62, "an entry of the dynamic table");
            if (8..=14).contains(&index) {
                status = [200, 204, 206, 304, 400, 404, 500][index - 8];
            }
            continue;
        }
        if kind & 0xe0 == 0x20 {
            // The size of the table.
            integer(&mut block, 5);
            continue;
        }
        let index = integer(&mut block, if kind & 0x40 != 0 { 6 } else { 4 });
        if index == 0 {
            text(&mut block);
        }
        let value = text(&mut block);
        match index {
            8..=14 => status = digits(value).unwrap(),
            CONTENT_LENGTH => length = Some(u64::from(digits(value).unwrap())),
            _ => {}
        }
    }
    (status, length)
}

/// An integer in some bits of the first byte, and more bytes behind them (RFC 7541, section 5.1).
fn integer(block: &mut &[u8], bits: u32) -> usize {
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(block[0]) & most;
    *block = &block[1..];
    let mut shift = 0;
    while value >= most {
        let byte = block[0];
        *block = &block[1..];
        value += usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// A text, and whether it is Huffman-coded.
fn text<'a>(block: &mut &'a [u8]) -> (bool, &'a [u8]) {
    let coded = block[0] & 0x80 != 0;
    let length = integer(block, 7);
    let (text, rest) = block.split_at(length);
    *block = rest;
    (coded, text)
}

fn digits((coded, text): (bool, &[u8])) -> Option<u16> {
    if !coded {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let (mut code, mut bits) = (0_u64, 0_u32);
    text.iter().for_each(|byte| (code, bits) = (code << 8 | u64::from(*byte), bits + 8));
    let mut value = 0;
    // Huffman codes of digits (RFC 7541, appendix B): five bits for 0 to 2, six for the others; ones fill the last byte.
    while bits >= 5 {
        let short = (code >> (bits - 5)) & 31;
        if short < 3 {
            bits -= 5;
            value = value * 10 + short;
            continue;
        }
        let Some(left) = bits.checked_sub(6) else { break };
        let digit = (code >> left) & 63;
        if digit == 63 {
            break;
        }
        bits = left;
        value = value * 10 + digit.checked_sub(22)?;
    }
    u16::try_from(value).ok()
}
