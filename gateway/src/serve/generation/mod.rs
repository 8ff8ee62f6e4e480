//! Generations: a configuration as it is served, and how the next one takes its place.
//!
//! A generation is immutable. A reload builds the next one beside the one that runs; when it is whole, each worker changes over at one
//! point. A request belongs to the generation that is current at its head.
//!
//! | module | what it holds |
//! |---|---|
//! | `reloader` | [`Reloader`]: the steps of a reload |
//! | `crew` | the workers, and what they are asked for |
//! | `known` | which plugins are new, stay and end |
//! | `counts` | what holds a generation |

mod counts;
pub(crate) mod crew;
mod known;
pub(crate) mod reloader;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::config::Config;
use crate::error::ServeError;
pub(crate) use counts::{Counts, LiveCounts, Member};
pub use reloader::Reloader;

/// Replaces the configuration of a gateway that serves.
pub trait Reload: Send {
    /// Serves another configuration. Blocks until all workers have changed over to it, or nothing has changed. Of several callers, one
    /// waits for the other.
    ///
    /// # Errors
    /// The configuration cannot be served, or `cancel` has asked the reload to end. The gateway serves as before, and nothing is left of
    /// what was begun.
    fn reload(&self, config: Config, cancel: &Cancel) -> Result<Reloaded, ServeError>;

    /// Returns the generations that live, the oldest first. The last one is the current one. Never waits for a reload.
    fn generations(&self) -> Vec<Held>;
}

/// Asks a reload to end before it changes anything. Clones are the same, but for a condition without which nothing is to change: that
/// the files which are read stay as they are.
///
/// ```
/// use portcullis_gateway::serve::generation::Cancel;
///
/// let cancel = Cancel::default();
/// let of_another_thread = cancel.clone();
/// of_another_thread.cancel();
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Clone, Default)]
pub struct Cancel {
    asked: Arc<AtomicBool>,
    unless: Option<Arc<dyn Fn() -> bool + Send + Sync>>,
}

/// A reload that has succeeded. Plugins are counted as each worker has them: one that is in several chains counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloaded {
    /// The number of the generation that is served now.
    pub generation: u64,
    /// Plugins that have been started.
    pub started: usize,
    /// Plugins that go on with their VMs and their state.
    pub stayed: usize,
    /// Plugins that end when the streams over them are over.
    pub ended: usize,
}

/// A generation that lives, and what holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Its number; the start has 1.
    pub number: u64,
    /// The time at which it was served first.
    pub since: SystemTime,
    /// Requests in flight, on all workers.
    pub requests: usize,
    /// TCP streams, on all workers.
    pub connections: usize,
    /// Plugins that no later generation has, as each worker has them.
    pub plugins: usize,
}

impl Cancel {
    /// Makes this clone ask the reload to end also when a condition does not hold any more.
    pub(crate) fn also_unless(&mut self, condition: impl Fn() -> bool + Send + Sync + 'static) {
        self.unless = Some(Arc::new(condition));
    }

    /// Asks the reload to end. It does so before the next plugin is compiled or started, unless workers change over already.
    pub fn cancel(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Returns whether the reload is to end.
    pub fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.unless.as_ref().is_some_and(|condition| !condition())
    }

    /// Returns a clone without the condition, for threads that are not to wait for what it looks at.
    pub(crate) fn asked_only(&self) -> Self {
        Self { asked: Arc::clone(&self.asked), unless: None }
    }

    /// Asks the reload to end if the condition does not hold any more: those that have [`Self::asked_only`] learn of it then.
    pub(crate) fn look(&self) {
        if self.is_cancelled() {
            self.cancel();
        }
    }

    /// Ends what was cancelled.
    ///
    /// # Errors
    /// [`ServeError::Cancelled`], if so.
    pub(crate) fn check(&self) -> Result<(), ServeError> {
        if self.is_cancelled() { Err(ServeError::Cancelled) } else { Ok(()) }
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("asked", &self.asked).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_without_the_condition_learns_of_it_when_who_has_it_looks() {
        let holds = Arc::new(AtomicBool::new(true));
        let mut cancel = Cancel::default();
        let condition = Arc::clone(&holds);
        cancel.also_unless(move || condition.load(Ordering::Relaxed));
        let asked_only = cancel.asked_only();
        cancel.look();
        assert!(!cancel.is_cancelled());
        holds.store(false, Ordering::Relaxed);
        assert!(cancel.is_cancelled());
        assert!(!asked_only.is_cancelled(), "it looks at nothing itself");
        cancel.look();
        assert!(asked_only.is_cancelled());
    }
}
