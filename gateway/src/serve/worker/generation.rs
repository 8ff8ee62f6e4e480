//! Generations as a worker has them.
//!
//! | a generation is | from when | its requests and streams | its plugins |
//! |---|---|---|---|
//! | being started | its first plugin starts | none | run, and no stream comes to them |
//! | current | the worker changes over to it | begin and go on | run |
//! | old | the worker changes over to another | go on: each [`Stay`] keeps the listener it came to | run for these; are asked to end behind the last one |
//! | old, and too old | TCP streams: `reload.linger` after that; all: when more than `reload.max_generations` would live | are cut | as above |
//! | gone | the last stay is over | none | have the time of a graceful stop to end |

use std::ops::Deref;
use std::rc::Rc;

use crate::plan::planned::Plan;
use crate::serve::worker::common::Common;
use crate::serve::worker::listener::ListenerState;
use crate::serve::worker::load::Loaded;
use crate::serve::worker::services::Services;
use crate::upstream::clusters::Table;
use portcullis::Chain;

/// A configuration as a worker serves it.
pub(super) struct Generation {
    pub(super) common: Rc<Common>,
    /// In the order of the configuration.
    pub(super) listeners: Vec<Rc<ListenerState>>,
    pub(super) services: Rc<Services>,
}

/// A request or TCP stream that has come to a listener: it belongs to that generation until this is dropped.
pub(crate) struct Stay(Rc<ListenerState>);

impl Generation {
    /// Makes the generation of a plan whose plugins run.
    pub(super) fn new(plan: &Plan, loaded: Loaded, clusters: Rc<Table>) -> Self {
        let common = Rc::new(Common::new(plan.number, plan.counts.begin(), clusters));
        let Loaded { services, listeners } = loaded;
        let planned = plan.planned.listeners.iter().zip(listeners).enumerate();
        let listeners = planned.map(|(index, (planned, chains))| {
            let seats = plan.bounds.seats(index, &planned.config.name);
            Rc::new(ListenerState::new(planned, chains, seats, Rc::clone(&common)))
        });
        Self { listeners: listeners.collect(), services: Rc::new(services), common }
    }

    /// Returns all its chains.
    pub(super) fn chains(&self) -> impl Iterator<Item = &Chain> {
        std::iter::once(&self.services.chain).chain(self.listeners.iter().flat_map(|listener| listener.chains()))
    }
}

impl Stay {
    /// Begins a request or stream.
    #[inline]
    pub(super) fn begin(listener: Rc<ListenerState>) -> Self {
        listener.generation.counts().begin(listener.member());
        Self(listener)
    }

    /// Waits until the stream is to end, since its generation has been replaced for too long.
    pub(super) fn cut_off(&self) -> impl Future<Output = ()> + use<> {
        self.generation.cut_off()
    }

    /// Returns the listener.
    pub(super) fn state(&self) -> Rc<ListenerState> {
        Rc::clone(&self.0)
    }
}

impl Deref for Stay {
    type Target = ListenerState;

    fn deref(&self) -> &ListenerState {
        &self.0
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.generation.counts().end(self.member());
    }
}
