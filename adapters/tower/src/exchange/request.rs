//! The path of a request: from the client, through the chain, to the upstream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use portcullis_chain::{convert, local_response};
use portcullis_core::model::{Body, Direction};
use portcullis_driver::body::{QueueBody, body_queue};
use portcullis_driver::{Threads, Upstreams};

use super::transport::{Refused, Transport};
use super::{Exchange, UpstreamState};

impl<T: Threads, U: Upstreams, X: Transport> Exchange<T, U, X> {
    /// Sends the request's head.
    pub(super) fn send_request(&mut self, end: bool) {
        let Some(original) = self.original.0.take() else { return };
        let body = if end {
            QueueBody::empty()
        } else {
            let (upload, body) = body_queue();
            self.upload = Some(upload);
            body
        };
        match self.transport.send(&self.info, original, body) {
            Ok(answer) => {
                self.upstream = UpstreamState::Waiting(answer);
                if end {
                    self.transport.request_sent();
                }
            }
            Err(refused) => {
                self.upload = None;
                match refused {
                    Refused::Answer(response) => self.reply(response),
                    Refused::Unsendable(unsendable) => self.fail_unsendable(&unsendable),
                }
            }
        }
    }

    pub(super) fn send_request_body(&mut self, mut body: Body, end: bool) {
        let Some(upload) = &self.upload else { return };
        while let Some(chunk) = body.pop() {
            upload.push(chunk);
        }
        if end {
            upload.finish(None);
        }
        let has_wrong_length = upload.has_wrong_length();
        if end || has_wrong_length {
            self.upload = None;
            self.transport.request_sent();
        }
        if has_wrong_length {
            self.wrong_request_length();
        }
    }

    pub(super) fn send_request_trailers(&mut self) {
        let trailers = self.info.with(|info| info.request_trailers.as_ref().map(convert::to_trailers).transpose());
        match (trailers, self.upload.take()) {
            (Ok(trailers), Some(upload)) => {
                upload.finish(trailers);
                self.transport.request_sent();
                if upload.has_wrong_length() {
                    self.wrong_request_length();
                }
            }
            (Err(unsendable), _) => self.fail_unsendable(&unsendable),
            (Ok(_), None) => {}
        }
    }

    pub(super) fn poll_request_body(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(incoming) = &mut self.incoming else { return Poll::Pending };
        let is_wanted = self.driver.with(|worker| {
            worker.wants_body(self.stream, Direction::Request)
                && (!self.awaits_continue || worker.hears_body(self.stream, Direction::Request))
        });
        if !is_wanted {
            return Poll::Pending;
        }
        self.awaits_continue = false;
        if let Some(upload) = &self.upload
            && ready!(upload.poll_capacity(cx)).is_err()
        {
            // The upstream has stopped reading; what it answers decides.
            self.incoming = None;
            self.transport.request_sent();
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = incoming.is_end_stream();
                match frame.into_data() {
                    Ok(data) => {
                        self.driver.with(|worker| worker.body(self.stream, Direction::Request, Body::from(data), end));
                    }
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            self.incoming = None;
                            let trailers = convert::trailers(&fields);
                            self.driver.with(|worker| worker.trailers(self.stream, Direction::Request, trailers));
                        }
                        return Poll::Ready(());
                    }
                }
                if end {
                    self.incoming = None;
                }
            }
            Some(Err(error)) => {
                self.give_up_request();
                match self.transport.request_broken(&self.info, &error) {
                    Some(response) => self.reply(response),
                    None => self.out.cut("request_body_broken"),
                }
            }
            None => {
                self.incoming = None;
                self.driver.with(|worker| worker.body(self.stream, Direction::Request, Body::new(), true));
            }
        }
        Poll::Ready(())
    }

    fn fail_unsendable(&self, unsendable: &convert::Unsendable) {
        tracing::warn!(
            stream = self.info.with(|info| info.id),
            "the request is answered 500: {unsendable}; mend the plugin"
        );
        self.reply(local_response(500, "unsendable_request", &unsendable.to_string()));
    }
}
