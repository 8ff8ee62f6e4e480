//! The upstreams that plugins call: Envoy's clusters.
//!
//! Envoy takes requests on its own threads alone, and the driver makes them on the module's. So each goes through an [`Outbox`], whose
//! scheduler calls the configuration back on the main thread; there [`Exchanges`] makes the requests and sends what comes of them.

mod answer;
mod events;
mod exchanges;
mod outbox;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis::chain::{AnyStreamId, ConnectionId, convert};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{CalledFor, SendError, Upstreams};
use tokio::sync::oneshot;

use self::answer::{Answer, Given};
pub(crate) use self::events::Event;
pub(crate) use self::exchanges::Exchanges;
use self::outbox::{Command, Key};
pub(crate) use self::outbox::{Outbox, REQUESTS};

/// The outboxes of all configurations that Envoy has or is making, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outboxes(Arc<Mutex<Vec<Listed>>>);

#[derive(Debug)]
struct Listed {
    outbox: Arc<Outbox>,
    /// Its configuration was accepted.
    is_ready: bool,
}

impl Outboxes {
    /// Adds the outbox of a configuration that is being made.
    pub(crate) fn add(&self, outbox: Outbox) -> Membership {
        let outbox = Arc::new(outbox);
        self.lock().push(Listed { outbox: Arc::clone(&outbox), is_ready: false });
        Membership { outboxes: self.clone(), outbox }
    }

    /// Has the youngest configuration called back with this number.
    pub(crate) fn call(&self, event: u64) {
        if let Some(outbox) = self.youngest().or_else(|| self.unready()) {
            outbox.call(event);
        }
    }

    /// Returns the youngest that was accepted: it outlives the others, mostly, and with it the requests that it makes.
    fn youngest(&self) -> Option<Arc<Outbox>> {
        self.lock().iter().rev().find(|listed| listed.is_ready).map(|listed| Arc::clone(&listed.outbox))
    }

    /// Returns the youngest. One that is refused ends with all that waits in it, so only what has no other way takes this.
    fn unready(&self) -> Option<Arc<Outbox>> {
        self.lock().last().map(|listed| Arc::clone(&listed.outbox))
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outbox of a configuration, among the others. Dropping it ends it, however its configuration ends.
#[derive(Debug)]
pub(crate) struct Membership {
    outboxes: Outboxes,
    outbox: Arc<Outbox>,
}

impl Membership {
    /// Notes that the configuration was accepted: from now on requests of all plugins go this way.
    pub(crate) fn accept(&self) {
        let mut all = self.outboxes.lock();
        all.iter_mut().filter(|listed| Arc::ptr_eq(&listed.outbox, &self.outbox)).for_each(|own| own.is_ready = true);
    }

    /// Takes all commands.
    pub(crate) fn take(&self) -> Vec<Command> {
        self.outbox.take()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.outboxes.lock().retain(|listed| !Arc::ptr_eq(&listed.outbox, &self.outbox));
        self.outbox.close();
    }
}

/// Envoy's clusters, for the driver of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Clusters {
    outboxes: Outboxes,
    /// The outboxes of connections, by way of which their plugins call out where no HTTP filter is configured.
    connections: Arc<Mutex<HashMap<ConnectionId, Arc<Outbox>>>>,
}

impl Clusters {
    pub(crate) fn new(outboxes: Outboxes) -> Self {
        Self { outboxes, connections: Arc::default() }
    }

    /// Lets the plugins of a connection call out by way of it.
    pub(crate) fn add(&self, id: ConnectionId, outbox: Arc<Outbox>) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).insert(id, outbox);
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Returns the way of a request: the main thread, where it outlives its stream; else the connection that it is for; else the
    /// configuration that is being made, of which a plugin may call out while it starts.
    fn way(&self, request: &http::Extensions) -> Option<Arc<Outbox>> {
        let of_connection = || match request.get() {
            Some(CalledFor(AnyStreamId::Tcp(id))) => {
                self.connections.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
            }
            _ => None,
        };
        self.outboxes.youngest().or_else(of_connection).or_else(|| self.outboxes.unready())
    }
}

impl Upstreams for Clusters {
    type Body = Answer;

    async fn send(&self, upstream: &str, request: Request<QueueBody>) -> Result<Response<Answer>, SendError> {
        let (parts, body) = request.into_parts();
        let Some(outbox) = self.way(&parts.extensions) else { return Err(gone()) };
        let key = next_key();
        let (events, answers) = events::channel();
        let headers = convert::request_headers(&parts, false);
        let (whole, rest) = split(body).await;
        let given = Given::new(Arc::clone(&outbox), key);
        let end = rest.is_none();
        let start = Command::Start { key, cluster: upstream.to_owned(), headers, body: whole, end, events };
        if !outbox.push(start) {
            return Err(gone());
        }
        if let Some(rest) = rest {
            tokio::spawn(send_rest(rest, outbox, key));
        }
        answer::head(answers, given).await
    }

    /// Only Envoy knows what a cluster speaks, and whether there is one: it says so when it is called.
    fn speaks_http2(&self, _: &str) -> Option<bool> {
        Some(true)
    }
}

/// Returns the error where Envoy has neither a configuration of HTTP filters nor the connection that a request is for.
fn gone() -> SendError {
    SendError::new("local reset", "Envoy has no filter of this module by way of which the request can be made")
}

/// Returns a body that is complete, or what is left of one that is not.
async fn split(mut body: QueueBody) -> (bytes::Bytes, Option<QueueBody>) {
    if !matches!(body.complete(), Some((_, false))) {
        return (bytes::Bytes::new(), Some(body));
    }
    let mut whole = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            whole.extend_from_slice(&data);
        }
    }
    (whole.into(), None)
}

/// Sends a body as it comes, one piece at a time, so that what waits stays where its bounds are.
async fn send_rest(mut body: QueueBody, outbox: Arc<Outbox>, key: Key) {
    loop {
        let (taken, was_taken) = oneshot::channel();
        let (command, end) = match body.frame().await {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => (Command::Data { key, data, end: false, taken }, false),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    (Command::Trailers { key, trailers: convert::trailers(&trailers) }, true)
                }
            },
            None => (Command::Data { key, data: bytes::Bytes::new(), end: true, taken }, true),
            Some(Err(_)) => (Command::Reset { key }, true),
        };
        // Whoever waits for the answer learns that the configuration has gone, or that the request has ended.
        if !outbox.push(command) || end || was_taken.await.is_err() {
            return;
        }
    }
}

fn next_key() -> Key {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Key(NEXT.fetch_add(1, Ordering::Relaxed))
}
