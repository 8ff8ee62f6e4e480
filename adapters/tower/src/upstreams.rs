//! Upstreams of plugins behind a tower service.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{SendError, Upstreams};

use crate::BoxError;
use crate::http_service::{HttpBody, HttpService};

/// The upstreams that plugins may call, by name, each at an address, and the service that sends requests there: an HTTP
/// client, or a closure in tower's `service_fn`.
///
/// The address is the upstream's, whatever a plugin asks for: the service gets requests with the scheme and the authority of
/// the address, the path of the plugin, and the authority of the plugin as the field `host`. Over HTTP/2, where a request
/// has one authority, that is the address's.
///
/// A host says the same names to plugins (`SystemHost::with_upstreams`): a callout to another name is refused there.
///
/// ```
/// use portcullis_tower::ServiceUpstreams;
/// # use std::convert::Infallible;
/// # use std::task::{Context, Poll};
/// # use http::{Request, Response};
/// # use portcullis_tower::QueueBody;
/// # #[derive(Clone)]
/// # struct Client;
/// # impl tower_service::Service<Request<QueueBody>> for Client {
/// #     type Response = Response<QueueBody>;
/// #     type Error = Infallible;
/// #     type Future = std::future::Ready<Result<Response<QueueBody>, Infallible>>;
/// #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> { Poll::Ready(Ok(())) }
/// #     fn call(&mut self, request: Request<QueueBody>) -> Self::Future {
/// #         std::future::ready(Ok(Response::new(request.into_body())))
/// #     }
/// # }
/// # let client = Client;
/// let upstreams = ServiceUpstreams::new(client)
///     .with("auth", "http://127.0.0.1:9000".parse()?)
///     .with_http2("limits", "http://127.0.0.1:9001".parse()?);
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
pub struct ServiceUpstreams<S: HttpService> {
    service: S,
    addresses: HashMap<String, Address>,
    // Functions in place of bounds: a future of upstreams whose error is a box would not be known to be `Send`
    // (https://github.com/rust-lang/rust/issues/102211).
    describe: Describe<S::Error>,
    describe_body: Describe<<S::Answer as Body>::Error>,
}

/// Makes an error that a driver understands of a reason and an error.
type Describe<E> = fn(&'static str, E) -> SendError;

#[derive(Clone, Debug)]
struct Address {
    target: Uri,
    speaks_http2: bool,
}

impl<S: HttpService> ServiceUpstreams<S> {
    /// Creates upstreams of a service, which has none yet.
    #[must_use]
    pub fn new(service: S) -> Self
    where
        S: HttpService<Answer: Body<Error: Into<BoxError>>, Error: Into<BoxError>>,
    {
        Self { service, addresses: HashMap::new(), describe: send_error, describe_body: send_error }
    }

    /// Adds an upstream that takes HTTP/1.1. Of its address, such as `http://127.0.0.1:9000`, scheme and authority count.
    #[must_use]
    pub fn with(self, name: impl Into<String>, address: Uri) -> Self {
        self.add(name.into(), Address { target: address, speaks_http2: false })
    }

    /// Adds an upstream that takes HTTP/2, which gRPC needs. The service gets its requests with [`Version::HTTP_2`].
    #[must_use]
    pub fn with_http2(self, name: impl Into<String>, address: Uri) -> Self {
        self.add(name.into(), Address { target: address, speaks_http2: true })
    }

    /// Returns the names of the upstreams.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.addresses.keys().map(String::as_str)
    }

    fn add(mut self, name: String, address: Address) -> Self {
        self.addresses.insert(name, address);
        self
    }
}

impl Address {
    /// Directs a request to the address.
    fn direct(&self, request: &mut Request<QueueBody>) -> Result<(), SendError> {
        let authority = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let mut target = self.target.clone().into_parts();
        target.path_and_query =
            Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        let is_whole = target.scheme.is_some() && target.authority.is_some();
        let target = Uri::from_parts(target).ok().filter(|_| is_whole).ok_or_else(|| {
            SendError::new(
                "connection failure",
                format!("{} has no scheme or no host: write http://HOST:PORT", self.target),
            )
        })?;
        *request.uri_mut() = target;
        if self.speaks_http2 {
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(HOST);
        } else {
            *request.version_mut() = Version::HTTP_11;
            if let Some(host) = authority {
                request.headers_mut().insert(HOST, host);
            }
        }
        Ok(())
    }
}

impl<S: HttpService<Answer: 'static> + Clone + 'static> Upstreams for ServiceUpstreams<S> {
    type Body = UpstreamBody<S::Answer>;

    async fn send(&self, upstream: &str, mut request: Request<QueueBody>) -> Result<Response<Self::Body>, SendError> {
        let address = self.addresses.get(upstream).ok_or_else(SendError::unknown)?;
        address.direct(&mut request)?;
        let mut service = self.service.clone();
        let ready = poll_fn(|cx| service.poll_ready(cx)).await;
        ready.map_err(|error| (self.describe)("connection failure", error))?;
        let answer = service.call(request).await;
        let response = answer.map_err(|error| (self.describe)("connection termination", error))?;
        let describe = self.describe_body;
        Ok(response.map(|body| UpstreamBody { body: Box::pin(body), describe }))
    }

    fn speaks_http2(&self, upstream: &str) -> Option<bool> {
        self.addresses.get(upstream).map(|address| address.speaks_http2)
    }
}

/// The body of an upstream's response, with the errors that a driver understands.
pub struct UpstreamBody<R: Body> {
    body: Pin<Box<R>>,
    describe: Describe<R::Error>,
}

impl<R: HttpBody> Body for UpstreamBody<R> {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let frame = ready!(self.body.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| (self.describe)("connection termination", error))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<S: HttpService + Clone> Clone for ServiceUpstreams<S> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), addresses: self.addresses.clone(), ..*self }
    }
}

/// Describes an error of a service or a body. The reason of an HTTP/2 reset is looked for among its causes.
fn send_error(reason: &'static str, error: impl Into<BoxError>) -> SendError {
    let error: BoxError = error.into();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&*error);
    let mut reset = None;
    while let Some(error) = cause {
        reset = error.downcast_ref::<h2::Error>().and_then(h2::Error::reason);
        if reset.is_some() {
            break;
        }
        cause = error.source();
    }
    let described = SendError::new(reason, error.to_string());
    match reset {
        Some(reset) => described.with_reset(reset),
        None => described,
    }
}

impl<S: HttpService> fmt::Debug for ServiceUpstreams<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceUpstreams").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl<R: Body> fmt::Debug for UpstreamBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamBody").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_address_and_nowhere_else() {
        for (is_http2, version, host) in
            [(false, Version::HTTP_11, Some("evil.example")), (true, Version::HTTP_2, None)]
        {
            let address = Address { target: "http://127.0.0.1:9000/base".parse().unwrap(), speaks_http2: is_http2 };
            let request = Request::get("https://evil.example/check?a").header(HOST, "other.example");
            let mut request = request.body(QueueBody::empty()).unwrap();
            address.direct(&mut request).unwrap();
            assert_eq!(request.uri(), "http://127.0.0.1:9000/check?a");
            assert_eq!(request.version(), version);
            assert_eq!(request.headers().get(HOST).map(|host| host.to_str().unwrap()), host);
        }
    }

    #[test]
    fn an_address_without_a_scheme_is_named() {
        let address = Address { target: "auth:80".parse().unwrap(), speaks_http2: false };
        let mut request = Request::get("http://a/").body(QueueBody::empty()).unwrap();
        let error = address.direct(&mut request).unwrap_err();
        assert_eq!(error.message, "auth:80 has no scheme or no host: write http://HOST:PORT");
    }

    #[test]
    fn the_reason_of_a_reset_is_found_among_the_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] h2::Error);
        let error =
            send_error("connection termination", Box::new(Outer(h2::Reason::REFUSED_STREAM.into())) as BoxError);
        assert_eq!((error.reset, error.message.as_str()), (Some(h2::Reason::REFUSED_STREAM), "outer"));
        assert_eq!(send_error("connection failure", "no").reset, None);
    }
}
