//! Reports of workers about their start.
//!
//! | a worker | the gateway |
//! |---|---|
//! | reports that its plugins run | waits for the next |
//! | reports that a plugin failed, or that it cannot run | does not start |
//! | ends before it reports, by a panic | does not start |

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::plan::error::PluginFailed;

/// Reasons for which a worker does not start.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// A plugin failed.
    Plugin(PluginFailed),
    /// The system refuses a resource.
    Worker(io::Error),
    /// A reload was cancelled.
    Cancelled,
    /// The worker ended without a report, by a panic or because it was stopped.
    Ended,
}

/// One worker's report, given once: by [`Report::send`], or else by its end.
pub(crate) struct Report(Option<Sender<Result<(), NotStarted>>>);

/// The reports of this number of workers.
pub(crate) struct Reports {
    sender: Sender<Result<(), NotStarted>>,
    receiver: Receiver<Result<(), NotStarted>>,
    due: usize,
}

/// The pause between two looks at what may end the wait.
const LOOK: Duration = Duration::from_millis(50);

impl Report {
    /// Sends the report, unless one was sent.
    pub(crate) fn send(&mut self, started: Result<(), NotStarted>) {
        if let Some(sender) = self.0.take() {
            // Nobody listens once another worker has failed.
            let _ = sender.send(started);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.send(Err(NotStarted::Ended));
    }
}

impl Reports {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { sender, receiver, due: 0 }
    }

    /// Expects the report of one more worker.
    pub(crate) fn expect_one(&mut self) -> Report {
        self.due += 1;
        Report(Some(self.sender.clone()))
    }

    /// Waits until all workers have started.
    ///
    /// # Errors
    /// The first that one reports.
    pub(crate) fn wait(self) -> Result<(), NotStarted> {
        drop(self.sender);
        self.receiver.iter().take(self.due).collect()
    }

    /// The same, and calls `look` from time to time meanwhile.
    pub(crate) fn wait_and(self, look: impl Fn()) -> Result<(), NotStarted> {
        drop(self.sender);
        for _ in 0..self.due {
            loop {
                match self.receiver.recv_timeout(LOOK) {
                    Ok(report) => break report?,
                    Err(RecvTimeoutError::Timeout) => look(),
                    // Each report is sent, if only by its end.
                    Err(RecvTimeoutError::Disconnected) => return Err(NotStarted::Ended),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::{Arc, Barrier};
    use std::thread;

    use super::*;

    #[test]
    fn a_worker_that_panics_before_it_reports_fails_the_start() {
        let mut reports = Reports::new();
        let (mut good, bad) = (reports.expect_one(), reports.expect_one());
        // The other worker runs on, as it does until it is told to stop.
        let over = Arc::new(Barrier::new(2));
        let until = Arc::clone(&over);
        let good = thread::spawn(move || {
            good.send(Ok(()));
            until.wait();
        });
        let bad = thread::spawn(move || {
            let _report = bad;
            std::panic::resume_unwind(Box::new("a worker's panic"));
        });
        let error = reports.wait().unwrap_err();
        assert!(matches!(error, NotStarted::Ended), "{error:?}");
        over.wait();
        good.join().unwrap();
        assert!(bad.join().is_err());
    }

    #[test]
    fn a_report_counts_once() {
        let mut reports = Reports::new();
        let [mut first, mut second] = [reports.expect_one(), reports.expect_one()];
        first.send(Ok(()));
        first.send(Err(NotStarted::Worker(io::Error::other("it ran, and stopped"))));
        drop(first);
        second.send(Ok(()));
        drop(second);
        assert!(reports.wait().is_ok());
        assert!(Reports::new().wait().is_ok(), "nobody is waited for");
    }

    #[test]
    fn what_a_worker_cannot_do_is_told() {
        let mut reports = Reports::new();
        reports.expect_one().send(Err(NotStarted::Worker(io::Error::other("no more descriptors"))));
        let error = reports.wait().unwrap_err();
        assert!(matches!(error, NotStarted::Worker(error) if error.to_string() == "no more descriptors"));
    }
}
