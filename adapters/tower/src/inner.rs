//! The inner service of a layer, as an exchange sees it.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::header::{HeaderMap, UPGRADE};
use http::{Extensions, Method, Request, Response, StatusCode, Version, request, response};
use http_body::Body;
use portcullis_chain::{convert, local_response};
use portcullis_core::model::{LocalResponse, SharedStreamInfo, response_flag};
use portcullis_driver::before_headers;
use portcullis_driver::body::QueueBody;

use crate::exchange::{Refused, Transport};
use crate::http_service::{HttpBody, HttpService};
use crate::quiet::Quiet;
use crate::target::{self, Form};
use crate::upgrade::{Upgrade, is_tunnel, may_answer};
use crate::upstream_info::UpstreamInfo;

/// An inner service, and the parts of a request's head that plugins do not see.
pub(crate) struct Inner<S, B> {
    service: Option<S>,
    /// The client's method.
    method: Method,
    version: Version,
    form: Form,
    secure: bool,
    upgrade: Upgrade,
    extensions: Extensions,
    answer: Answer,
    sent: Option<Instant>,
    quiet: Arc<Quiet>,
    incoming: PhantomData<fn(B)>,
}

/// The parts of an answer's head that plugins do not see.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    status: StatusCode,
    upgrade: Upgrade,
    extensions: Extensions,
}

impl Answer {
    /// Puts the parts back into the head of the response. Those of another status mean nothing: its reason phrase, what waits for its
    /// upgrade.
    pub(crate) fn restore<B>(self, response: &mut Response<B>) {
        if response.status() == self.status {
            self.upgrade.restore(response.headers_mut());
            *response.extensions_mut() = self.extensions;
        }
    }
}

impl<S, B> Inner<S, B> {
    /// Takes from a request's head what plugins do not see.
    pub(crate) fn new(service: S, parts: &mut request::Parts, form: Form, secure: bool, quiet: Arc<Quiet>) -> Self {
        Self {
            service: Some(service),
            method: parts.method.clone(),
            version: parts.version,
            form,
            secure,
            upgrade: Upgrade::take(parts),
            extensions: std::mem::take(&mut parts.extensions),
            answer: Answer::default(),
            sent: None,
            quiet,
            incoming: PhantomData,
        }
    }

    /// Shows plugins the upgrade that the client asks for.
    pub(crate) fn show_upgrade(&self, headers: &mut HeaderMap) {
        self.upgrade.show(headers);
    }

    /// Takes what plugins have not seen of the answer.
    pub(crate) fn take_answer(&mut self) -> Answer {
        std::mem::take(&mut self.answer)
    }
}

impl<S, B> Transport for Inner<S, B>
where
    S: HttpService,
    B: HttpBody,
{
    type Incoming = Pin<Box<B>>;
    type Answer = Call<S>;
    type AnswerBody = Pin<Box<S::Answer>>;
    type Failure = Failure<S::Error>;

    fn send(&mut self, info: &SharedStreamInfo, original: request::Parts, body: QueueBody) -> Result<Call<S>, Refused> {
        let unsupported =
            || Refused::Answer(local_response(405, "method_not_supported", "the method is not supported"));
        let service = self.service.take().ok_or_else(unsupported)?;
        let mut upgrade = std::mem::take(&mut self.upgrade);
        let parts = info.with(|info| {
            info.upstream_attempts += 1;
            let headers = info.request_headers.as_ref()?;
            upgrade = std::mem::take(&mut upgrade).left_in(headers);
            let unchanged = convert::unchanged::request(headers, original, self.secure);
            Some(unchanged.map_or_else(|| convert::to_request(headers), Ok))
        });
        let mut parts = parts.unwrap_or(Err(convert::Unsendable::Pseudo(":method")))?;
        let is_other_kind = (parts.method == Method::CONNECT) != (self.method == Method::CONNECT);
        if is_other_kind || parts.method == Method::TRACE {
            return Err(unsupported());
        }
        target::restore(&mut parts, self.form.clone(), self.version, self.secure);
        parts.extensions = std::mem::take(&mut self.extensions);
        parts.headers.remove(UPGRADE);
        let asks = upgrade.is_some();
        upgrade.restore(&mut parts.headers);
        let mut request = Request::from_parts(parts, body);
        target::frame(&mut request);
        self.sent = Some(Instant::now());
        Ok(Call { asks, step: Step::Ready(service, Some(request)) })
    }

    fn answered(&mut self, info: &SharedStreamInfo, head: &mut response::Parts) -> bool {
        info.with(|info| {
            info.response_details = Some("via_upstream".to_owned());
            if let Some(upstream) = head.extensions.get::<UpstreamInfo>() {
                upstream.describe(info);
            }
        });
        self.answer = Answer {
            status: head.status,
            upgrade: Upgrade::of_answer(head),
            extensions: std::mem::take(&mut head.extensions),
        };
        is_tunnel(&self.method, head.status)
    }

    fn completed(&mut self, info: &SharedStreamInfo) {
        let latency = self.sent.and_then(|sent| u64::try_from(sent.elapsed().as_nanos()).ok());
        info.with(|info| info.backend_latency = latency);
    }

    fn failed(&mut self, info: &SharedStreamInfo, failure: &Failure<S::Error>) -> LocalResponse {
        let (status, flag, reason) = match failure {
            Failure::NotReady(_) => (503, response_flag::UPSTREAM_CONNECTION_FAILURE, "connection failure"),
            Failure::Failed(_) => (503, response_flag::UPSTREAM_CONNECTION_TERMINATION, "connection termination"),
            // As the gateway answers for an upstream's.
            Failure::Switched => (502, response_flag::UPSTREAM_PROTOCOL_ERROR, "protocol error"),
        };
        let error = match failure {
            Failure::NotReady(error) | Failure::Failed(error) => error.to_string(),
            Failure::Switched => "it switches protocols, which nobody asked it for".to_owned(),
        };
        tracing::debug!(stream = info.with(|info| info.id), %error, "the inner service failed");
        info.with(|info| {
            info.response_flags |= flag;
            info.upstream_failure = Some(error);
        });
        let details = format!("upstream_reset_before_response_started{{{}}}", reason.replace(' ', "_"));
        local_response(status, &details, &before_headers(reason))
    }

    fn broken(&mut self, info: &SharedStreamInfo, error: &<S::Answer as Body>::Error) -> (LocalResponse, String) {
        tracing::debug!(stream = info.with(|info| info.id), %error, "the answer of the inner service broke off");
        info.with(|info| info.response_flags |= response_flag::UPSTREAM_CONNECTION_TERMINATION);
        let reason = "connection termination";
        let details = "upstream_reset_after_response_started{connection_termination}".to_owned();
        (local_response(503, &details, &before_headers(reason)), details)
    }

    fn request_broken(&mut self, info: &SharedStreamInfo, error: &B::Error) -> Option<LocalResponse> {
        // Without a flag: the client may have gone, or a layer around this one has had enough of its body.
        tracing::debug!(stream = info.with(|info| info.id), %error, "the request's body broke off");
        Some(local_response(400, "request_body_broken", "the request's body broke off"))
    }

    fn replaced(&mut self) {
        self.answer = Answer::default();
    }

    fn may_tell_length(&self) -> Option<u64> {
        self.quiet.may_tell()
    }
}

/// The reason for which there is no answer.
pub(crate) enum Failure<E> {
    /// The service did not become ready.
    NotReady(E),
    /// The service failed.
    Failed(E),
    /// The service switches to a protocol that it was not asked for.
    Switched,
}

/// A call of a service, which becomes ready first.
pub(crate) struct Call<S: HttpService> {
    /// The request asks for an upgrade.
    asks: bool,
    step: Step<S>,
}

#[expect(clippy::large_enum_variant, reason = "its exchange is in a box, and a box more costs more than the room")]
enum Step<S: HttpService> {
    Ready(S, Option<Request<QueueBody>>),
    Answering(Pin<Box<S::Future>>),
}

/// Neither the service nor the request is pinned in a call.
impl<S: HttpService> Unpin for Call<S> {}

impl<S: HttpService> Future for Call<S> {
    type Output = Result<Response<Pin<Box<S::Answer>>>, Failure<S::Error>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Step::Ready(service, request) = &mut self.step {
            if let Err(error) = ready!(service.poll_ready(cx)) {
                return Poll::Ready(Err(Failure::NotReady(error)));
            }
            let Some(request) = request.take() else { return Poll::Pending };
            let answer = Box::pin(service.call(request));
            self.step = Step::Answering(answer);
        }
        let Step::Answering(answer) = &mut self.step else { return Poll::Pending };
        let answer = ready!(answer.as_mut().poll(cx));
        Poll::Ready(match answer {
            Ok(response) if may_answer(self.asks, &response) => Ok(response.map(Box::pin)),
            Ok(_) => Err(Failure::Switched),
            Err(error) => Err(Failure::Failed(error)),
        })
    }
}
