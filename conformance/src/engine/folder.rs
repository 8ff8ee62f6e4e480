#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use portcullis::resources::Preopen;

/// A folder for one case, with its own name; it goes with this.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder with these files, as paths and texts, and the folders that they are in.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("portcullis-case-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&folder.0).unwrap();
        for (path, text) in files {
            std::fs::create_dir_all(folder.path(path).parent().unwrap()).unwrap();
            std::fs::write(folder.path(path), text).unwrap();
        }
        folder
    }

    /// Returns where something in it is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads the text of a file in it, if it is there.
    pub(crate) fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path(name)).ok()
    }

    /// Makes a symbolic link in it.
    pub(crate) fn link(&self, target: impl AsRef<Path>, name: &str) {
        std::os::unix::fs::symlink(target, self.path(name)).unwrap();
    }

    /// Returns a folder in it, as the directory `/data` of a guest.
    pub(crate) fn preopen(&self, name: &str, write: bool) -> Preopen {
        Preopen::new("/data", self.path(name)).with_write(write)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
