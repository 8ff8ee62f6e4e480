//! Reasons for which an upstream gave no response, or not all of it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::client::conn::TrySendError;

use portcullis_driver::body::{BodyError, QueueBody};

use super::stream::Fault;
use super::tls_fault::TlsFault;

/// An upstream gave no response, or not all of it. Cheap to clone: one failed connection may fail many requests.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The cluster is empty.
    #[error("cluster {cluster} has no endpoints")]
    NoEndpoints {
        /// The cluster's name.
        cluster: Arc<str>,
    },
    /// The worker has as many connections with upstreams as it may have, all in use.
    #[error("all {limit} connections with upstreams that a worker may have are in use")]
    Overflow {
        /// The maximum number.
        limit: usize,
    },
    /// The endpoint's name cannot be looked up, or it refused the connection.
    #[error("cannot connect to upstream {endpoint}")]
    Connect {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// The endpoint did not answer the connection attempt.
    #[error("upstream {endpoint} did not accept a connection within {limit:?}")]
    ConnectTimeout {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The limit.
        limit: Duration,
    },
    /// No connection with TLS came about.
    #[error("cannot speak TLS with upstream {endpoint}: {fault}")]
    Tls {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The fault.
        fault: TlsFault,
    },
    /// The connection was lost, or the stream reset, before the response was complete.
    #[error("upstream {endpoint} ended the connection or stream before the response was complete")]
    Reset {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The error of hyper.
        source: Arc<hyper::Error>,
    },
    /// A response that is not HTTP, or more than the limits allow.
    #[error("upstream {endpoint} sent an invalid response")]
    Protocol {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The error of hyper.
        source: Arc<hyper::Error>,
    },
    /// The body is in a coding that cannot be forwarded: its name belongs to one connection.
    #[error("upstream {endpoint} sent a transfer coding other than chunked")]
    Coding {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
    },
    /// The upstream switches protocols, which no request asks for: `upgrade` is not forwarded.
    #[error("upstream {endpoint} sent a 101 response, which nothing asked for")]
    Switching {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
    },
    /// Our own side aborted the request's body; not the upstream's fault.
    #[error("the request to upstream {endpoint} was aborted")]
    RequestAborted {
        /// The endpoint, as configured.
        endpoint: Arc<str>,
        /// The error of hyper.
        source: Arc<hyper::Error>,
    },
}

impl UpstreamError {
    /// Returns one word for access logs, as Envoy's response flags are.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoEndpoints { .. } => "no_endpoints",
            Self::Overflow { .. } => "upstream_overflow",
            Self::Connect { .. } => "connect_failure",
            Self::ConnectTimeout { .. } => "connect_timeout",
            Self::Tls { .. } => "tls_failure",
            Self::Reset { .. } => "upstream_reset",
            Self::Protocol { .. } | Self::Coding { .. } | Self::Switching { .. } => "upstream_protocol_error",
            Self::RequestAborted { .. } => "request_aborted",
        }
    }

    /// Returns what an operator can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NoEndpoints { .. } => "list one under endpoints of the cluster",
            Self::Overflow { .. } => {
                "raise max_upstream_connections, and the limit of descriptors for it (`ulimit -n`; systemd: LimitNOFILE)"
            }
            Self::Connect { .. } => "check that it runs and listens there",
            Self::Tls { fault, .. } => fault.remedy(),
            Self::ConnectTimeout { .. } => "raise connect_timeout of the cluster if it needs longer",
            Self::Reset { .. } => "look for the reason in its log",
            Self::Protocol { .. } => "check that it speaks the protocol of the cluster",
            Self::Coding { .. } => "let it send the body as it is",
            Self::Switching { .. } => "let it answer with another status",
            Self::RequestAborted { .. } => "look for the client or the plugin that ended the request",
        }
    }

    /// Returns the status that a client is answered with: 502 if the upstream's answer is invalid, as in Envoy, else 503.
    pub fn status(&self) -> u16 {
        match self {
            _ if self.is_invalid() => 502,
            _ => 503,
        }
    }

    /// Returns true if the upstream answered, but with what is no HTTP response or none that can be forwarded.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Protocol { .. } | Self::Coding { .. } | Self::Switching { .. })
    }

    /// Returns true if there may be no more connections with any upstream.
    pub fn is_overflow(&self) -> bool {
        matches!(self, Self::Overflow { .. })
    }

    /// Returns the reason with which the upstream reset the stream, over HTTP/2, if it did.
    pub fn reset_reason(&self) -> Option<h2::Reason> {
        let (Self::Reset { source, .. } | Self::Protocol { source, .. }) = self else { return None };
        cause::<h2::Error>(source).filter(|error| error.is_reset()).and_then(h2::Error::reason)
    }

    /// Returns the reason for which there is no response, in the words that Envoy has for a reset stream.
    pub fn words(&self) -> &'static str {
        match self {
            Self::NoEndpoints { .. } => "connection failure",
            Self::Overflow { .. } => "overflow",
            Self::Connect { .. } | Self::Tls { .. } => "remote connection failure",
            Self::ConnectTimeout { .. } => "connection timeout",
            Self::RequestAborted { .. } => "local reset",
            _ if self.is_invalid() => "protocol error",
            _ => match self.reset_reason() {
                Some(h2::Reason::REFUSED_STREAM) => "remote refused stream reset",
                Some(_) => "remote reset",
                None => "connection termination",
            },
        }
    }

    /// Returns true for an error of HTTP/2.
    pub fn is_h2(&self) -> bool {
        let (Self::Reset { source, .. } | Self::Protocol { source, .. } | Self::RequestAborted { source, .. }) = self
        else {
            return false;
        };
        cause::<h2::Error>(source).is_some()
    }

    pub(super) fn connect(endpoint: &Arc<str>, source: io::Error) -> Self {
        Self::Connect { endpoint: Arc::clone(endpoint), source: Arc::new(source) }
    }

    pub(super) fn tls(endpoint: &Arc<str>, fault: TlsFault) -> Self {
        Self::Tls { endpoint: Arc::clone(endpoint), fault }
    }

    /// Returns true if the endpoint agreed to another protocol by ALPN than the one that the connection was opened for.
    pub(super) fn is_other_protocol(&self) -> bool {
        matches!(self, Self::Tls { fault: TlsFault::OtherProtocol { .. }, .. })
    }

    pub(super) fn http(endpoint: &Arc<str>, error: hyper::Error) -> Self {
        let ours = caused_by::<BodyError>(&error);
        // h2 resets a stream, or closes a connection, on which the upstream breaks the protocol.
        let is_ours = |error: &h2::Error| error.is_library() && (error.is_reset() || error.is_go_away());
        let invalid = error.is_parse() || cause::<h2::Error>(&error).is_some_and(is_ours);
        let endpoint = Arc::clone(endpoint);
        let source = Arc::new(error);
        if ours {
            Self::RequestAborted { endpoint, source }
        } else if invalid {
            Self::Protocol { endpoint, source }
        } else {
            Self::Reset { endpoint, source }
        }
    }
}

/// A failed attempt at one endpoint.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: UpstreamError,
    /// The request, when none of it was sent, so that another endpoint can have it.
    pub(super) unsent: Option<Box<Request<QueueBody>>>,
}

impl Failed {
    /// Returns a failure before anything of the request was sent.
    pub(super) fn before(error: UpstreamError, request: Request<QueueBody>) -> Self {
        Self { error, unsent: Some(Box::new(request)) }
    }

    /// Returns the failure of sending, with the request if the connection did not take it.
    pub(super) fn sending(endpoint: &Arc<str>, mut error: TrySendError<Request<QueueBody>>) -> Self {
        let unsent = error.take_message().map(Box::new);
        Self { error: UpstreamError::http(endpoint, error.into_error()), unsent }
    }

    /// Returns the same failure, of which TLS is the cause if there is a fault.
    pub(super) fn because_of(self, endpoint: &Arc<str>, fault: &Fault) -> Self {
        match fault.get() {
            Some(fault) => Self { error: UpstreamError::tls(endpoint, fault.clone()), ..self },
            None => self,
        }
    }
}

/// Returns true if the connection was lost, as opposed to what the peer said on it.
pub(super) fn is_lost(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || caused_by::<io::Error>(error)
}

fn caused_by<E: Error + 'static>(error: &hyper::Error) -> bool {
    cause::<E>(error).is_some()
}

fn cause<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
