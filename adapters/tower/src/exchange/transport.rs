//! The proxy's side of an exchange.

use http::{Response, request, response};
use http_body::Body;
use portcullis_chain::convert::Unsendable;
use portcullis_core::model::{LocalResponse, SharedStreamInfo, response_flag};
use portcullis_driver::body::QueueBody;

/// The proxy's side of an exchange: where its request goes, what failures mean, and notes of how it advances.
///
/// No method may call the driver of the exchange.
pub trait Transport {
    /// The body of the client's request.
    type Incoming: Body<Data = bytes::Bytes> + Unpin;
    /// The future of an answer.
    type Answer: Future<Output = Result<Response<Self::AnswerBody>, Self::Failure>> + Unpin;
    /// The body of an answer.
    type AnswerBody: Body<Data = bytes::Bytes> + Unpin;
    /// The reason for which there is no answer.
    type Failure;

    /// Whether the last byte of each large piece of a response over HTTP/2 is handed over by itself. hyper hands a piece to h2 once
    /// there is room for a byte of it, and is done with the response when the last one is with h2; a byte of its own has to wait until
    /// the client has taken the rest, and till then the response can have time limits.
    const KEEPS_LAST_BYTE: bool = false;

    /// Sends the request whose head, as plugins have left it, stands in `info`. `original` is the head that they were shown.
    ///
    /// # Errors
    /// The request may not go where it would, or not as it is.
    fn send(
        &mut self,
        info: &SharedStreamInfo,
        original: request::Parts,
        body: QueueBody,
    ) -> Result<Self::Answer, Refused>;

    /// Notes an answer, before its hop-by-hop fields are removed and plugins see it. Returns true if nothing follows the head,
    /// whatever its body says.
    fn answered(&mut self, info: &SharedStreamInfo, head: &mut response::Parts) -> bool;

    /// Notes that all of an answer has come.
    fn completed(&mut self, info: &SharedStreamInfo);

    /// Notes that all of the request has been sent, or that no more of it is taken.
    fn request_sent(&mut self) {}

    /// Notes that nothing more is expected of the upstream.
    fn given_up(&mut self) {}

    /// Notes that something has moved in either direction.
    fn moved(&mut self) {}

    /// Takes the response to a request whose time is over, if it is, with the reason for which a response that has begun is cut.
    /// `is_whole` says that all of the request was received.
    fn expired(&mut self, info: &SharedStreamInfo, is_whole: bool) -> Option<(LocalResponse, &'static str)> {
        let _ = (info, is_whole);
        None
    }

    /// Notes a failure before an answer's head, and makes the response in its place.
    fn failed(&mut self, info: &SharedStreamInfo, failure: &Self::Failure) -> LocalResponse;

    /// Notes that an answer broke off behind its head. Returns the response in its place, in case that its head has not been sent, and
    /// else the details of the cut.
    fn broken(&mut self, info: &SharedStreamInfo, error: &<Self::AnswerBody as Body>::Error)
    -> (LocalResponse, String);

    /// Notes that the request's body broke off. Returns the response, if the client can be told; without one it is cut.
    fn request_broken(
        &mut self,
        info: &SharedStreamInfo,
        error: &<Self::Incoming as Body>::Error,
    ) -> Option<LocalResponse>;

    /// Notes that the head of the response is another than the answer's.
    fn replaced(&mut self) {}

    /// Notes that the head of the response is there, whose status stands in `info`.
    fn responded(&mut self, info: &SharedStreamInfo) {
        let _ = info;
    }

    /// Notes the end of the exchange, before plugins log it. An exchange is abandoned if the client has gone before its end.
    fn ended(&mut self, info: &SharedStreamInfo, is_abandoned: bool) {
        if is_abandoned {
            info.with(|info| {
                info.response_details = Some("downstream_remote_disconnect".to_owned());
                info.response_flags |= response_flag::DOWNSTREAM_CONNECTION_TERMINATION;
            });
        }
    }

    /// Returns whether a line about a body of a wrong length may be logged now, and how many were not since the last one.
    fn may_tell_length(&self) -> Option<u64>;
}

/// The reason for which a request is not sent.
#[derive(Debug)]
pub enum Refused {
    /// The response in place of an answer.
    Answer(LocalResponse),
    /// A plugin has left something that HTTP cannot carry.
    Unsendable(Unsendable),
}

impl From<LocalResponse> for Refused {
    fn from(response: LocalResponse) -> Self {
        Self::Answer(response)
    }
}

impl From<Unsendable> for Refused {
    fn from(unsendable: Unsendable) -> Self {
        Self::Unsendable(unsendable)
    }
}
