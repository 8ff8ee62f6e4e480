//! Directories of the system for plugins, by `cap-std`: each is a handle, paths are resolved from it one
//! component at a time, and none leads out of it.

mod directory;
mod error;
mod file;

use std::io;
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use portcullis_core::resources::Directory;

use self::directory::SystemDirectory;

/// Opens a directory of the system, for [`Host::open_directory`](portcullis_core::resources::Host::open_directory). What is in it
/// when a plugin asks is what the plugin sees; calls on it block.
///
/// ```
/// let missing = portcullis::files::open_directory("/there/is/no/such/directory".as_ref());
/// assert!(missing.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound));
/// portcullis::files::open_directory(&std::env::temp_dir())?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// The system's error.
pub fn open_directory(path: &Path) -> io::Result<Box<dyn Directory>> {
    let directory = Dir::open_ambient_dir(path, ambient_authority())?;
    Ok(Box::new(SystemDirectory::new(directory)))
}
