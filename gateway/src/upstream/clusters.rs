//! The clusters of a worker: those of each generation, and all of them as its driver sees them.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Version};
use portcullis_driver::body::QueueBody;
use portcullis_driver::{SendError, Upstreams};
use rustc_hash::FxHashMap;

use crate::net::quiet::Quiet;
use crate::plan::clusters::PlannedCluster;
use crate::plan::host::ClusterNames;
use crate::upstream::connector::{AnswerBody, Upstream};
use crate::upstream::pool::{Account, NeedsHttp2, UpstreamError};

/// The clusters of one generation, by name.
pub(crate) struct Table {
    upstreams: FxHashMap<String, Upstream>,
    configs: Arc<[PlannedCluster]>,
}

/// The clusters of a worker, for the callouts of its plugins: those of the current generation, and those that only others have.
pub(crate) struct Clusters {
    current: RefCell<Rc<Table>>,
    /// The clusters of other generations, the latest first: of old ones, and of the one that is being started.
    others: RefCell<Vec<Weak<Table>>>,
    names: ClusterNames,
    max_callouts: Cell<usize>,
    refusals_logged: Quiet,
}

impl Table {
    /// Makes the clusters of a generation. Those that an earlier one has with the same configuration are the same, with their connections.
    pub(crate) fn new(clusters: &Arc<[PlannedCluster]>, account: &Account, before: Option<&Self>) -> Self {
        let upstream = |cluster: &PlannedCluster| {
            let known = before.and_then(|before| before.unchanged(cluster)).cloned();
            (cluster.config.name.clone(), known.unwrap_or_else(|| Upstream::new(cluster, account)))
        };
        Self { upstreams: clusters.iter().map(upstream).collect(), configs: Arc::clone(clusters) }
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&Upstream> {
        self.upstreams.get(name)
    }

    fn unchanged(&self, cluster: &PlannedCluster) -> Option<&Upstream> {
        self.configs.iter().find(|known| known.is_same(cluster)).and_then(|known| self.get(&known.config.name))
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.upstreams.keys()
    }
}

impl Clusters {
    /// Begins with the clusters of the first generation; plugins are told that there are those of `names`.
    pub(crate) fn new(first: Rc<Table>, names: ClusterNames, max_callouts: usize) -> Self {
        let refusals_logged = Quiet::new(Duration::from_secs(60));
        let clusters = Self {
            current: RefCell::new(first),
            others: RefCell::default(),
            names,
            max_callouts: Cell::new(max_callouts),
            refusals_logged,
        };
        clusters.renew_names();
        clusters
    }

    /// Returns the clusters of the current generation.
    pub(crate) fn current(&self) -> Rc<Table> {
        Rc::clone(&self.current.borrow())
    }

    /// Adds those of a generation that is being started, for as long as it keeps them.
    pub(crate) fn add(&self, table: &Rc<Table>) {
        self.others.borrow_mut().insert(0, Rc::downgrade(table));
        self.renew_names();
    }

    /// Makes those of a generation the current ones. Those of the one before stay for as long as it keeps them.
    pub(crate) fn change_over(&self, table: Rc<Table>, max_callouts: usize) {
        let is_it = |other: &Weak<Table>| std::ptr::eq(other.as_ptr(), Rc::as_ptr(&table));
        self.others.borrow_mut().retain(|other| !is_it(other));
        let before = self.current.replace(table);
        self.others.borrow_mut().insert(0, Rc::downgrade(&before));
        drop(before);
        self.max_callouts.set(max_callouts);
        self.renew_names();
    }

    /// Forgets clusters whose generations have ended.
    pub(crate) fn renew_names(&self) {
        let mut others = self.others.borrow_mut();
        others.retain(|table| table.strong_count() > 0);
        let mut names: HashSet<String> = self.current.borrow().names().cloned().collect();
        for table in others.iter().filter_map(Weak::upgrade) {
            names.extend(table.names().cloned());
        }
        self.names.set(names);
    }

    /// Finds a cluster: of the current generation, or else of the latest that has it.
    fn find(&self, name: &str) -> Option<Upstream> {
        if let Some(upstream) = self.current.borrow().get(name) {
            return Some(upstream.clone());
        }
        let others = self.others.borrow();
        others.iter().filter_map(Weak::upgrade).find_map(|table| table.get(name).cloned())
    }
}

impl Upstreams for Clusters {
    type Body = AnswerBody;

    async fn send(&self, upstream: &str, mut request: Request<QueueBody>) -> Result<Response<AnswerBody>, SendError> {
        let upstream = self.find(upstream).ok_or_else(SendError::unknown)?;
        // Of what plugins send, gRPC alone asks for HTTP/2.
        if request.version() == Version::HTTP_2 {
            request.extensions_mut().insert(NeedsHttp2);
        }
        upstream.send(request, |_| ()).await.map_err(SendError::from)
    }

    fn speaks_http2(&self, upstream: &str) -> Option<bool> {
        self.find(upstream).map(|upstream| upstream.speaks_http2())
    }

    fn timed_out(&self, upstream: &str, limit: Duration) {
        if let Some(upstream) = self.find(upstream) {
            upstream.timed_out(limit);
        }
    }

    fn refused(&self) {
        metrics::counter!("portcullis_callouts_refused_total").increment(1);
        if let Some(left_out) = self.refusals_logged.may_tell() {
            tracing::warn!(
                limit = self.max_callouts.get(),
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::plan::clusters::plan_clusters;

    fn configs(clusters: &str) -> Arc<[PlannedCluster]> {
        let text = format!("listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: a}}]}}]\nclusters: [{clusters}]\n");
        plan_clusters(&Config::parse("t.yaml", &text).unwrap().clusters).unwrap()
    }

    /// The numbers of clones that an upstream with a pool has, its own included.
    fn same(one: Option<&Upstream>, other: Option<&Upstream>) -> bool {
        one.unwrap().shares_connections_with(other.unwrap())
    }

    #[test]
    fn a_cluster_whose_configuration_is_the_same_keeps_its_connections() {
        let account = Account::unlimited();
        let (a, b) = ("{name: a, endpoints: ['127.0.0.1:1']}", "{name: b, endpoints: ['127.0.0.1:2']}");
        let first = Table::new(&configs(&format!("{a}, {b}")), &account, None);
        let b = "{name: b, endpoints: ['127.0.0.1:2'], max_idle: 1}";
        let second = Table::new(&configs(&format!("{b}, {a}")), &account, Some(&first));
        assert!(same(first.get("a"), second.get("a")), "it has moved in the file, and is the same");
        assert!(!same(first.get("b"), second.get("b")));
    }

    #[test]
    fn callouts_find_what_only_other_generations_have_while_these_live() {
        let table = |clusters: &str| Rc::new(Table::new(&configs(clusters), &Account::unlimited(), None));
        let names = ClusterNames::default();
        let both = table("{name: a, echo: {}}, {name: b, echo: {}}");
        let clusters = Clusters::new(Rc::clone(&both), names.clone(), 1);
        let next = table("{name: a, endpoints: ['127.0.0.1:1'], protocol: http2}, {name: c, echo: {}}");
        clusters.add(&next);
        assert_eq!(clusters.speaks_http2("a"), Some(false), "the current generation comes first");
        assert!(clusters.find("c").is_some() && names.has("c"), "plugins that are being started ask for it");
        clusters.change_over(next, 1);
        assert_eq!(clusters.speaks_http2("a"), Some(true));
        assert!(clusters.find("b").is_some() && names.has("b"), "the old generation lives");
        drop(both);
        clusters.renew_names();
        assert!(clusters.find("b").is_none() && !names.has("b") && names.has("c"));
    }

    #[test]
    fn a_generation_that_was_not_to_be_leaves_nothing() {
        let table = |clusters: &str| Rc::new(Table::new(&configs(clusters), &Account::unlimited(), None));
        let names = ClusterNames::default();
        let clusters = Clusters::new(table("{name: a, echo: {}}"), names.clone(), 1);
        let next = table("{name: a, echo: {}}, {name: b, echo: {}}");
        clusters.add(&next);
        drop(next);
        clusters.renew_names();
        assert!(clusters.find("b").is_none() && !names.has("b"));
    }
}
