//! A cluster of upstream endpoints.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response};

use super::account::Account;
use super::body::UpstreamBody;
use super::config::ClusterConfig;
use super::endpoint::Endpoint;
use super::error::UpstreamError;
use super::failures::Failures;
use super::request::prepare;
use super::server::{Dialed, Reached};
use super::tls::Tls;
use portcullis_driver::body::QueueBody;

/// A cluster of upstream endpoints and this worker's connections to them. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Cluster(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ClusterConfig,
    endpoints: Vec<Rc<Endpoint>>,
    /// The next endpoint of round robin.
    next: Cell<usize>,
    /// Failures of no endpoint in particular.
    failures: Failures,
}

impl Cluster {
    /// Opens no connection yet; there may be any number.
    pub fn new(config: ClusterConfig) -> Self {
        Self::within(config, &Account::unlimited())
    }

    /// Creates a cluster whose connections count for an account.
    pub fn within(config: ClusterConfig, account: &Account) -> Self {
        let tls = config.tls.as_ref().map(|tls| Rc::new(Tls::new(tls, config.protocol)));
        let metadata = config.metadata.iter().cloned().chain(std::iter::repeat(None));
        let endpoint = |(name, metadata): (&String, _)| {
            let endpoint = Rc::new(Endpoint::new(name, metadata, &config, account.clone(), tls.clone()));
            account.add(&endpoint);
            endpoint
        };
        let endpoints = config.endpoints.iter().zip(metadata).map(endpoint).collect();
        let failures = Failures::new(&config.name);
        Self(Rc::new(Inner { config, endpoints, next: Cell::new(0), failures }))
    }

    /// Returns the cluster's name in the configuration.
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// Returns whether one is a clone of the other.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Notes that a request was not answered within its limit.
    pub fn timed_out(&self, limit: Duration) {
        self.0.failures.note_timeout(limit);
    }

    /// Opens a connection of its own to the next endpoint in turn that can be connected to, for other bytes than
    /// HTTP.
    pub fn dial(&self) -> impl Future<Output = Result<Dialed, UpstreamError>> + use<> {
        let inner = Rc::clone(&self.0);
        async move {
            let count = inner.endpoints.len();
            let first = inner.next.get();
            inner.next.set(first.wrapping_add(1));
            let mut last = UpstreamError::NoEndpoints { cluster: inner.config.name.as_str().into() };
            for turn in 0..count {
                let Some(endpoint) = inner.endpoints.get(first.wrapping_add(turn) % count) else { break };
                match endpoint.dial().await {
                    Ok(dialed) => return Ok(dialed),
                    Err(error) => {
                        endpoint.server().failed(&error);
                        last = error;
                        if last.is_overflow() {
                            break;
                        }
                    }
                }
            }
            Err(last)
        }
    }

    /// Sends a request to the next endpoint in turn, and gives the response as soon as its headers are there.
    ///
    /// The target and the `host` field say what the upstream is asked for, not where the connection goes: over HTTP/1.1
    /// the target is sent in origin form with the `host` field as given, over HTTP/2 the target's authority is
    /// `:authority`. Each is filled in from the other when missing. The body need not be complete, but a request
    /// without one should have its (empty) body finished before, or it goes out as a chunked one.
    ///
    /// An endpoint that cannot be connected to is passed over for the next one, each tried once. A request that a
    /// reused connection did not take, because the upstream had closed it meanwhile, is sent again on a fresh one;
    /// nothing else is sent twice.
    ///
    /// The future owns what it needs. Dropping it, or the response's body before its end, gives up the request: the
    /// HTTP/1.1 connection is closed, the HTTP/2 stream reset.
    pub fn send(
        &self,
        request: Request<QueueBody>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + use<> {
        self.send_noting(request, |_| ())
    }

    /// Sends a request as [`Self::send`] does, and calls `connected` for each connection before the request is sent on it.
    pub fn send_noting<F: Fn(&Reached<'_>)>(
        &self,
        mut request: Request<QueueBody>,
        connected: F,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + use<F> {
        let inner = Rc::clone(&self.0);
        async move {
            prepare(inner.config.protocol, inner.config.tls.is_some(), &mut request);
            let count = inner.endpoints.len();
            let first = inner.next.get();
            inner.next.set(first.wrapping_add(1));
            let mut last = UpstreamError::NoEndpoints { cluster: inner.config.name.as_str().into() };
            for turn in 0..count {
                let Some(endpoint) = inner.endpoints.get(first.wrapping_add(turn) % count) else {
                    break;
                };
                match endpoint.exchange(request, &connected).await {
                    Ok(response) => return Ok(response),
                    Err(failed) => {
                        endpoint.server().failed(&failed.error);
                        last = failed.error;
                        match failed.unsent {
                            Some(unsent) if !last.is_overflow() => request = *unsent,
                            _ => break,
                        }
                    }
                }
            }
            Err(last)
        }
    }
}
