//! The future of a response, up to its head.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode, Version, request};
use portcullis_chain::convert::Refusal;
use portcullis_driver::{Threads, Upstreams};

use crate::body::ResponseBody;
use crate::exchange::Exchange;
use crate::http_service::{HttpBody, HttpService};
use crate::inner::Inner;

/// The future of a response's head.
#[must_use = "futures do nothing unless they are polled"]
pub struct ResponseFuture<T, U, S, B>(Option<State<T, U, S, B>>)
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody;

enum State<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    Running(Box<Exchange<T, U, Inner<S, B>>>),
    Refused(Response<ResponseBody<T, U, S, B>>),
}

/// Nothing in it is pinned that could not move.
impl<T, U, S, B> Unpin for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
}

impl<T, U, S, B> ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    pub(crate) fn of_exchange(exchange: Box<Exchange<T, U, Inner<S, B>>>) -> Self {
        Self(Some(State::Running(exchange)))
    }

    /// Answers a request that has no canonical form.
    pub(crate) fn refused(request: &request::Parts, refusal: Refusal) -> Self {
        Self(Some(State::Refused(refuse(request, refusal))))
    }
}

impl<T, U, S, B> Future for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    type Output = Result<Response<ResponseBody<T, U, S, B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut exchange = match self.0.take() {
            Some(State::Running(exchange)) => exchange,
            Some(State::Refused(response)) => return Poll::Ready(Ok(response)),
            None => return Poll::Pending,
        };
        let head = match exchange.poll_head(cx) {
            Poll::Ready(head) => head,
            Poll::Pending => {
                self.0 = Some(State::Running(exchange));
                return Poll::Pending;
            }
        };
        Poll::Ready(Ok(match head {
            Ok((status, headers)) => {
                let answer = exchange.transport().take_answer();
                let mut response = Response::new(ResponseBody::of_exchange(exchange));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                answer.restore(&mut response);
                response
            }
            Err(cut) => {
                tracing::debug!(%cut, "a response is answered 503");
                let mut response = Response::new(ResponseBody::text(""));
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                response.headers_mut().insert(CONTENT_LENGTH, 0.into());
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                response
            }
        }))
    }
}

/// Makes the response to a request that has no canonical form.
fn refuse<T, U, S, B>(request: &request::Parts, refusal: Refusal) -> Response<ResponseBody<T, U, S, B>>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    tracing::debug!(reason = %refusal, "request refused");
    let (status, why) = match refusal {
        Refusal::Answer(status, why) => (status, why),
        // A service cannot reset the stream.
        Refusal::Malformed(why) => (StatusCode::BAD_REQUEST, why),
    };
    let text = if request.method == Method::HEAD { "" } else { why };
    let mut response = Response::new(ResponseBody::text(text));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, why.len().into());
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT"));
    } else if request.version != Version::HTTP_2 {
        // What follows may not begin where it seems to.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl<T, U, S, B> fmt::Debug for ResponseFuture<T, U, S, B>
where
    T: Threads,
    U: Upstreams,
    S: HttpService,
    B: HttpBody,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
