//! HTTP/2 by hand, for heads that no library would send.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

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

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

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
            let mut head = [0; 9];
            if within(self.0.read_exact(&mut head)).await.is_err() {
                return Reply::Closed;
            }
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            within(self.0.read_exact(&mut payload)).await.unwrap();
            let (kind, flags, stream) = (head[3], head[4], head[8]);
            match (kind, stream) {
                (RST_STREAM, 1) => return Reply::Reset(u32::from_be_bytes(payload[..4].try_into().unwrap())),
                (HEADERS, 1) if status == 0 => status = status_of(&payload),
                (DATA, 1) => body.extend_from_slice(&payload),
                _ => continue,
            }
            if flags & END_STREAM != 0 && kind != SETTINGS {
                return Reply::Response(status, String::from_utf8(body).unwrap());
            }
        }
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
    out.extend_from_slice(payload);
}

/// Fields that enter no table (RFC 7541, section 6.2.2), without Huffman coding.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
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

/// The status that begins a field block: an entry of the static table, or a literal behind the name of one.
fn status_of(block: &[u8]) -> u16 {
    let digit = |code: &mut u64, bits: &mut u32| {
        // Huffman codes of digits (RFC 7541, appendix B): five bits for 0 to 2, six for the others.
        let short = (*code >> (*bits - 5)) & 31;
        if short < 3 {
            *bits -= 5;
            return short;
        }
        *bits -= 6;
        ((*code >> *bits) & 63) - 22
    };
    match block {
        [index @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(index - 0x88)],
        [0x48, length, rest @ ..] if length & 0x80 != 0 => {
            let text = &rest[..usize::from(length & 0x7f)];
            let mut code = text.iter().fold(0, |code, byte| code << 8 | u64::from(*byte));
            let mut bits = u32::try_from(text.len()).unwrap() * 8;
            (0..3).fold(0, |status, _| status * 10 + u16::try_from(digit(&mut code, &mut bits)).unwrap())
        }
        [0x48, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        _ => panic!("no status in {block:x?}"),
    }
}
