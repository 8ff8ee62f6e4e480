//! Telling of an examination while it goes on, and ending it early.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_conformance::Progress;
use portcullis_conformance::report::Verdict;

/// The time between two lines of progress.
const PERIOD: Duration = Duration::from_secs(5);

/// The exit status of a command that was interrupted twice.
const INTERRUPTED: i32 = 130;

/// Tells of an examination on standard error.
pub(crate) struct Watch {
    told: Instant,
    failed: usize,
    interrupted: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to tell. From here on the first Ctrl-C ends the examination, whose results are kept, and the second one the process.
    pub(crate) fn begin() -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&interrupted);
        // A host over HTTP has a runtime of its own, which waits for nothing but its sockets.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            let Ok(runtime) = runtime else { return };
            while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                if heard.swap(true, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
            }
        });
        Self { told: Instant::now(), failed: 0, interrupted }
    }

    /// Tells of a result: the first that fails at once, and how far it is from time to time.
    pub(crate) fn tell(&mut self, progress: &Progress<'_>) -> ControlFlow<()> {
        if self.is_interrupted() {
            say(&format!(
                "interrupted: the report has {} of {} cases; another Ctrl-C ends the kit without a report",
                progress.done - 1,
                progress.wanted
            ));
            return ControlFlow::Break(());
        }
        if let Verdict::Failed { what, .. } = &progress.result.verdict {
            self.failed += 1;
            if self.failed == 1 {
                say(&format!("the first that fails: {}: {what}", progress.result.path()));
            }
        }
        if self.told.elapsed() >= PERIOD {
            self.told = Instant::now();
            say(&format!("{} of {} cases, {} failed", progress.done, progress.wanted, self.failed));
        }
        ControlFlow::Continue(())
    }

    /// Returns whether the examination was ended early.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
