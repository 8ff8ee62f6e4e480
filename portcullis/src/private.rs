//! Folders and files for their user alone.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// Receives the errors of files that cannot be written.
pub type OnFileError = Arc<dyn Fn(&Path, &io::Error) + Send + Sync>;

/// Makes a folder if it is not there; then its user alone may enter it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Turns a name from the configuration into a part of a file name that cannot leave its folder.
pub(crate) fn file_name(name: &str) -> String {
    const LONGEST: usize = 100;
    let is_fine = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name: String = name.chars().map(|c| if is_fine(&c) { c } else { '_' }).take(LONGEST).collect();
    if name.is_empty() { "plugin".to_owned() } else { name }
}

/// Puts a file into its place, whole or not at all. Several threads may do the same: whoever is last remains.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut part = path.as_os_str().to_owned();
    part.push(format!(".{:?}.part", std::thread::current().id()));
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
    let written = written.and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| std::fs::rename(&part, path))
}
