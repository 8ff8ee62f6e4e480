//! The limits of a stream, and the answers when they have passed (hosts: response flags and details as in Envoy).

use std::time::Duration;

use portcullis::chain::local_response;
use portcullis::model::{LocalResponse, SharedStreamInfo, response_flag};

use crate::serve::worker::upstream_stats;
use crate::upstream::clusters::Table;

/// A limit of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::serve::worker) enum Expired {
    /// `stream_idle_timeout`.
    Idle,
    /// `max_stream_duration`.
    Duration,
    /// The route's `timeout`, which was this.
    Upstream(Duration),
    /// `write_timeout`, of the connection.
    Write,
    /// `reload.max_generations`.
    Replaced,
}

impl Expired {
    /// Makes the answer to a request; `whole` is true if all of it was received.
    pub(in crate::serve::worker) fn answer(
        self,
        clusters: &Table,
        info: &SharedStreamInfo,
        whole: bool,
    ) -> LocalResponse {
        /// `DEADLINE_EXCEEDED` of gRPC.
        const DEADLINE_EXCEEDED: u8 = 4;
        self.flag(clusters, info);
        let late = if whole { 504 } else { 408 };
        match self {
            Self::Replaced => local_response(503, self.details(), "the configuration was replaced"),
            Self::Upstream(_) => local_response(504, self.details(), "upstream request timeout"),
            Self::Duration => local_response(late, self.details(), "downstream duration timeout")
                .with_grpc_status(Some(DEADLINE_EXCEEDED)),
            Self::Idle | Self::Write => local_response(late, self.details(), "stream timeout"),
        }
    }

    /// Notes that it has ended a stream whose response had begun.
    pub(in crate::serve::worker) fn note(self, clusters: &Table, info: &SharedStreamInfo) {
        self.flag(clusters, info);
        info.with(|info| info.response_details = Some(self.details().to_owned()));
    }

    fn flag(self, clusters: &Table, info: &SharedStreamInfo) {
        match self {
            Self::Upstream(limit) => upstream_stats::timed_out(info, clusters, limit),
            Self::Idle => info.with(|info| info.response_flags |= response_flag::STREAM_IDLE_TIMEOUT),
            Self::Write => info.with(|info| info.response_flags |= response_flag::DOWNSTREAM_CONNECTION_TERMINATION),
            Self::Duration | Self::Replaced => {}
        }
    }

    /// Returns the key of the limit.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Idle => "stream_idle_timeout",
            Self::Duration => "max_stream_duration",
            Self::Upstream(_) => "timeout",
            Self::Write => "write_timeout",
            Self::Replaced => "reload.max_generations",
        }
    }

    /// Returns the details of a response, as Envoy words them.
    pub(in crate::serve::worker) fn details(self) -> &'static str {
        match self {
            Self::Idle => "stream_idle_timeout",
            Self::Duration => "max_duration_timeout",
            Self::Upstream(_) => "response_timeout",
            Self::Write => "write_timeout",
            Self::Replaced => "configuration_replaced",
        }
    }
}
