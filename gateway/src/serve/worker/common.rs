//! The parts of a generation that each of its requests may need.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use crate::serve::generation::Counts;
use crate::upstream::clusters::Table;

/// The parts of a generation that each of its requests may need.
pub(crate) struct Common {
    number: u64,
    clusters: Rc<Table>,
    counts: Arc<Counts>,
    /// Ends TCP streams.
    cut: watch::Sender<bool>,
    /// Told when this has gone.
    ended: Rc<Notify>,
}

impl Common {
    pub(super) fn new(number: u64, counts: Arc<Counts>, clusters: Rc<Table>) -> Self {
        Self { number, clusters, counts, cut: watch::Sender::new(false), ended: Rc::default() }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Returns what counts its requests and streams.
    #[inline]
    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Waits until its TCP streams are to end.
    pub(super) fn cut_off(&self) -> impl Future<Output = ()> + use<> {
        let mut cut = self.cut.subscribe();
        async move {
            // Each stream keeps the sender.
            let _ = cut.wait_for(|cut| *cut).await;
        }
    }

    /// Ends its TCP streams.
    pub(super) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn clusters(&self) -> &Rc<Table> {
        &self.clusters
    }

    /// Returns what is told when the last of its requests and streams is over, and it is an old generation.
    pub(super) fn ended(&self) -> Rc<Notify> {
        Rc::clone(&self.ended)
    }
}

impl Drop for Common {
    fn drop(&mut self) {
        self.ended.notify_one();
    }
}
