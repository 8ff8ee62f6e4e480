//! The path of a request: from the client, through the chain, to the upstream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::request::Parts;
use http::{Method, Request};
use http_body::Body as _;
use portcullis::chain::local_response;
use portcullis::model::{Body, Direction, LocalResponse, response_flag};

use super::{Exchange, UpstreamState};
use crate::config::Route;
use crate::serve::worker::context::Context;
use crate::serve::worker::cut::is_malformed;
use crate::serve::worker::route::{rewrite, unforwarded};
use crate::serve::worker::upstream_stats;
use crate::upstream::connector::Upstream;
use portcullis::chain::convert;
use portcullis_driver::body::{QueueBody, body_queue};

/// A request's head as the plugins left it, and where it goes; no route, no cluster or no upstream if there is none.
struct Routed<'c> {
    route: Option<&'c Route>,
    cluster: Option<&'c str>,
    upstream: Option<&'c Upstream>,
    parts: Result<Parts, convert::Unsendable>,
}

impl Exchange {
    /// Sends the request's head. The route is chosen by what the plugins made of it, among those whose plugins it has passed.
    pub(super) fn send_request(&mut self, end: bool) {
        let context = Rc::clone(&self.context);
        let Some(routed) = self.route_request(&context) else { return };
        let Routed { route, cluster, upstream, parts } = match routed {
            Ok(routed) => routed,
            Err(answer) => return self.reply(answer),
        };
        let (Some(route), Some(cluster), Some(upstream)) = (route, cluster, upstream) else {
            self.info.with(|info| info.response_flags |= response_flag::NO_ROUTE_FOUND);
            return self.reply(local_response(404, "route_not_found", ""));
        };
        let mut parts = match parts {
            Ok(parts) if matches!(parts.method, Method::CONNECT | Method::TRACE) => {
                return self.reply(local_response(405, "method_not_supported", "the method is not supported"));
            }
            Ok(parts) => parts,
            Err(unsendable) => return self.fail_unsendable(&unsendable),
        };
        if let Err(answer) = rewrite(route, &mut parts.uri) {
            return self.reply(answer);
        }
        let sent = upstream_stats::sent(&self.info, route, cluster, upstream);
        self.sent = Some(sent);
        let limit =
            route.timeout.map_or_else(|| upstream.timeout(), |limit| Some(limit).filter(|limit| !limit.is_zero()));
        self.timer.limit_upstream(limit);
        let body = if end {
            self.timer.request_sent();
            QueueBody::empty()
        } else {
            let (upload, body) = body_queue();
            self.upload = Some(upload);
            body
        };
        let answer = upstream.send(Request::from_parts(parts, body), upstream_stats::connected(&self.info, sent));
        self.upstream = UpstreamState::Waiting(answer);
    }

    /// Chooses the route of the request's head and makes the head that goes out; none if plugins have left no head.
    ///
    /// # Errors
    /// Returns the answer to a request that may not go where it would.
    fn route_request<'c>(&mut self, context: &'c Context) -> Option<Result<Routed<'c>, LocalResponse>> {
        self.info.with(|info| {
            let headers = info.request_headers.as_ref()?;
            let routed = context.listeners.get(self.listener).and_then(|listener| listener.route(headers));
            if let Some(answer) = routed.and_then(|routed| unforwarded(routed, &self.chain, info)) {
                return Some(Err(answer));
            }
            let headers = info.request_headers.as_ref()?;
            let route = routed.map(|(route, _)| route);
            let cluster = route.and_then(|route| route.cluster(|| self.lot.draw()));
            let upstream = cluster.and_then(|cluster| context.clusters().get(cluster));
            // The echo tells the whole target, and HTTP/2 sends it; where the client sent a path alone, the rest is what plugins see.
            let original =
                self.original.0.take().filter(|original| {
                    original.uri.authority().is_some() || upstream.is_some_and(Upstream::speaks_http1)
                });
            let parts = match original.and_then(|original| convert::unchanged::request(headers, original, self.secure))
            {
                Some(parts) => Ok(parts),
                None => convert::to_request(headers),
            };
            Some(Ok(Routed { route, cluster, upstream, parts }))
        })
    }

    pub(super) fn poll_request_body(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let Some(incoming) = &mut self.incoming else { return Poll::Pending };
        let driver = &self.context.driver;
        let is_wanted = driver.with(|worker| {
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
            self.timer.request_sent();
            return Poll::Ready(());
        }
        match ready!(Pin::new(&mut *incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                let end = incoming.is_end_stream();
                match frame.into_data() {
                    Ok(data) => {
                        driver.with(|worker| worker.body(self.stream, Direction::Request, Body::from(data), end));
                    }
                    Err(frame) => {
                        if let Ok(fields) = frame.into_trailers() {
                            self.incoming = None;
                            let trailers = convert::trailers(&fields);
                            driver.with(|worker| worker.trailers(self.stream, Direction::Request, trailers));
                        }
                        return Poll::Ready(());
                    }
                }
                if end {
                    self.incoming = None;
                }
            }
            Some(Err(error)) => {
                tracing::debug!(stream = self.info.with(|info| info.id), %error, "request body ended early");
                (self.incoming, self.upload) = (None, None);
                self.timer.upstream_done();
                self.upstream = UpstreamState::Idle;
                if is_malformed(&error) {
                    self.info.with(|info| info.response_flags |= response_flag::DOWNSTREAM_PROTOCOL_ERROR);
                    self.reply(local_response(400, "malformed_request_body", "the request's body is malformed"));
                } else {
                    self.out.cut("request_body_broken");
                }
            }
            None => {
                self.incoming = None;
                driver.with(|worker| worker.body(self.stream, Direction::Request, Body::new(), true));
            }
        }
        Poll::Ready(())
    }

    pub(super) fn fail_unsendable(&mut self, unsendable: &convert::Unsendable) {
        tracing::warn!(
            stream = self.info.with(|info| info.id),
            "the request is answered 500: {unsendable}; mend the plugin"
        );
        self.reply(local_response(500, "unsendable_request", &unsendable.to_string()));
    }
}
