//! The number of connections that a worker has with its upstreams: those of requests, callouts and TCP streams, and those that are
//! idle.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use tokio::time::Instant;

use super::error::UpstreamError;

/// A bound on connections, which clusters share. Clones are the same.
#[derive(Clone, Debug)]
pub struct Account(Rc<Inner>);

struct Inner {
    limit: Cell<usize>,
    open: Cell<usize>,
    /// Endpoints that may have idle connections.
    endpoints: RefCell<Vec<Weak<dyn HoldsIdle>>>,
    /// Ends something else that has connections, and returns whether there was anything.
    relieve: Box<dyn Fn() -> bool>,
}

/// An endpoint with idle connections, which may be closed for those of others.
pub(super) trait HoldsIdle {
    /// Returns the time since which its oldest idle connection has been idle, if it has one.
    fn idle_since(&self) -> Option<Instant>;

    /// Closes that connection.
    fn close_idle(&self) -> bool;
}

/// One connection of an account, until it is dropped.
#[derive(Debug)]
pub struct Share(Rc<Inner>);

impl Account {
    /// Creates an account of at most `limit` connections. When all are taken and none is idle, `relieve` may end something that has some,
    /// and returns whether it did.
    pub fn new(limit: usize, relieve: impl Fn() -> bool + 'static) -> Self {
        let relieve = Box::new(relieve);
        Self(Rc::new(Inner { limit: Cell::new(limit), open: Cell::new(0), endpoints: RefCell::default(), relieve }))
    }

    /// Creates an account without a bound.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX, || false)
    }

    /// Sets another limit. Connections beyond it that are open already stay.
    pub(crate) fn set_limit(&self, limit: usize) {
        self.0.limit.set(limit);
    }

    /// Adds an endpoint, whose idle connections may be closed for those of others.
    pub(super) fn add(&self, endpoint: &Rc<impl HoldsIdle + 'static>) {
        let endpoint = Rc::downgrade(endpoint);
        let mut endpoints = self.0.endpoints.borrow_mut();
        // Clusters go with their generation.
        endpoints.retain(|endpoint| endpoint.strong_count() > 0);
        endpoints.push(endpoint);
    }

    /// Takes a share for a connection that is about to be opened.
    ///
    /// # Errors
    /// All are taken, by connections that are in use.
    pub(super) async fn open(&self) -> Result<Share, UpstreamError> {
        /// A connection is closed by its task, which runs after the one that gave it up, and that after this one.
        const TURNS: usize = 4;
        loop {
            if let Some(share) = self.take() {
                return Ok(share);
            }
            if !self.close_idle() && !(self.0.relieve)() {
                return Err(UpstreamError::Overflow { limit: self.0.limit.get() });
            }
            let mut turns = TURNS;
            while turns > 0 && self.0.open.get() >= self.0.limit.get() {
                tokio::task::yield_now().await;
                turns -= 1;
            }
            if turns == 0 {
                // What should have been closed was not.
                return self.take().ok_or(UpstreamError::Overflow { limit: self.0.limit.get() });
            }
        }
    }

    fn take(&self) -> Option<Share> {
        let open = self.0.open.get();
        (open < self.0.limit.get()).then(|| {
            self.0.open.set(open + 1);
            Share(Rc::clone(&self.0))
        })
    }

    /// Closes the connection that has been idle longest, of any endpoint.
    fn close_idle(&self) -> bool {
        let endpoints = self.0.endpoints.borrow();
        let idle = endpoints.iter().filter_map(Weak::upgrade);
        let oldest =
            idle.filter_map(|endpoint| Some((endpoint.idle_since()?, endpoint))).min_by_key(|(since, _)| *since);
        oldest.is_some_and(|(_, endpoint)| endpoint.close_idle())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("limit", &self.limit).field("open", &self.open).finish_non_exhaustive()
    }
}
