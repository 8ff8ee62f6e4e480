//! The clusters of a worker, as its driver sees them.

use std::time::Duration;

use http::{Request, Response};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{SendError, Upstreams};
use rustc_hash::FxHashMap;

use crate::config::Cluster;
use crate::net::quiet::Quiet;
use crate::upstream::connector::{AnswerBody, Upstream};
use crate::upstream::pool::{Account, UpstreamError};

/// The clusters of a worker, by name.
pub(crate) struct Clusters {
    upstreams: FxHashMap<String, Upstream>,
    max_callouts: usize,
    refusals_logged: Quiet,
}

impl Clusters {
    pub(crate) fn new(clusters: &[Cluster], account: &Account, max_callouts: usize) -> Self {
        let upstream = |cluster: &Cluster| (cluster.name.clone(), Upstream::new(cluster, account));
        let upstreams = clusters.iter().map(upstream).collect();
        Self { upstreams, max_callouts, refusals_logged: Quiet::new(Duration::from_secs(60)) }
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.get(name)
    }
}

impl Upstreams for Clusters {
    type Body = AnswerBody;

    async fn send(&self, upstream: &str, request: Request<QueueBody>) -> Result<Response<AnswerBody>, SendError> {
        let upstream = self.get(upstream).ok_or_else(SendError::unknown)?;
        upstream.send(request, |_, _| ()).await.map_err(SendError::from)
    }

    fn speaks_http2(&self, upstream: &str) -> Option<bool> {
        self.get(upstream).map(Upstream::speaks_http2)
    }

    fn timed_out(&self, upstream: &str, limit: Duration) {
        if let Some(upstream) = self.get(upstream) {
            upstream.timed_out(limit);
        }
    }

    fn refused(&self) {
        metrics::counter!("portcullis_callouts_refused_total").increment(1);
        if let Some(left_out) = self.refusals_logged.may_tell() {
            tracing::warn!(
                limit = self.max_callouts,
                left_out = Some(left_out).filter(|count| *count > 0),
                "a worker has as many callouts in flight as it may have, so more fail with 503; look for a plugin that makes \
                 too many, or raise max_callouts"
            );
        }
    }
}

impl From<UpstreamError> for SendError {
    fn from(error: UpstreamError) -> Self {
        let mut sent = Self::new(error.words(), error.to_string());
        if error.is_invalid() {
            sent = sent.invalid(matches!(error, UpstreamError::Protocol { .. }));
        }
        match error.reset_reason() {
            Some(reason) => sent.with_reset(reason),
            None => sent,
        }
    }
}
