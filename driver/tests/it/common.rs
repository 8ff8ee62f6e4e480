//! Plugins, upstreams and streams of the tests.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use portcullis_chain::{AnyStreamId, Chain, Module, PluginSpec, StreamEffect, StreamId, Worker};
use portcullis_core::abi::AbiVersion;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, Plugin, StreamInfo};
use portcullis_core::sandbox::{Recycle, VmSpec};
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{Builder, CalledFor, Driver, QueueWake, SendError, SystemResolver, Threads, Upstreams};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Makes a worker with one plugin, which is `script`, in a VM with bounds.
fn worker(host: &FakeHost, queues: &QueueWake, script: fn() -> Script, recycle: Recycle) -> (Worker, Chain) {
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled("script", AbiVersion::V0_2_1, Some(script().exports()), compiled);
    let host = host.clone();
    let mut worker = Worker::new(move || Box::new(host.clone())).with_shared(Default::default(), queues.wake());
    let spec = PluginSpec::new(Plugin::new("script"), Arc::new(module));
    let chain = worker.load(&[spec.with_vm(VmSpec::default().with_recycle(recycle))]).unwrap();
    (worker, chain)
}

/// Makes the builder of a driver whose clock begins now.
pub(crate) fn builder(host: &FakeHost, script: fn() -> Script) -> (Builder<Answering>, Chain) {
    recycling_builder(host, script, Recycle::default())
}

/// The same, with bounds of its VM.
pub(crate) fn recycling_builder(
    host: &FakeHost,
    script: fn() -> Script,
    recycle: Recycle,
) -> (Builder<Answering>, Chain) {
    let queues = QueueWake::default();
    let (worker, chain) = worker(host, &queues, script, recycle);
    let start = Instant::now().into_std();
    (Builder::new(worker, Answering::default(), move |time| start + time).queues(queues), chain)
}

/// The upstream `auth`, which answers with the body of the request. `hangs` does not answer, `broken` resets.
#[derive(Clone, Default)]
pub(crate) struct Answering(Arc<Seen>);

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) requests: Mutex<Vec<String>>,
    pub(crate) called_for: Mutex<Vec<Option<AnyStreamId>>>,
    pub(crate) messages: Mutex<Vec<String>>,
    /// Told of each call that has brought messages.
    pub(crate) has_messages: Notify,
    pub(crate) given_up: AtomicUsize,
    pub(crate) panicked: AtomicBool,
    pub(crate) refused: AtomicUsize,
    pub(crate) timed_out: Mutex<Vec<(String, Duration)>>,
}

impl Answering {
    pub(crate) fn seen(&self) -> &Seen {
        &self.0
    }
}

/// Counts a request that nobody waits for any more.
struct GivenUp(Arc<Seen>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
    }
}

impl Upstreams for Answering {
    type Body = Full<Bytes>;

    async fn send(&self, upstream: &str, request: Request<QueueBody>) -> Result<Response<Full<Bytes>>, SendError> {
        let line = format!("{upstream} {} {}", request.method(), request.uri());
        self.0.requests.lock().unwrap().push(line);
        self.0.called_for.lock().unwrap().push(request.extensions().get().map(|CalledFor(stream)| *stream));
        match upstream {
            "auth" => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Ok(Response::builder().status(201).body(Full::from(body)).unwrap())
            }
            "grpc" => {
                // The messages without their frames: a flag and a length.
                let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let mut rest = &body[..];
                while let Some(([0, len @ ..], after)) = rest.split_first_chunk::<5>() {
                    let (message, after) = after.split_at(u32::from_be_bytes(*len) as usize);
                    self.0.messages.lock().unwrap().push(String::from_utf8(message.to_vec()).unwrap());
                    rest = after;
                }
                assert!(rest.is_empty());
                self.0.has_messages.notify_one();
                let head = Response::builder().header("content-type", "application/grpc").header("grpc-status", "0");
                Ok(head.body(Full::default()).unwrap())
            }
            "panics" => {
                self.0.panicked.store(true, Ordering::Relaxed);
                panic!("the upstreams of an embedder")
            }
            "hangs" => {
                let _given_up = GivenUp(Arc::clone(&self.0));
                std::future::pending().await
            }
            "broken" => Err(SendError::new("connection termination", "connection termination")),
            _ => Err(SendError::unknown()),
        }
    }

    fn speaks_http2(&self, upstream: &str) -> Option<bool> {
        ["auth", "grpc"].contains(&upstream).then_some(true)
    }

    fn timed_out(&self, upstream: &str, limit: Duration) {
        self.0.timed_out.lock().unwrap().push((upstream.to_owned(), limit));
    }

    fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    async fn resolve(&self, name: String, _: &SystemResolver) -> io::Result<Vec<IpAddr>> {
        Ok(if name == "example.com" { vec![[192, 0, 2, 1].into()] } else { Vec::new() })
    }
}

/// Makes a callout, with a time limit in milliseconds; returns its number.
pub(crate) fn call_out(caller: &mut NullCaller<'_>, upstream: &str, body: &str, limit: i32) -> i32 {
    let ((upstream, upstream_len), (body, body_len)) = (caller.put(upstream.as_bytes()), caller.put(body.as_bytes()));
    let (pairs, pairs_len) = caller.put_pairs(&[(":method", "POST"), (":path", "/x"), (":authority", "a")]);
    let (call, _) = caller.put(&[0; 4]);
    let status =
        entry::proxy_http_call(caller, upstream, upstream_len, pairs, pairs_len, body, body_len, 0, 0, limit, call);
    assert_eq!(status.unwrap(), 0);
    caller.word(call).cast_signed()
}

/// Lets other tasks run until something is so; fails if they never make it so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it does not happen");
}

/// Opens a stream with a request's head.
pub(crate) fn open<T: Threads>(driver: &Driver<T, Answering>, chain: &Chain, path: &str) -> StreamId {
    let headers = [(":method", "GET"), (":path", path), (":authority", "a")].into_iter().collect();
    driver.call(|worker| {
        let stream = worker.open(chain, StreamInfo::default().into_shared(), 1 << 20);
        worker.headers(stream, Direction::Request, headers, true);
        stream
    })
}

/// Waits until the plugins have let the request's head pass.
pub(crate) async fn passed<T: Threads>(driver: &Driver<T, Answering>, stream: StreamId) {
    poll_fn(|cx| {
        driver.register(stream, cx.waker());
        match driver.with(|worker| worker.stream_effect(stream)) {
            Some(StreamEffect::RequestHeaders { end: true }) => Poll::Ready(()),
            None => Poll::Pending,
            Some(other) => panic!("{other:?}"),
        }
    })
    .await;
}
