//! `serve --record`: transcripts of what plugins do with sampled connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis::transcript::{Folder, Redaction, Settings, recorded};

use crate::error::ServeError;
use crate::plan::planned::Planned;

/// Options of transcripts.
#[derive(Clone, Debug)]
pub struct TranscriptOptions {
    /// The folder of the transcripts; made if it is not there.
    pub folder: PathBuf,
    /// The N of "one connection in N is recorded", beginning with the first.
    pub sample: u64,
    /// The most bytes of one transcript.
    pub limit: usize,
    /// The most transcripts that are begun.
    pub files: usize,
    /// The names of headers and of parameters in queries whose values are hidden.
    pub redaction: Redaction,
}

/// Returns the plan with the VMs of all listeners' plugins recorded, and without services, which run elsewhere.
///
/// # Errors
/// The folder cannot be made.
pub(crate) fn with_recorder(recording: &TranscriptOptions, planned: &Planned) -> Result<Planned, ServeError> {
    let trouble = |path: &Path, error: &std::io::Error| {
        tracing::warn!(path = %path.display(), %error, "cannot write a transcript; make room in its folder, or let this user write there");
    };
    let path = recording.folder.clone();
    let folder = Folder::open(&path, recording.files, Arc::new(trouble))
        .map_err(|error| ServeError::Record { folder: path, error })?;
    let settings = Settings::new(Arc::new(folder), recording.limit).with_redaction(recording.redaction.clone());
    let planned = Planned { services: Vec::new(), ..planned.clone() };
    planned.wrapped(|module, name| recorded(module, name, &settings))
}
