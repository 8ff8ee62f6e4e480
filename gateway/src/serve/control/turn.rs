//! Turns of reloads and of another process that takes over: one waits for the end of the other.
//!
//! A process that takes over gets the listening sockets as they are when it starts. A reload meanwhile would open others, which the new
//! process cannot bind, or whose connections it does not know of.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The turn. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<Mutex<Option<Of>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Reload,
    Upgrade,
}

/// The turn of a reload or of another process, until its end.
#[derive(Debug)]
pub(crate) struct Held(Turn);

impl Turn {
    /// Takes the turn for a reload.
    ///
    /// # Errors
    /// Another process is starting.
    pub(super) fn reload(&self) -> Result<Held, &'static str> {
        self.take(Of::Reload).map_err(|_| {
            "another process is starting that takes over, with the sockets that there are, and reads the configuration itself; ask again if it fails"
        })
    }

    /// Takes the turn for another process.
    ///
    /// # Errors
    /// A reload runs.
    pub(super) fn upgrade(&self) -> Result<Held, &'static str> {
        self.take(Of::Upgrade).map_err(|of| match of {
            Of::Reload => "a reload runs, which may change the sockets to pass; ask again when it has ended",
            Of::Upgrade => "another process is starting already; wait for it",
        })
    }

    /// Returns whether another process is starting.
    pub(super) fn is_of_upgrade(&self) -> bool {
        *self.lock() == Some(Of::Upgrade)
    }

    fn take(&self, of: Of) -> Result<Held, Of> {
        let mut turn = self.lock();
        match *turn {
            Some(other) => Err(other),
            None => {
                *turn = Some(of);
                Ok(Held(self.clone()))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Of>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}
