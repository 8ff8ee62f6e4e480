//! `serve --profile`: where plugins spend their time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis::profile::{Profiler, profiled};

use crate::error::ServeError;
use crate::plan::planned::Planned;

/// Maximum number of VMs that are sampled. Each keeps its samples in memory until it ends.
const SAMPLED: usize = 100;

/// Period in which the profile is written.
const PERIOD: Duration = Duration::from_secs(10);

/// Measures the plugins of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Profiling {
    folder: PathBuf,
    profiler: Arc<Profiler>,
}

/// Writes the profile now and then, and at the end.
#[derive(Debug)]
pub(crate) struct Writer {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Profiling {
    /// Opens the folder.
    ///
    /// # Errors
    /// The folder cannot be made, or not be written to.
    pub(crate) fn open(folder: &Path) -> Result<Self, ServeError> {
        let trouble = |path: &Path, error: &std::io::Error| cannot_write(path, error);
        let profiler = Profiler::open(folder, SAMPLED, Arc::new(trouble))
            .map_err(|error| ServeError::Profile { folder: folder.to_owned(), error })?;
        Ok(Self { folder: folder.to_owned(), profiler: Arc::new(profiler) })
    }

    /// Returns the plan with the VMs of all plugins measured.
    pub(crate) fn measured(&self, planned: &Planned) -> Result<Planned, ServeError> {
        planned.wrapped(|module, name| profiled(module, name, &self.profiler))
    }

    /// Logs what is measured, and which engines cannot sample.
    pub(crate) fn announce(&self, planned: &Planned) {
        tracing::info!(folder = %self.folder.display(), "measuring where plugins spend their time");
        let mut engines: Vec<_> = planned.plugins().map(|spec| spec.module.engine()).collect();
        engines.sort_unstable();
        engines.dedup();
        let cannot =
            portcullis::engine::all().iter().filter(|info| !info.features.samples && engines.contains(&info.name));
        for info in cannot {
            tracing::warn!(
                "--profile: {} takes no samples of functions; profile.txt and profile.json have all else",
                info.name
            );
        }
    }

    /// Begins to write.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(self) -> Result<Writer, ServeError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let write = move || loop {
            let ends = stopped.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
            if let Err(error) = self.profiler.write() {
                cannot_write(&self.folder, &error);
            }
            if ends {
                break;
            }
        };
        let thread = std::thread::Builder::new().name("profile".to_owned()).spawn(write)?;
        Ok(Writer { stop, thread })
    }
}

impl Writer {
    /// Writes all files once more, after the VMs have ended.
    pub(crate) fn finish(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!(
                "the thread that writes the profile ended by a panic; report its message, which is on standard error"
            );
        }
    }
}

fn cannot_write(path: &Path, error: &std::io::Error) {
    tracing::warn!(path = %path.display(), %error, "cannot write the profile, and tries again; make room in its folder, or let this user write there");
}
