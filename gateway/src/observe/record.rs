//! `serve --record`: transcripts of what plugins do with sampled connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::transcript::{Folder, Redaction, Settings, recorded};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::serve::seats::Seat;
use crate::serve::server::ServeError;
use crate::serve::worker::Planned;

/// What is recorded, and where.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The folder of the transcripts; made if it is not there.
    pub folder: PathBuf,
    /// One in so many connections is recorded, the first among them.
    pub sample: u64,
    /// The most bytes of one transcript.
    pub limit: usize,
    /// The most transcripts that are begun.
    pub files: usize,
    /// The names of headers and of parameters in queries whose values are hidden.
    pub redaction: Redaction,
}

/// The listeners again, with the VMs of all their plugins recorded, and without services: these run elsewhere.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn recorded_plan(recording: &Recording, planned: &Planned) -> Result<Planned, ServeError> {
    let trouble = |path: &Path, error: &std::io::Error| {
        tracing::warn!(path = %path.display(), %error, "a transcript cannot be written");
    };
    let path = recording.folder.clone();
    let folder = Folder::open(&path, recording.files, Arc::new(trouble))
        .map_err(|error| ServeError::Record { folder: path, error })?;
    let settings =
        Settings { outputs: Arc::new(folder), redaction: recording.redaction.clone(), limit: recording.limit };
    let planned = Planned { listeners: planned.listeners.clone(), services: Vec::new() };
    planned.wrapped(|module, name| recorded(module, name, &settings))
}

/// Where sampled connections of a listener go: to the worker whose VMs are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    every: u64,
    /// How many connections there were, on all workers and listeners.
    count: Arc<AtomicU64>,
    to: mpsc::Sender<Handed>,
}

/// A connection on its way to another worker, with its seat.
pub(crate) type Handed = (std::net::TcpStream, Seat);

/// How many connections may wait for the recording worker. What finds no place is served unrecorded.
const WAITING: usize = 256;

impl Sample {
    /// For each listener where its connections go, and where they come from.
    pub(crate) fn channels(recording: &Recording, listeners: usize) -> (Vec<Self>, Vec<mpsc::Receiver<Handed>>) {
        let (every, count) = (recording.sample.max(1), Arc::<AtomicU64>::default());
        let channel = |_| {
            let (to, from) = mpsc::channel(WAITING);
            (Self { every, count: Arc::clone(&count), to }, from)
        };
        (0..listeners).map(channel).unzip()
    }

    /// Hands over a connection if it is its turn; gives it back if not.
    pub(crate) fn offer(&self, connection: TcpStream, seat: Seat) -> Option<(TcpStream, Seat)> {
        if !self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every) {
            return Some((connection, seat));
        }
        let Ok(place) = self.to.try_reserve() else {
            tracing::debug!("the recording worker is busy; a connection is not recorded");
            return Some((connection, seat));
        };
        match connection.into_std() {
            Ok(connection) => place.send((connection, seat)),
            Err(error) => tracing::debug!(%error, "a connection is lost"),
        }
        None
    }
}
