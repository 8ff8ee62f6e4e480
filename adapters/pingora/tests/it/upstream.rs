//! An upstream that does what the path of a request says.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http1::{Connection, Message};

/// The length of a large body.
pub(crate) const LARGE: usize = 300_000;

/// An upstream, and the requests that it has seen.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Message>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Self { address, seen: Arc::default() };
        let serving = upstream.clone();
        thread::spawn(move || {
            let count = Arc::new(AtomicUsize::new(0));
            for stream in listener.incoming().flatten() {
                let (serving, count) = (serving.clone(), Arc::clone(&count));
                thread::spawn(move || serving.serve(Connection::new(stream), &count));
            }
        });
        upstream
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Message> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the only request.
    pub(crate) fn only(&self) -> Message {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    fn serve(&self, mut connection: Connection, count: &AtomicUsize) {
        while let Some(request) = connection.request() {
            self.seen.lock().unwrap().push(request.clone());
            let path = request.line.split(' ').nth(1).unwrap().to_owned();
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let sized = |body: &str| format!("content-length: {}\r\n\r\n{body}", body.len());
            let ok = |body: &str| format!("HTTP/1.1 200 OK\r\n{}", sized(body));
            let answer = match path.as_str() {
                "/echo" => ok(&body),
                "/large" => ok(&"a".repeat(LARGE)),
                "/chunked" => {
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_owned()
                }
                "/empty" => ok(""),
                "/nominates" => {
                    "HTTP/1.1 200 OK\r\nconnection: x-hidden, x-tag\r\nx-hidden: 1\r\nproxy-connection: x\r\nte: x\r\ncontent-length: 0\r\n\r\n"
                        .to_owned()
                }
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                "/304" => "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n".to_owned(),
                "/103" => format!("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n{}", ok("later")),
                "/head" => "HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n".to_owned(),
                "/upgrade" => {
                    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello"
                        .to_owned()
                }
                // The first request gets no answer.
                "/again" if count.fetch_add(1, Ordering::Relaxed) == 0 => return,
                "/again" => ok(&body),
                "/half" => {
                    let _ = connection.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                    return;
                }
                // The first answer breaks off.
                "/half-once" if count.fetch_add(1, Ordering::Relaxed) == 0 => {
                    let _ = connection.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf");
                    return;
                }
                "/half-once" => ok("whole"),
                "/auth" => {
                    let is_allowed = request.get("authorization") == Some("yes");
                    let status = if is_allowed { "200 OK" } else { "401 Unauthorized" };
                    format!("HTTP/1.1 {status}\r\n{}", sized("seen"))
                }
                "/hang" => {
                    assert!(connection.is_closed());
                    return;
                }
                _ => format!("HTTP/1.1 404 Not Found\r\n{}", sized("no such path")),
            };
            if connection.write(answer).is_err() {
                return;
            }
            if path == "/upgrade" {
                // An echo without an end.
                let mut tunnel = [0; 4];
                while connection.tunnel(&mut tunnel) {
                    let _ = connection.write(tunnel);
                }
                return;
            }
        }
    }
}
