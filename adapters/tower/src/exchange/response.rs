//! The path of a response: from the upstream, through the chain, to the client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::StatusCode;
use http_body::Body as _;
use portcullis_chain::convert;
use portcullis_core::model::{Body, Direction};
use portcullis_driver::{Threads, Upstreams};

use super::transport::Transport;
use super::{Exchange, UpstreamState};

impl<T: Threads, U: Upstreams, X: Transport> Exchange<T, U, X> {
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let UpstreamState::Waiting(answer) = &mut self.upstream else { return Poll::Pending };
        let answer = ready!(Pin::new(answer).poll(cx));
        self.upstream = UpstreamState::Idle;
        match answer {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                let is_alone = self.transport.answered(&self.info, &mut parts);
                convert::strip_hop_by_hop(&mut parts.headers);
                let end = is_alone || body.is_end_stream();
                if end {
                    self.transport.completed(&self.info);
                } else {
                    self.upstream = UpstreamState::Answering(body);
                }
                let headers = convert::response_headers(&parts);
                self.original.1 = Some(parts);
                self.driver.with(|worker| worker.headers(self.stream, Direction::Response, headers, end));
            }
            Err(failure) => {
                let response = self.transport.failed(&self.info, &failure);
                self.reply(response);
            }
        }
        Poll::Ready(())
    }

    /// Sends the response's head to the client; `local` says that it is not the answer's.
    pub(super) fn send_head(&mut self, local: bool, end: bool) {
        if local {
            self.transport.replaced();
        }
        let original = self.original.1.take();
        let head = self.info.with(|info| {
            info.response_headers.as_ref().map(|headers| {
                let status = original.as_ref().map(|original| original.status);
                let unchanged = original.and_then(|original| convert::unchanged::response(headers, original));
                unchanged.map_or_else(|| convert::to_response(headers, status), Ok)
            })
        });
        match head {
            Some(Ok(head)) => self.out.head(head, &self.method),
            Some(Err(unsendable)) => {
                tracing::warn!(
                    stream = self.info.with(|info| info.id),
                    "the response is replaced by 500: {unsendable}; mend the plugin"
                );
                self.give_up_request();
                self.transport.replaced();
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                self.info.with(|info| {
                    info.response_code = Some(status.as_u16());
                    info.response_details = Some("unsendable_response".to_owned());
                });
                // Nothing of the plugins' response follows a head that is not theirs.
                self.out.replace(status);
            }
            None => {}
        }
        if end && self.out.end().is_err() {
            self.wrong_response_length();
        }
        self.transport.responded(&self.info);
    }

    pub(super) fn poll_response_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let UpstreamState::Answering(body) = &mut self.upstream else { return Poll::Pending };
        if !self.out.has_room() || !self.driver.with(|worker| worker.wants_body(self.stream, Direction::Response)) {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = body.is_end_stream() || frame.is_trailers();
                if end {
                    self.upstream = UpstreamState::Idle;
                    self.transport.completed(&self.info);
                }
                match frame.into_data() {
                    Ok(data) => {
                        self.driver.with(|worker| worker.body(self.stream, Direction::Response, Body::from(data), end));
                    }
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            let trailers = convert::trailers(&fields);
                            self.driver.with(|worker| worker.trailers(self.stream, Direction::Response, trailers));
                        }
                    }
                }
            }
            Some(Err(error)) => {
                self.upstream = UpstreamState::Idle;
                let (response, details) = self.transport.broken(&self.info, &error);
                self.fail(response, "upstream_reset_after_response_started", details);
            }
            None => {
                self.upstream = UpstreamState::Idle;
                self.transport.completed(&self.info);
                self.driver.with(|worker| worker.body(self.stream, Direction::Response, Body::new(), true));
            }
        }
        Poll::Ready(())
    }
}
