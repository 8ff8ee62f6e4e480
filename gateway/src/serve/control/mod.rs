//! Reloads: who asks for one, and what is told about it.
//!
//! | module | what it holds |
//! |---|---|
//! | `source` | the file that is read again |
//! | `thread` | the thread that takes what asks, and has one reload at a time |
//! | `turn` | the exclusion of reloads while another process takes over |
//! | `wish` | who asks, and what comes of it |
//! | `watch` | files whose change is a wish |
//! | `status` | what `/config`, `/ready` and metrics say |
//!
//! A reload itself is behind the trait [`Reload`].

mod source;
mod status;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
mod thread;
mod turn;
mod watch;
mod wish;

use std::fmt;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::generation::{Held, Reload};
pub use source::Source;
use status::Status;
use thread::{Event, Reloading};
pub(crate) use turn::Held as HeldTurn;
use turn::Turn;
use watch::Times;
pub use wish::{By, Outcome};

/// A gateway's reloads. Clones are the same.
#[derive(Clone)]
pub struct Control {
    events: Sender<Event>,
    status: Status,
    turn: Turn,
    held: Arc<dyn Fn() -> Vec<Held> + Send + Sync>,
}

impl Control {
    /// Starts the thread that takes wishes. `source` is what is served now, and `watches` whether a change of its files is a wish.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start<R: Reload + Clone + 'static>(reloader: R, source: Source, watches: bool) -> std::io::Result<Self> {
        Self::start_with(reloader, source, watches, Times::default())
    }

    fn start_with<R: Reload + Clone + 'static>(
        reloader: R,
        source: Source,
        watches: bool,
        times: Times,
    ) -> std::io::Result<Self> {
        let (events, received) = std::sync::mpsc::channel();
        let status = Status::of_start(source.digest());
        let asked = Mutex::new(reloader.clone());
        let held = Arc::new(move || asked.lock().unwrap_or_else(PoisonError::into_inner).generations());
        let turn = Turn::default();
        let control = Self { events: events.clone(), status: status.clone(), turn: turn.clone(), held };
        let reloading = Reloading::new(reloader, source, watches, events, status, turn, times);
        std::thread::Builder::new().name("control".to_owned()).spawn(move || reloading.run(&received))?;
        Ok(control)
    }

    /// Asks for a reload and does not wait for it.
    pub fn ask(&self, by: By) {
        // Who stops reloads nothing.
        let _ = self.events.send(Event::Ask(by, None));
    }

    /// Asks for a reload, and waits for its outcome.
    pub async fn reload(&self, by: By) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let _ = self.events.send(Event::Ask(by, Some(answer)));
        answered.await.unwrap_or(Outcome::Stopping)
    }

    /// Refuses reloads, for another process that takes over, until what is returned is dropped. A watch looks again then.
    ///
    /// # Errors
    /// A reload runs, or another process is starting already.
    pub(crate) fn refuse_reloads(&self) -> Result<HeldTurn, String> {
        self.turn.upgrade().map_err(str::to_owned)
    }

    /// Cancels a reload and takes no further wish.
    pub fn stop(&self) {
        let _ = self.events.send(Event::Stop);
    }

    /// Returns the members of `/config` that say which generation serves, what holds others, and how the last reload ended.
    pub(crate) fn members(&self) -> serde_json::Map<String, serde_json::Value> {
        self.status.members(&(self.held)())
    }

    /// Returns a line for `/ready` if the last reload failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.status.failure()
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("status", &self.status).finish_non_exhaustive()
    }
}
