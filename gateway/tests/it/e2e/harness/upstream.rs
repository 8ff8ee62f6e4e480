//! An upstream on a thread of its own, which does what a test says.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use portcullis_gateway::upstream::echo::echo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Sent, full};

/// A server that speaks HTTP/1 and HTTP/2.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    closed: AtomicUsize,
    requests: AtomicUsize,
}

/// A response with a body.
pub(crate) fn reply(status: u16, body: &'static str) -> Response<Sent> {
    Response::builder().status(status).body(full(body)).unwrap()
}

impl Upstream {
    /// A server that answers by `answer`.
    pub(crate) fn new<F: Future<Output = Response<Sent>> + Send + 'static>(
        answer: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        socket.set_nonblocking(true).unwrap();
        let counts = Arc::<Counts>::default();
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(TcpListener::from_std(socket).unwrap(), seen, Arc::new(answer)) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, counts, stop: Some(stop), thread: Some(thread) }
    }

    /// A server that answers with the request, as JSON.
    pub(crate) fn echo() -> Self {
        Self::new(|request| async move { echo(request).await.map(|body| body.map_err(|never| match never {}).boxed()) })
    }

    /// How many connections have come.
    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// How many of them have ended.
    pub(crate) fn closed(&self) -> usize {
        self.counts.closed.load(Ordering::SeqCst)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve<F: Future<Output = Response<Sent>> + Send + 'static>(
    socket: TcpListener,
    counts: Arc<Counts>,
    answer: Arc<impl Fn(Request<Incoming>) -> F + Send + Sync + 'static>,
) {
    loop {
        let Ok((tcp, _)) = socket.accept().await else { continue };
        tcp.set_nodelay(true).unwrap();
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        let (answer, counts) = (Arc::clone(&answer), Arc::clone(&counts));
        tokio::spawn(async move {
            let requests = Arc::clone(&counts);
            let service = service_fn(move |request| {
                requests.requests.fetch_add(1, Ordering::SeqCst);
                let response = answer(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), service).await;
            counts.closed.fetch_add(1, Ordering::SeqCst);
        });
    }
}
