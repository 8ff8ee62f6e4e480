//! Telling of an examination while it goes on, and ending it early.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_conformance::Progress;
use portcullis_conformance::http::Group;
use portcullis_conformance::report::Verdict;
use tokio::signal::unix::{SignalKind, signal};

/// The time between two lines of progress.
const PERIOD: Duration = Duration::from_secs(5);

/// The exit status of a command that was interrupted.
const INTERRUPTED: i32 = 130;

/// The exit status of a command that was told to end.
const TERMINATED: i32 = 143;

/// Tells of an examination on standard error, and ends it early.
///
/// | a signal | before the examination | while it goes on | after a first Ctrl-C |
/// |---|---|---|---|
/// | Ctrl-C | ends the kit | ends the examination, whose results are kept | ends the kit |
/// | SIGTERM | ends the kit | ends the kit | ends the kit |
///
/// The host that the kit has started ends with it.
pub(crate) struct Watch {
    told: Instant,
    failed: usize,
    examines: Arc<AtomicBool>,
    interrupted: Arc<AtomicBool>,
}

impl Watch {
    /// Begins to hear signals. From here on `host` ends with the kit.
    ///
    /// # Errors
    /// Signals cannot be heard.
    pub(crate) fn begin(host: Group) -> io::Result<Self> {
        let (examines, interrupted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (examining, heard) = (Arc::clone(&examines), Arc::clone(&interrupted));
        // A host over HTTP has a runtime of its own, which waits for nothing but its sockets.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        // Here and not on the thread, which may begin after the host.
        let entered = runtime.enter();
        let (mut interrupts, mut terminates) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        std::thread::spawn(move || {
            let end = |status| {
                host.end();
                std::process::exit(status);
            };
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        Some(()) = terminates.recv() => end(TERMINATED),
                        Some(()) = interrupts.recv() => {
                            if heard.swap(true, Ordering::Relaxed) || !examining.load(Ordering::Relaxed) {
                                end(INTERRUPTED);
                            }
                        }
                        else => return,
                    }
                }
            });
        });
        Ok(Self { told: Instant::now(), failed: 0, examines, interrupted })
    }

    /// Notes that the examination begins.
    pub(crate) fn examine(&mut self) {
        self.told = Instant::now();
        self.examines.store(true, Ordering::Relaxed);
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
