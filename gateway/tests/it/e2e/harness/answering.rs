//! Upstreams that answer with bytes and frames which no library would send.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS};

/// A part of an answer over HTTP/2.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// HEADERS with a status and fields, maybe the last frame.
    Head(&'static str, &'static [(&'static str, &'static str)], bool),
    /// DATA, maybe the last frame.
    Data(&'static str, bool),
    /// RST_STREAM with a code.
    Reset(u32),
    /// The connection ends.
    Close,
    /// Waits with the rest until the test sees the client get the part before.
    Wait,
}

/// Lets an upstream go on behind [`Part::Wait`].
pub(crate) type Go = Arc<tokio::sync::Notify>;

/// An upstream that answers each connection with these bytes, once its request's head is there, and closes.
pub(crate) async fn answering(bytes: &'static str) -> SocketAddr {
    answering_in_two(bytes, "", Go::default()).await
}

/// As [`answering`]; the rest of the bytes waits until it is let go.
pub(crate) async fn answering_in_two(bytes: &'static str, rest: &'static str, go: Go) -> SocketAddr {
    serve(move |mut tcp| {
        let go = Arc::clone(&go);
        async move {
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && tcp.read_exact(&mut byte).await.is_ok() {
                head.push(byte[0]);
            }
            let _ = tcp.write_all(bytes.as_bytes()).await;
            if !rest.is_empty() {
                go.notified().await;
                let _ = tcp.write_all(rest.as_bytes()).await;
            }
            let _ = tcp.shutdown().await;
        }
    })
    .await
}

/// An upstream that answers each request with these frames.
pub(crate) async fn answering_h2(parts: &'static [Part], go: Go) -> SocketAddr {
    serve(move |tcp| {
        let go = Arc::clone(&go);
        async move {
            let _ = answer_h2(tcp, parts, &go).await;
        }
    })
    .await
}

async fn answer_h2(mut tcp: TcpStream, parts: &[Part], go: &Go) -> std::io::Result<()> {
    tcp.read_exact(&mut [0; 24]).await?;
    let mut bytes = Vec::new();
    frames::frame(&mut bytes, SETTINGS, 0, 0, &[]);
    tcp.write_all(&bytes).await?;
    loop {
        let (kind, flags, stream, _) = frames::read(&mut tcp).await?;
        let mut bytes = Vec::new();
        match kind {
            SETTINGS if flags == 0 => frames::frame(&mut bytes, SETTINGS, 1, 0, &[]),
            HEADERS => {
                for part in parts {
                    match part {
                        Part::Head(status, fields, end) => {
                            let fields: Vec<_> = [(":status", *status)].iter().chain(*fields).copied().collect();
                            let flags = END_HEADERS | if *end { END_STREAM } else { 0 };
                            frames::frame(&mut bytes, HEADERS, flags, stream, &frames::literals(&fields));
                        }
                        Part::Data(data, end) => {
                            frames::frame(&mut bytes, DATA, u8::from(*end), stream, data.as_bytes());
                        }
                        Part::Reset(code) => frames::frame(&mut bytes, RST_STREAM, 0, stream, &code.to_be_bytes()),
                        Part::Close => {
                            tcp.write_all(&bytes).await?;
                            return tcp.shutdown().await;
                        }
                        Part::Wait => {
                            tcp.write_all(&std::mem::take(&mut bytes)).await?;
                            go.notified().await;
                        }
                    }
                }
            }
            _ => {}
        }
        tcp.write_all(&bytes).await?;
    }
}

async fn serve<F: Future<Output = ()> + Send + 'static>(
    answer: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = socket.accept().await {
            tokio::spawn(answer(tcp));
        }
    });
    address
}
