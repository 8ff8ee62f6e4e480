//! Plugins, inner services and clients of the tests.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full};
use portcullis_chain::{Module, PluginSpec};
use portcullis_core::abi::{AbiVersion, BufferType, CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Plugin;
use portcullis_core::testing::{FakeHost, NullCaller, NullEngine, Script};
use portcullis_driver::body::BodyError;
use portcullis_tower::{
    BoxError, Cut, ManyThreads, PluginLayer, PluginService, Plugins, QueueBody, ServiceUpstreams, Workers,
};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

/// A body of any kind.
pub(crate) type AnyBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A service with its type erased.
pub(crate) type AnyService = BoxCloneSyncService<Request<QueueBody>, Response<AnyBody>, AnyError>;

/// The error of an inner service, of any kind.
#[derive(Debug)]
pub(crate) struct AnyError(String);

impl AnyError {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for AnyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for AnyError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl From<AnyError> for BoxError {
    fn from(error: AnyError) -> Self {
        error.0.into()
    }
}

pub(crate) type TestUpstreams = ServiceUpstreams<AnyService>;

/// Makes a plugin of a script.
pub(crate) fn spec(name: &'static str, script: fn() -> Script) -> PluginSpec {
    let compiled = NullEngine::new(script).module().unwrap();
    let module = Module::from_compiled(name, AbiVersion::V0_2_1, Some(script().exports()), compiled);
    PluginSpec::new(Plugin::new(name), Arc::new(module))
}

/// Starts a plugin with the upstream `auth`, which answers 201 with the path that it was asked for.
pub(crate) fn plugins(host: &FakeHost, script: fn() -> Script) -> Plugins<ManyThreads, TestUpstreams> {
    let auth = service(|request| async move {
        let path = request.uri().path().to_owned();
        Ok(Response::builder().status(201).body(full(path)).unwrap())
    });
    let upstreams = ServiceUpstreams::new(auth).with("auth", "http://127.0.0.1:1".parse().unwrap());
    Workers::new(host.clone(), upstreams).with_count(1).start(&[spec("script", script)]).unwrap()
}

/// Makes a service of a closure.
pub(crate) fn service<F, R>(run: F) -> AnyService
where
    F: Fn(Request<QueueBody>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Response<AnyBody>, AnyError>> + Send + 'static,
{
    BoxCloneSyncService::new(tower::service_fn(run))
}

/// An inner service that answers 200 with the body of the request, its trailers included, as they come.
pub(crate) fn echo() -> AnyService {
    service(|request| async move { Ok(Response::new(sent(request.into_body()))) })
}

/// Puts a plugin before a service.
pub(crate) fn behind(
    host: &FakeHost,
    script: fn() -> Script,
    inner: AnyService,
) -> PluginService<AnyService, ManyThreads, TestUpstreams> {
    PluginLayer::new(plugins(host, script)).layer(inner)
}

/// Passes a body on. One that breaks off ends the test.
pub(crate) fn sent(body: QueueBody) -> AnyBody {
    let broken = |error: BodyError| -> Infallible { panic!("{error}") };
    body.map_err(broken).boxed()
}

pub(crate) fn full(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into()).boxed()
}

pub(crate) fn empty() -> AnyBody {
    Empty::new().boxed()
}

/// A request as a client of HTTP/1.1 makes it.
pub(crate) fn request(method: &str, path: &str, body: AnyBody) -> Request<AnyBody> {
    Request::builder().method(method).uri(path).header("host", "a.example").body(body).unwrap()
}

/// The whole of a response.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) trailers: Option<HeaderMap>,
    /// The reason for which it was cut.
    pub(crate) cut: Option<&'static str>,
}

impl Whole {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends a request to a service behind plugins, and reads all of the response as a server would.
pub(crate) async fn ask<S, B>(service: S, request: Request<AnyBody>) -> Whole
where
    S: tower::Service<Request<AnyBody>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes, Error = Cut>,
{
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    let mut body = Box::pin(body);
    let (mut bytes, mut trailers, mut cut) = (Vec::new(), None, None);
    while !body.is_end_stream() {
        match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
            Some(Err(error)) => {
                cut = Some(error.reason());
                break;
            }
            None => break,
        }
    }
    let body = String::from_utf8(bytes).unwrap();
    Whole { status: parts.status, headers: parts.headers, body, trailers, cut }
}

/// A body of pieces that counts those which were read, and whether it was dropped.
pub(crate) struct Counted {
    piece: Bytes,
    left: usize,
    read: Arc<AtomicUsize>,
    _dropped: OnDrop,
}

struct OnDrop(Arc<AtomicUsize>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counts of a body.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    read: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Counts {
    /// Makes a body of so many pieces of 16 KiB.
    pub(crate) fn body(&self, pieces: usize) -> AnyBody {
        let counted = Counted {
            piece: Bytes::from(vec![b'x'; 16 << 10]),
            left: pieces,
            read: Arc::clone(&self.read),
            _dropped: OnDrop(Arc::clone(&self.dropped)),
        };
        counted.boxed()
    }

    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        self.read.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

/// Texts that a service or a body notes.
#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub(crate) fn add(&self, note: impl Into<String>) {
        self.0.lock().unwrap().push(note.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A plugin that only logs the end of streams.
pub(crate) fn logs_ends() -> Script {
    Script::new().on(CallbackId::on_log, |caller, _| {
        let details = property(caller, &["response", "code_details"]);
        let flags = property(caller, &["response", "flags"]);
        let flags = flags.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        caller.log(&format!("log {} {flags}", String::from_utf8_lossy(&details)));
        0
    })
}

/// Reads a property; empty if there is none.
pub(crate) fn property(caller: &mut NullCaller<'_>, path: &[&str]) -> Vec<u8> {
    let (key, key_len) = caller.put(path.join("\0").as_bytes());
    let value = caller.bytes(|caller, p, l| entry::proxy_get_property(caller, key, key_len, p, l));
    value.unwrap_or_default()
}

/// Removes a header.
pub(crate) fn remove_header(caller: &mut NullCaller<'_>, map: MapType, name: &str) {
    let (key, key_len) = caller.put(name.as_bytes());
    assert_eq!(entry::proxy_remove_header_map_value(caller, map as i32, key, key_len).ok(), Some(0));
}

/// Sets a header.
pub(crate) fn set_header(caller: &mut NullCaller<'_>, map: MapType, name: &str, value: &str) {
    let ((key, key_len), (value, value_len)) = (caller.put(name.as_bytes()), caller.put(value.as_bytes()));
    let status = entry::proxy_replace_header_map_value(caller, map as i32, key, key_len, value, value_len);
    assert_eq!(status.ok(), Some(0));
}

/// Makes a callout to `auth` without a time limit.
pub(crate) fn call_out(caller: &mut NullCaller<'_>, path: &str) {
    let (upstream, upstream_len) = caller.put(b"auth");
    let (pairs, pairs_len) = caller.put_pairs(&[(":method", "GET"), (":path", path), (":authority", "auth")]);
    let (call, _) = caller.put(&[0; 4]);
    let status = entry::proxy_http_call(caller, upstream, upstream_len, pairs, pairs_len, 0, 0, 0, 0, 0, call);
    assert_eq!(status.ok(), Some(0));
}

/// Puts a text in the place of a body.
pub(crate) fn replace_body(caller: &mut NullCaller<'_>, buffer: BufferType, text: &str) {
    assert_eq!(caller.set_buffer(buffer, text.as_bytes()), 0);
}
