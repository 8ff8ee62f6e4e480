//! The path of a response: from the upstream, through the chain, to the client.

use std::pin::Pin;
use std::task::{Poll, ready};

use http::StatusCode;
use http_body::Body as _;
use portcullis::chain::local_response;
use portcullis::model::{Body, Direction};

use super::{Exchange, UpstreamState};
use crate::serve::worker::upstream_stats;
use crate::upstream::pool::UpstreamError;
use portcullis::chain::convert;
use portcullis::chain::convert::strip_hop_by_hop;
use portcullis_driver::before_headers;

impl Exchange {
    pub(super) fn poll_answer(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let UpstreamState::Waiting(answer) = &mut self.upstream else { return Poll::Pending };
        let answer = ready!(answer.as_mut().poll(cx));
        self.upstream = UpstreamState::Idle;
        match answer {
            Ok(response) => {
                let (mut parts, body) = response.into_parts();
                strip_hop_by_hop(&mut parts.headers);
                upstream_stats::answered(&self.info);
                let end = body.is_end_stream();
                if end {
                    self.timer.upstream_done();
                    upstream_stats::complete(&self.info, self.sent);
                } else {
                    self.upstream = UpstreamState::Answering(body);
                }
                let headers = convert::response_headers(&parts);
                self.original.1 = Some(parts);
                self.context.driver.with(|worker| worker.headers(self.stream, Direction::Response, headers, end));
            }
            Err(error) => self.upstream_failed(&error),
        }
        Poll::Ready(())
    }

    pub(super) fn send_head(&mut self, end: bool) {
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
                (self.incoming, self.upload) = (None, None);
                self.timer.upstream_done();
                self.upstream = UpstreamState::Idle;
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
        let code = self.info.with(|info| info.response_code);
        if let Some((code, listener)) = code.zip(self.context.listeners.get(self.listener)) {
            listener.count(code);
        }
    }

    pub(super) fn poll_response_body(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let UpstreamState::Answering(body) = &mut self.upstream else { return Poll::Pending };
        let driver = &self.context.driver;
        if !self.out.has_room() || !driver.with(|worker| worker.wants_body(self.stream, Direction::Response)) {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = body.is_end_stream() || frame.is_trailers();
                if end {
                    upstream_stats::complete(&self.info, self.sent);
                }
                match frame.into_data() {
                    Ok(data) => {
                        driver.with(|worker| worker.body(self.stream, Direction::Response, Body::from(data), end));
                    }
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            self.upstream = UpstreamState::Idle;
                            self.timer.upstream_done();
                            let trailers = convert::trailers(&fields);
                            driver.with(|worker| worker.trailers(self.stream, Direction::Response, trailers));
                        }
                        return Poll::Ready(());
                    }
                }
                if end {
                    self.upstream = UpstreamState::Idle;
                    self.timer.upstream_done();
                }
            }
            Some(Err(error)) => {
                self.upstream = UpstreamState::Idle;
                let details = upstream_stats::broken(&self.info, &error);
                let response = local_response(error.status(), &details, &before_headers(error.words()));
                self.fail(response, "upstream_reset_after_response_started", details);
            }
            None => {
                upstream_stats::complete(&self.info, self.sent);
                self.upstream = UpstreamState::Idle;
                self.timer.upstream_done();
                driver.with(|worker| worker.body(self.stream, Direction::Response, Body::new(), true));
            }
        }
        Poll::Ready(())
    }

    fn upstream_failed(&self, error: &UpstreamError) {
        let details = upstream_stats::failed(&self.info, error);
        self.reply(local_response(error.status(), &details, &before_headers(error.words())));
    }
}
