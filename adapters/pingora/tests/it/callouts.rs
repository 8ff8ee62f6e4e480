//! Callouts over Pingora's connector.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use pingora_core::upstreams::peer::HttpPeer;
use portcullis_core::abi::{BufferType, MapType, StreamType};
use portcullis_core::testing::Script;
use portcullis_driver::body::body_queue;
use portcullis_driver::{SendError, Upstreams};
use portcullis_pingora::{BodyMode, Cluster, Clusters, Options};

use crate::http1::{Connection, get, post};
use crate::plugins::{ON_REQUEST, ON_RESPONSE, ON_RESPONSE_BODY, RESPONSE, answering, call_out, file, scripted};
use crate::proxy::{Proxy, Setup};

#[test]
fn forty_requests_wait_for_their_callouts_at_once() {
    for work_stealing in [true, false] {
        let proxy = Proxy::with(&[file("auth_callout", "")], Setup { work_stealing, ..Setup::default() });
        let statuses: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..40)
                .map(|index| {
                    let field = if index % 2 == 0 { "authorization: yes\r\n" } else { "" };
                    let proxy = &proxy;
                    scope.spawn(move || proxy.exchange(get("/empty", field)).status())
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        for (index, status) in statuses.into_iter().enumerate() {
            assert_eq!(status, if index % 2 == 0 { 200 } else { 403 });
        }
        let seen = proxy.upstream.seen();
        assert_eq!(seen.iter().filter(|request| request.line.starts_with("GET /auth ")).count(), 40);
        assert_eq!(seen.iter().filter(|request| request.get("x-auth") == Some("ok")).count(), 20);
    }
}

#[test]
fn failures_of_callouts_are_told_in_envoys_words() {
    for (cluster, expected) in [
        (
            "gone",
            "503 upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
        ),
        ("busy", "503 upstream connect error or disconnect/reset before headers. reset reason: overflow"),
        ("auth", "401 seen"),
    ] {
        let script = move || {
            let script = answering(Script::new(), |caller| {
                let status = caller.header(MapType::HttpCallResponseHeaders, ":status").unwrap_or_default();
                let body = caller.buffer(BufferType::HttpCallResponseBody).unwrap_or_default();
                caller.log(&format!("{status} {}", String::from_utf8_lossy(&body)));
                caller.continue_stream(StreamType::Request);
            });
            script.on(ON_REQUEST, move |caller, _| i32::from(call_out(caller, cluster, &[])))
        };
        let proxy = Proxy::start(&[scripted("caller", script)]);
        assert_eq!(proxy.exchange(get("/empty", "")).status(), 200);
        proxy.wait_for(expected, 1);
    }
}

/// Holds a response for a callout: its head, or the end of its body.
fn holds_response(at_head: bool) -> impl Fn() -> Script + Send + Sync + 'static {
    move || {
        let script = answering(Script::new(), move |caller| {
            if at_head {
                assert_eq!(caller.add_header(RESPONSE, "x-asked", "1"), 0);
            }
            caller.continue_stream(StreamType::Response);
        });
        if at_head {
            return script.on(ON_RESPONSE, |caller, _| i32::from(call_out(caller, "auth", &[])));
        }
        script.on(ON_RESPONSE_BODY, |caller, args| i32::from(args.get(2) == Some(&1) && call_out(caller, "auth", &[])))
    }
}

#[test]
fn the_head_of_a_response_waits_for_a_callout() {
    for mode in [BodyMode::Stream, BodyMode::Buffer] {
        let proxy =
            Proxy::optional(&[scripted("asker", holds_response(true))], Options::default().with_response_body(mode));
        let mut client = Connection::open(proxy.address);
        for request in [post("/echo", "", b"abc"), get("/empty", "").into_bytes()] {
            let answer = client.exchange(&request);
            assert_eq!((answer.status(), answer.get("x-asked")), (200, Some("1")), "{mode:?}");
        }
    }
}

#[test]
fn the_end_of_a_response_waits_for_a_callout_if_its_body_is_buffered() {
    let options = Options::default().with_response_body(BodyMode::Buffer);
    let proxy = Proxy::optional(&[scripted("asker", holds_response(false))], options);
    let answer = proxy.exchange(post("/echo", "", b"abc"));
    assert!(answer.is_whole && answer.text() == "abc");
    // Pingora's own way cannot wait there.
    let proxy = Proxy::start(&[scripted("asker", holds_response(false))]);
    let answer = proxy.exchange(post("/echo", "", b"abc"));
    assert!(!answer.is_whole || answer.status() == 500, "{answer:?}");
}

/// Things that an upstream does with a request.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    /// Sends a part of the head of a response, and closes the connection.
    Break,
    Close,
    /// Waits until the client goes away.
    Hang,
}

/// The acts on each connection, in order.
type Connections = &'static [&'static [Act]];

/// Starts an upstream that does so on its connections, one after another; returns where it is, and how many requests it has been sent.
fn upstream(connections: Connections) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let requests = Arc::clone(&count);
    thread::spawn(move || {
        for acts in connections {
            let mut connection = Connection::new(listener.accept().unwrap().0);
            for act in *acts {
                let Some(_) = connection.request() else { break };
                requests.fetch_add(1, Ordering::Relaxed);
                match act {
                    Act::Answer => connection.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap(),
                    Act::Break => connection.write("HTTP/1.1 2").unwrap(),
                    Act::Close => {}
                    Act::Hang => assert!(connection.is_closed()),
                }
            }
        }
    });
    (address, count)
}

/// Sends a request, and reads the response to its end.
async fn call(clusters: &Clusters) -> Result<u16, SendError> {
    let (sender, body) = body_queue();
    sender.push("abc".into());
    sender.finish(None);
    let request = http::Request::post("http://test.example/").body(body).unwrap();
    let (head, body) = clusters.send("kept", request).await?.into_parts();
    http_body_util::BodyExt::collect(body).await?;
    Ok(head.status.as_u16())
}

#[test]
fn a_callout_is_sent_again_once_and_only_if_the_connection_was_closed_unanswered() {
    use Act::{Answer, Break, Close, Hang};
    let cases: [(Connections, Result<u16, &str>, usize); 5] = [
        (&[&[Answer, Close], &[Answer]], Ok(200), 3),
        (&[&[Answer, Break], &[Answer]], Err("already read: 10"), 2),
        (&[&[Answer, Hang], &[Answer]], Err("ReadTimedout"), 2),
        (&[&[Answer, Close], &[Close], &[Answer]], Err("already read: 0"), 3),
        (&[&[Answer, Close], &[Hang], &[Answer]], Err("ReadTimedout"), 3),
    ];
    // One thread: what Pingora does with a connection that it keeps is done when others yield to it. A connection that is asked for
    // while its task starts or ends counts as none, and a new one is made.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (index, (connections, expected, requests)) in cases.into_iter().enumerate() {
        let (address, count) = upstream(connections);
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.read_timeout = Some(Duration::from_secs(1));
        let clusters = Clusters::new([("kept", Cluster::new(peer))]);
        assert_eq!(runtime.block_on(call(&clusters)).map_err(|error| error.message), Ok(200), "{index}");
        runtime.block_on(async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        });
        match (runtime.block_on(call(&clusters)), expected) {
            (Ok(status), Ok(expected)) => assert_eq!(status, expected, "{index}"),
            (Err(error), Err(expected)) => assert!(error.message.contains(expected), "{index} {}", error.message),
            (result, expected) => panic!("{index}: {result:?} is not {expected:?}"),
        }
        assert_eq!(count.load(Ordering::Relaxed), requests, "{index}");
    }
}
