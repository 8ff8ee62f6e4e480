//! Log lines about endpoints that fail.

use std::error::Error;
use std::fmt::Write;
use std::time::Duration;

use super::UpstreamError;
use crate::net::quiet::Quiet;

/// Counts the failures of one endpoint, and logs them at a bounded rate.
#[derive(Debug)]
pub(super) struct Failures {
    cluster: String,
    logged: Quiet,
}

/// Time for which further failures of an endpoint are counted and not logged.
const QUIET: Duration = Duration::from_secs(10);

impl Failures {
    pub(super) fn new(cluster: &str) -> Self {
        Self { cluster: cluster.to_owned(), logged: Quiet::new(QUIET) }
    }

    /// Notes a failed request or connection.
    pub(super) fn note(&self, endpoint: &str, error: &UpstreamError) {
        // A client that goes away is not the upstream's failure.
        if !matches!(error, UpstreamError::RequestAborted { .. }) {
            self.tell(endpoint, error.reason(), &with_causes(error), error.remedy());
        }
    }

    /// Notes a request that was not answered in time.
    pub(super) fn note_timeout(&self, limit: Duration) {
        let remedy = "raise timeout of the route or request_timeout of the cluster if it needs longer";
        self.tell("", "response_timeout", &format!("no whole response within {limit:?}"), remedy);
    }

    fn tell(&self, endpoint: &str, reason: &'static str, error: &str, remedy: &str) {
        metrics::counter!("portcullis_upstream_failures_total", "cluster" => self.cluster.clone(), "reason" => reason)
            .increment(1);
        let Some(left_out) = self.logged.may_tell() else { return };
        tracing::warn!(
            cluster = self.cluster,
            endpoint = Some(endpoint).filter(|endpoint| !endpoint.is_empty()),
            reason,
            left_out = Some(left_out).filter(|count| *count > 0),
            "upstream failed: {error}; {remedy}"
        );
    }
}

/// Writes an error with its causes, from the general one to the most specific.
fn with_causes(error: &UpstreamError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_error_is_told_with_what_the_system_said() {
        let endpoint: Arc<str> = "127.0.0.1:9".into();
        let error = UpstreamError::connect(&endpoint, std::io::Error::from_raw_os_error(111));
        let text = with_causes(&error);
        assert!(text.starts_with("cannot connect to upstream 127.0.0.1:9: Connection refused"), "{text}");
    }

    #[test]
    fn every_failure_has_a_remedy() {
        let endpoint: Arc<str> = "a:1".into();
        let timeout = UpstreamError::ConnectTimeout { endpoint: Arc::clone(&endpoint), limit: QUIET };
        assert_eq!(timeout.remedy(), "raise connect_timeout of the cluster if it needs longer");
        let refused = UpstreamError::connect(&endpoint, std::io::Error::from_raw_os_error(111));
        let none = UpstreamError::NoEndpoints { cluster: "backend".into() };
        let coding = UpstreamError::Coding { endpoint };
        for error in [&timeout, &refused, &none, &coding] {
            assert!(!error.remedy().is_empty() && !error.to_string().contains(';'), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_told_at_a_bounded_rate() {
        let failures = Failures::new("backend");
        let error = UpstreamError::NoEndpoints { cluster: "backend".into() };
        for _ in 0..3 {
            failures.note("a:1", &error);
        }
        tokio::time::advance(QUIET).await;
        assert_eq!(failures.logged.may_tell(), Some(2), "one was told, and how many were left out");
        failures.note("a:1", &UpstreamError::ConnectTimeout { endpoint: "a:1".into(), limit: QUIET });
        assert_eq!(failures.logged.may_tell(), None);
        tokio::time::advance(QUIET).await;
        assert_eq!(failures.logged.may_tell(), Some(2));
    }
}
