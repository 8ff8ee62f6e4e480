//! gRPC callouts, to a server of another make.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status, Streaming};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, get, run, within};
use crate::e2e::timeouts::closed_port;

#[test]
fn a_call_is_answered() {
    run(async {
        let server = Server::start().await;
        let gate = server.gate("grpc_call");
        for _ in 0..3 {
            assert_eq!(ask(&gate, "/Unary").await, "m=hello;");
        }
        let seen = server.seen("Unary");
        assert_eq!(seen, ["test.Echo application/grpc trailers v None"; 3]);
    });
}

#[test]
fn a_call_fails_with_status_and_message() {
    run(async {
        let server = Server::start().await;
        let gate = server.gate("grpc_fail");
        assert_eq!(ask(&gate, "/Fail").await, "c5 no such thing, é;");
        assert_eq!(ask(&gate, "/Empty").await, "c13 the upstream sent no message;");
        assert_eq!(ask(&gate, "/Twice").await, "c13 the upstream sent more than one message;");
    });
}

#[test]
fn a_call_ends_at_its_deadline() {
    run(async {
        let server = Server::start().await;
        assert_eq!(ask(&server.gate("grpc_deadline"), "/Deadline").await, "c4 ;");
        assert_eq!(server.seen("Deadline"), ["test.Echo application/grpc trailers v Some(\"200m\")"]);
        within(async {
            while server.seen("gone").is_empty() {
                pause().await
            }
        })
        .await;
    });
}

#[test]
fn a_stream_goes_both_ways() {
    run(async {
        let server = Server::start().await;
        let gate = server.gate("grpc_stream");
        assert_eq!(ask(&gate, "/StreamEcho").await, "i=first;m=one;m=two;t=;c0 ;");
        assert_eq!(ask(&gate, "/StreamFail").await, "i=;m=one;t=last;c10 late;");
        // What has no message has its trailers at once.
        assert_eq!(ask(&gate, "/SFail").await, "t=;c5 no such thing, é;");
    });
}

#[test]
fn a_stream_that_is_cancelled_is_reset() {
    run(async {
        let server = Server::start().await;
        assert_eq!(ask(&server.gate("grpc_cancel"), "/StreamCancel").await, "i=;m=one;cancelled");
        within(async {
            while server.seen("reset").is_empty() {
                pause().await
            }
        })
        .await;
    });
}

#[test]
fn an_upstream_named_by_a_message_is_found() {
    run(async {
        let server = Server::start().await;
        assert_eq!(ask(&server.gate("grpc_message"), "/Message").await, "m=hello;");
        assert_eq!(server.seen("authority"), ["a.test"]);
    });
}

#[test]
fn an_upstream_that_cannot_be_reached_is_unavailable() {
    run(async {
        let server = Server::start().await;
        let gate = server.gate("grpc_nowhere");
        let answer = ask(&gate, "/Nowhere").await;
        assert!(answer.starts_with("c14 upstream connect error"), "{answer}");
        assert_eq!(ask(&gate, "/Old").await, "c14 cluster old does not speak HTTP/2: give it `protocol: http2`;");
        let answer = ask(&gate, "/unknown").await;
        assert_eq!(answer, "c12 HTTP status 404 Not Found;");
    });
}

#[test]
fn beyond_the_callouts_that_may_be_in_flight_all_are_unavailable() {
    run(async {
        let server = Server::start().await;
        let setup = Setup::echo().plugin("grpc_overflow", &plugin_with(IMPORTS, PLUGIN), "");
        let setup = setup.cluster("grpc", &format!("endpoints: [{}], protocol: http2", server.address));
        let gate = Gate::start(&format!("max_callouts: 1\n{}", setup.text()));
        let mut client = gate.h1().await;
        // Its stream stays open.
        let waits = tokio::spawn(async move { client.try_ask(get("/StreamOpen")).await });
        within(async {
            while server.seen("StreamOpen").is_empty() {
                pause().await
            }
        })
        .await;
        let overflow = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
        // The other stream may have had an answer before.
        let told = ask(&gate, "/Unary").await;
        assert!(told.ends_with(&format!("c14 {overflow};")), "{told}");
        assert_eq!(server.seen("Unary").len(), 0);
        waits.abort();
    });
}

#[test]
fn how_a_stream_breaks_off_is_told_as_a_status() {
    run(async {
        let (address, seen) = raw_server().await;
        let gate = gate(address, "grpc_reset");
        for (path, code) in [("Refuse", 14), ("Cancelled", 1), ("Calm", 8), ("Broken", 13), ("Lost", 14)] {
            for (kind, before) in [("S", ""), ("SMid", "i=;"), ("U", ""), ("UMid", "")] {
                let answer = ask(&gate, &format!("/{kind}{path}")).await;
                assert!(answer.starts_with(&format!("{before}c{code} ")), "{kind}{path}: {answer}");
            }
        }
        assert_eq!(ask(&gate, "/StreamCancel").await, "i=;m=one;cancelled");
        within(async {
            while seen.lock().unwrap().is_empty() {
                pause().await
            }
        })
        .await;
        assert_eq!(*seen.lock().unwrap(), [("reset".to_owned(), "CANCEL".to_owned())]);
    });
}

/// An HTTP/2 server that breaks off as the method says, `Mid` after the response has begun.
async fn raw_server() -> (SocketAddr, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let noted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut connection = h2::server::handshake(tcp).await.unwrap();
            let seen = Arc::clone(&noted);
            tokio::spawn(async move {
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let path = request.uri().path().to_owned();
                    let mut stream = None;
                    if path.contains("Mid") || path.contains("StreamCancel") {
                        let response = http::Response::builder().header("content-type", "application/grpc");
                        stream = Some(respond.send_response(response.body(()).unwrap(), false).unwrap());
                    }
                    if let Some(mut stream) = stream.take_if(|_| path.contains("StreamCancel")) {
                        stream.send_data(Bytes::from_static(b"\0\0\0\0\x03one"), false).unwrap();
                        let seen = Arc::clone(&seen);
                        tokio::spawn(async move {
                            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await.unwrap();
                            note(&seen, "reset", &format!("{reason:?}"));
                            drop(request);
                        });
                        continue;
                    }
                    // What was sent must have gone before it is broken off.
                    let breaks =
                        path.rsplit('/').next().unwrap().trim_start_matches(['S', 'U']).trim_start_matches("Mid");
                    let reason = match breaks {
                        "Refuse" => h2::Reason::REFUSED_STREAM,
                        "Cancelled" => h2::Reason::CANCEL,
                        "Calm" => h2::Reason::ENHANCE_YOUR_CALM,
                        "Broken" => h2::Reason::INTERNAL_ERROR,
                        _ => {
                            let _ = tokio::time::timeout(Duration::from_millis(50), connection.accept()).await;
                            return;
                        }
                    };
                    let _ = tokio::time::timeout(Duration::from_millis(20), connection.accept()).await;
                    match stream {
                        Some(mut stream) => stream.send_reset(reason),
                        None => respond.send_reset(reason),
                    }
                }
            });
        }
    });
    (address, seen)
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn ask(gate: &Gate, path: &str) -> String {
    let answer = gate.h1().await.ask(get(path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

/// A gRPC server whose methods do what their names say.
struct Server {
    address: SocketAddr,
    seen: Seen,
}

type Seen = Arc<Mutex<Vec<(String, String)>>>;

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
        let server = Self { address, seen: Arc::clone(&seen) };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request| serve(request, Arc::clone(&seen)));
                let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(http2.serve_connection(TokioIo::new(tcp), service));
            }
        });
        server
    }

    /// A gateway whose plugin answers with what it is told.
    fn gate(&self, name: &str) -> Gate {
        gate(self.address, name)
    }

    /// Returns the events of a kind.
    fn seen(&self, kind: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(of, _)| of == kind).map(|(_, what)| what.clone()).collect()
    }
}

fn gate(server: SocketAddr, name: &str) -> Gate {
    Setup::echo()
        .plugin(name, &plugin_with(IMPORTS, PLUGIN), "")
        .cluster("grpc", &format!("endpoints: [{server}], protocol: http2"))
        .cluster("old", &format!("endpoints: [{server}]"))
        .cluster("nowhere", &format!("endpoints: [{}], protocol: http2", closed_port()))
        .start()
}

async fn serve(
    request: http::Request<hyper::body::Incoming>,
    seen: Seen,
) -> Result<http::Response<tonic::body::Body>, std::convert::Infallible> {
    let path = request.uri().path().to_owned();
    let (service, method) = path.trim_start_matches('/').split_once('/').unwrap();
    if method == "unknown" {
        let mut response = http::Response::new(tonic::body::Body::empty());
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let field = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let shown = |name| field(name).unwrap_or_default();
    let (content, te, key, timeout) = (shown("content-type"), shown("te"), shown("k"), field("grpc-timeout"));
    note(&seen, method, &format!("{service} {content} {te} {key} {timeout:?}"));
    note(&seen, "authority", request.uri().authority().unwrap().as_str());
    let handler = Handler { method: method.to_owned(), seen };
    Ok(tonic::server::Grpc::new(Plain).streaming(handler, request).await)
}

fn note(seen: &Seen, kind: &str, what: &str) {
    seen.lock().unwrap().push((kind.to_owned(), what.to_owned()));
}

struct Handler {
    method: String,
    seen: Seen,
}

type Answer = tonic::Response<ReceiverStream<Result<Bytes, Status>>>;

impl tonic::server::StreamingService<Bytes> for Handler {
    type Response = Bytes;
    type ResponseStream = ReceiverStream<Result<Bytes, Status>>;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Answer, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (method, seen) = (self.method.clone(), Arc::clone(&self.seen));
        Box::pin(async move {
            if method.ends_with("Fail") && method != "StreamFail" {
                return Err(Status::not_found("no such thing, é"));
            }
            let (sender, receiver) = mpsc::channel(1);
            let echoes = method == "StreamEcho";
            tokio::spawn(converse(method, request.into_inner(), sender, seen));
            let mut answer = tonic::Response::new(ReceiverStream::new(receiver));
            if echoes {
                answer.metadata_mut().insert("x-initial", "first".parse().unwrap());
            }
            Ok(answer)
        })
    }
}

async fn converse(
    method: String,
    mut messages: Streaming<Bytes>,
    answers: mpsc::Sender<Result<Bytes, Status>>,
    seen: Seen,
) {
    let one = || Bytes::from_static(b"one");
    match method.as_str() {
        "Empty" => {}
        "Twice" => {
            for _ in 0..2 {
                let _ = answers.send(Ok(one())).await;
            }
        }
        "Deadline" => {
            answers.closed().await;
            note(&seen, "gone", "");
        }
        "StreamFail" => {
            let _ = answers.send(Ok(one())).await;
            let mut metadata = MetadataMap::new();
            metadata.insert("x-trailing", "last".parse().unwrap());
            let _ = answers.send(Err(Status::with_metadata(Code::Aborted, "late", metadata))).await;
        }
        "StreamCancel" => {
            let _ = answers.send(Ok(one())).await;
            while let Ok(Some(_)) = messages.message().await {}
            note(&seen, "reset", "");
        }
        _ => {
            while let Ok(Some(message)) = messages.message().await {
                let _ = answers.send(Ok(message)).await;
            }
        }
    }
}

/// Messages are bytes.
#[derive(Clone, Copy)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}

const IMPORTS: &str = r#"
  (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $read (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_status" (func $status (param i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_call"
    (func $grpc_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_stream" (func $grpc_stream (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_send" (func $send (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_grpc_cancel" (func $cancel (param i32) (result i32)))
  (import "env" "proxy_grpc_close" (func $half_close (param i32) (result i32)))
"#;

/// Calls the method that the path names (a stream's begins with `S`), and answers with what it is told.
const PLUGIN: &str = r#"
  (data (i32.const 600) "\01\00\00\00\01\00\00\00\01\00\00\00k\00v\00")
  (data (i32.const 640) "\0a\0e\0a\04grpc\12\06a.test")
  (global $len (mut i32) (i32.const 0))
  (global $letter (mut i32) (i32.const 0))
  (global $last (mut i32) (i32.const 0))
  (global $cancels (mut i32) (i32.const 0))
  (func $put (param i32 i32)
    (memory.copy (i32.add (i32.const 0x39000) (global.get $len)) (local.get 0) (local.get 1))
    (global.set $len (i32.add (global.get $len) (local.get 1))))
  (func $put_found (call $put (i32.load (i32.const 512)) (i32.load (i32.const 516))))
  (func $respond
    (drop (call $effective (global.get $stream)))
    (call $answer (i32.const 200) (i32.const 0x39000) (global.get $len))
    (global.set $len (i32.const 0)))
  (func $must (param i32) (if (local.get 0) (then unreachable)))
  (func $upstream (result i32 i32)
    (if (i32.eq (global.get $letter) (i32.const 0x4d)) (then (return (i32.const 640) (i32.const 16))))
    (if (i32.eq (global.get $letter) (i32.const 0x4e)) (then (return $"nowhere")))
    (if (i32.eq (global.get $letter) (i32.const 0x4f)) (then (return $"old")))
    $"grpc")
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (local $at i32) (local $size i32) (local $name i32) (local $name_len i32)
    (global.set $stream (local.get $id))
    (call $must (call $get (i32.const 0) $":path" (i32.const 512) (i32.const 516)))
    (local.set $at (i32.add (i32.load (i32.const 512)) (i32.const 1)))
    (local.set $size (i32.sub (i32.load (i32.const 516)) (i32.const 1)))
    (global.set $letter (i32.load8_u (local.get $at)))
    (global.set $last (i32.load8_u (i32.add (local.get $at) (i32.sub (local.get $size) (i32.const 1)))))
    ;; `StreamCancel` is the longest.
    (global.set $cancels (i32.eq (local.get $size) (i32.const 12)))
    (call $upstream)
    (local.set $name_len)
    (local.set $name)
    (if (i32.eq (global.get $letter) (i32.const 0x53))
      (then
        (call $must (call $grpc_stream (local.get $name) (local.get $name_len) $"test.Echo"
          (local.get $at) (local.get $size) (i32.const 600) (i32.const 16) (i32.const 520)))
        (call $must (call $send (i32.load (i32.const 520)) $"one" (i32.const 0)))
        (if (i32.eq (global.get $last) (i32.const 0x6f))
          (then
            (call $must (call $send (i32.load (i32.const 520)) $"two" (i32.const 0)))
            (call $must (call $half_close (i32.load (i32.const 520)))))))
      (else
        (call $must (call $grpc_call (local.get $name) (local.get $name_len) $"test.Echo"
          (local.get $at) (local.get $size) (i32.const 600) (i32.const 16) $"hello"
          (select (i32.const 200) (i32.const 0) (i32.eq (global.get $letter) (i32.const 0x44)))
          (i32.const 520)))))
    (i32.const 1))
  (func (export "proxy_on_grpc_receive_initial_metadata") (param i32 i32 i32)
    (call $put $"i=")
    (if (i32.eqz (call $get (i32.const 4) $"x-initial" (i32.const 512) (i32.const 516))) (then (call $put_found)))
    (call $put $";"))
  (func (export "proxy_on_grpc_receive") (param i32 i32 i32)
    (call $put $"m=")
    (call $must (call $read (i32.const 5) (i32.const 0) (local.get 2) (i32.const 512) (i32.const 516)))
    (call $put_found)
    (call $put $";")
    (if (i32.ne (global.get $letter) (i32.const 0x53)) (then (call $respond)))
    (if (global.get $cancels)
      (then
        (call $must (call $cancel (local.get 1)))
        (call $put $"cancelled")
        (call $respond))))
  (func (export "proxy_on_grpc_receive_trailing_metadata") (param i32 i32 i32)
    (call $put $"t=")
    (if (i32.eqz (call $get (i32.const 5) $"x-trailing" (i32.const 512) (i32.const 516))) (then (call $put_found)))
    (call $put $";"))
  (func (export "proxy_on_grpc_close") (param i32 i32 i32)
    (call $put $"c")
    (if (i32.ge_u (local.get 2) (i32.const 10)) (then (call $put $"1")))
    (i32.store8 (i32.const 528) (i32.add (i32.const 0x30) (i32.rem_u (local.get 2) (i32.const 10))))
    (call $put (i32.const 528) (i32.const 1))
    (call $put $" ")
    (call $must (call $status (i32.const 524) (i32.const 512) (i32.const 516)))
    (if (i32.ne (i32.load (i32.const 524)) (local.get 2)) (then unreachable))
    (call $put_found)
    (call $put $";")
    (call $respond))
"#;
