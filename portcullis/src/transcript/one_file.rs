//! A transcript in a file whose name is given, for one run.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::folder::{Told, keep_code};
use super::recorder::{Outputs, Subject};
use crate::private::OnFileError;

/// Writes the transcript of the first VM over a file, and those of others beside it: `a.jsonl`, `a.2.jsonl` and so on. The
/// code of each stands beside them as `SHA256.wasm`.
pub struct OneFile {
    path: PathBuf,
    count: AtomicUsize,
    trouble: OnFileError,
}

impl OneFile {
    /// Names the file, which is written when a VM starts. Its folder must exist.
    pub fn new(path: &Path, trouble: OnFileError) -> Self {
        Self { path: path.to_owned(), count: AtomicUsize::new(0), trouble }
    }
}

impl Outputs for OneFile {
    fn open(&self, subject: &Subject) -> Option<Box<dyn Write + Send>> {
        let path = match self.count.fetch_add(1, Ordering::Relaxed) {
            0 => self.path.clone(),
            before => self.path.with_extension(format!("{}.jsonl", before + 1)),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let file = keep_code(folder, subject)
            .and_then(|()| OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path));
        match file {
            Ok(file) => Some(Box::new(Told { file, path, trouble: Arc::clone(&self.trouble), is_told: false })),
            Err(error) => {
                (self.trouble)(&path, &error);
                None
            }
        }
    }
}

impl std::fmt::Debug for OneFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OneFile").field("path", &self.path).finish_non_exhaustive()
    }
}
