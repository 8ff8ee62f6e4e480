//! Names for the bounds that services and bodies have to meet.

use std::fmt::Display;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use portcullis_driver::body::QueueBody;
use tower_service::Service;

/// A body of bytes. Every [`Body`] whose data are [`Bytes`] is one.
pub trait HttpBody: Body<Data = Bytes, Error: Display> {}

impl<B: Body<Data = Bytes, Error: Display>> HttpBody for B {}

/// A service that can be put behind plugins. Every tower service is one that takes requests with a [`QueueBody`] and
/// answers with an [`HttpBody`]: the services of axum, and clients.
// Not `Into<BoxError>`: a future of a service whose error is such a box would not be known to be `Send`
// (https://github.com/rust-lang/rust/issues/102211).
pub trait HttpService:
    Service<Request<QueueBody>, Response = Response<<Self as HttpService>::Answer>, Error: Display>
{
    /// The body of its responses.
    type Answer: HttpBody;
}

impl<S, R> HttpService for S
where
    S: Service<Request<QueueBody>, Response = Response<R>, Error: Display>,
    R: HttpBody,
{
    type Answer = R;
}
