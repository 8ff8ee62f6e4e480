//! A folder of transcripts, private to its user.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::recorder::{Outputs, Subject};
use crate::private::{self, OnFileError};

/// Keeps transcripts as `NAME.NUMBER.jsonl`, and the code of each as `SHA256.wasm`. Files that are there are never written
/// over.
pub struct Folder {
    path: PathBuf,
    /// How many transcripts it still takes.
    left: AtomicUsize,
    trouble: OnFileError,
}

impl Folder {
    /// Opens a folder, which is made if it is not there; then its user alone may enter it. It takes so many transcripts.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(path: &Path, transcripts: usize, trouble: OnFileError) -> io::Result<Self> {
        private::make_folder(path)?;
        Ok(Self { path: path.to_owned(), left: AtomicUsize::new(transcripts), trouble })
    }

    fn create(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let name = private::file_name(name);
        let mut number = 0_u32;
        loop {
            let path = self.path.join(format!("{name}.{number}.jsonl"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number = number.saturating_add(1),
                result => return result.map(|file| (path, file)),
            }
        }
    }
}

impl Outputs for Folder {
    fn open(&self, subject: &Subject) -> Option<Box<dyn Write + Send>> {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        match keep_code(&self.path, subject).and_then(|()| self.create(&subject.name)) {
            Ok((path, file)) => Some(Box::new(Told { file, path, trouble: Arc::clone(&self.trouble), is_told: false })),
            Err(error) => {
                (self.trouble)(&self.path, &error);
                None
            }
        }
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).field("left", &self.left).finish_non_exhaustive()
    }
}

/// Puts the code into a folder, if it is not there yet.
pub(super) fn keep_code(folder: &Path, subject: &Subject) -> io::Result<()> {
    let path = folder.join(format!("{}.wasm", subject.sha256));
    if path.exists() {
        return Ok(());
    }
    private::replace(&path, &subject.code)
}

/// A file whose first error is told.
pub(super) struct Told {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) trouble: OnFileError,
    pub(super) is_told: bool,
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        if let Err(error) = &written
            && error.kind() != ErrorKind::Interrupted
            && !std::mem::replace(&mut self.is_told, true)
        {
            (self.trouble)(&self.path, error);
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
