//! The admin interface: `/ready`, `/metrics`, `/config`, `/sandboxes`, `/denials`.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::watch;

use crate::descriptors;
use crate::health::Readiness;
use crate::host::GatewayHost;
use crate::metrics::Metrics;
use crate::net::listen::Listener;
use crate::seats::{Seat, Seats, Watched, refuse};

/// A client that has not sent a whole head, or is idle, for so long is disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Descriptors that are kept open for nothing but to be closed when there is none left for a connection.
const SPARE: usize = 4;

/// What the admin interface shows.
pub(crate) struct Admin {
    pub(crate) config: serde_json::Value,
    pub(crate) metrics: Metrics,
    pub(crate) host: GatewayHost,
    pub(crate) sandboxes: serde_json::Value,
}

/// Serves until told to stop, on a thread of its own: a busy worker does not silence it. Neither do clients that are slow, or
/// have taken all descriptors: it has connections and descriptors of its own.
pub(crate) fn run(admin: Admin, socket: TcpListener, mut stop: watch::Receiver<bool>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "no admin interface"),
    };
    let admin = Arc::new(admin);
    let remedy = "see which clients of the admin interface keep connections that they do not use";
    let seats = Seats::with_remedy("admin", descriptors::admin_connections(descriptors::limit()), remedy);
    let spare = RefCell::new(Vec::with_capacity(SPARE));
    runtime.block_on(async {
        let refill = || {
            let mut spare = spare.borrow_mut();
            while spare.len() < SPARE {
                let Ok(descriptor) = socket.try_clone() else { break };
                spare.push(descriptor);
            }
        };
        let relieve = || spare.borrow_mut().pop().is_some() || seats.relieve();
        refill();
        let listener = socket.try_clone().and_then(Listener::from_std);
        let socket = match listener {
            Ok(socket) => socket,
            Err(error) => return tracing::error!(%error, "no admin interface"),
        };
        loop {
            let tcp = tokio::select! {
                (tcp, _) = socket.accept_or(relieve) => tcp,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            refill();
            let Some(seat) = seats.take().await else {
                tcp.into_std().into_iter().for_each(refuse);
                continue;
            };
            let (key, state) = (seat.key(), Arc::clone(seat.state()));
            let admin = Arc::clone(&admin);
            let service = service_fn(move |request: Request<Incoming>| {
                let response = admin.answer(request.method(), request.uri().path());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(Watched::new(TokioIo::new(tcp), state), service);
            let task = tokio::spawn(async move {
                let _seat = seat;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "admin connection ended");
                }
            });
            Seat::occupied_by(&seats, key, task.abort_handle());
            if seats.any_leaving() {
                tokio::task::yield_now().await;
            }
        }
    });
}

impl Admin {
    /// The time that workers count in.
    fn now(&self) -> Duration {
        Duration::from_nanos(self.host.clock.monotonic())
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return respond(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
        }
        match path {
            "/ready" => {
                let Readiness { is_ready, text } = self.host.health.readiness(self.now());
                let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                respond(status, "text/plain", text)
            }
            "/metrics" => {
                self.host.health.set_gauges();
                respond(StatusCode::OK, "text/plain; version=0.0.4", self.metrics.render())
            }
            "/config" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.config)),
            "/sandboxes" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.sandboxes)),
            "/denials" => respond(StatusCode::OK, "application/json", format!("{:#}\n", self.host.denials.to_json())),
            _ => {
                let pages = "there is /ready, /metrics, /config, /sandboxes, /denials\n";
                respond(StatusCode::NOT_FOUND, "text/plain", pages.to_owned())
            }
        }
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
