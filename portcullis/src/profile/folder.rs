use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::private::{self, OnFileError};

/// Where a profile is kept.
pub(super) struct Folder {
    path: PathBuf,
    trouble: OnFileError,
    places: Mutex<Places>,
}

/// The owner of a file for samples.
struct Places {
    left: usize,
    /// How many VMs had this name.
    taken: BTreeMap<String, usize>,
}

/// A file for the samples of one VM.
pub(super) struct SampleFile {
    path: PathBuf,
    trouble: OnFileError,
}

impl Folder {
    pub(super) fn new(path: &Path, sampled: usize, trouble: OnFileError) -> Self {
        let places = Places { left: sampled, taken: BTreeMap::new() };
        Self { path: path.to_owned(), trouble, places: Mutex::new(places) }
    }

    pub(super) fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        private::replace(&self.path.join(name), bytes)
    }

    /// A file for the samples of one more VM of a thread, if there is a place. The second VM of a name has a number.
    pub(super) fn take_place(&self, name: &str, thread: &str) -> Option<SampleFile> {
        let name = format!("{}.{}", private::file_name(name), private::file_name(thread));
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.left = places.left.checked_sub(1)?;
        let taken = places.taken.entry(name.clone()).or_default();
        *taken += 1;
        let file = if *taken == 1 { format!("{name}.json") } else { format!("{name}.{taken}.json") };
        Some(SampleFile { path: self.path.join(file), trouble: Arc::clone(&self.trouble) })
    }
}

impl SampleFile {
    pub(super) fn write(&self, bytes: &[u8]) {
        if let Err(error) = private::replace(&self.path, bytes) {
            (self.trouble)(&self.path, &error);
        }
    }
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vm_has_a_file_up_to_their_number() {
        let folder = Folder::new(Path::new("/there"), 3, Arc::new(|_, _| {}));
        let place = |name, thread| folder.take_place(name, thread).map(|file| file.path.display().to_string());
        assert_eq!(place("my plugin", "worker-0").as_deref(), Some("/there/my_plugin.worker-0.json"));
        assert_eq!(place("my plugin", "worker-1").as_deref(), Some("/there/my_plugin.worker-1.json"));
        assert_eq!(place("my/plugin", "worker-0").as_deref(), Some("/there/my_plugin.worker-0.2.json"));
        assert_eq!(place("my plugin", "worker-0"), None);
    }
}
