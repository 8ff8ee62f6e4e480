//! The answer to a client for whom there is no seat.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;

use socket2::SockRef;

/// The whole response; HTTP/1, in which every client that speaks plain text understands the status at least.
const RESPONSE: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain\r\n\
    content-length: 21\r\n\
    connection: close\r\n\
    \r\n\
    too many connections\n";

/// Answers 503 and closes, without waiting for anything: what does not fit into the socket's buffer is lost, and so is what
/// the client sends later. A socket in which bytes are left would be reset, and the answer lost with it.
pub(crate) fn refuse(mut socket: impl Read + Write + AsFd) {
    let mut came = [0; 4096];
    // A failure leaves nothing to do but to close.
    let _ = socket.read(&mut came);
    let _ = socket.write(RESPONSE);
    let _ = SockRef::from(&socket).shutdown(Shutdown::Write);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_length_is_right() {
        let text = std::str::from_utf8(RESPONSE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    }

    #[test]
    fn a_client_is_answered_whether_it_has_spoken_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for said in [&b""[..], b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.write_all(said).unwrap();
            let (tcp, _) = listener.accept().unwrap();
            if !said.is_empty() {
                tcp.peek(&mut [0]).unwrap();
            }
            tcp.set_nonblocking(true).unwrap();
            refuse(tcp);
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, RESPONSE);
        }
    }
}
