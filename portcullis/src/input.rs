//! Files that an operator names: read whole, and refused by kind and size before anything is read or waited for.

use std::fmt;
use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// The most bytes that the file of a plugin may have: what WebAssembly's own implementations agree on.
pub const LARGEST_PLUGIN: u64 = 1 << 30;

/// Reads a regular file of at most `largest` bytes.
///
/// ```
/// use portcullis::input::{LARGEST_PLUGIN, read_file};
///
/// let error = read_file("/dev/zero".as_ref(), LARGEST_PLUGIN).map_err(|error| error.to_string());
/// assert!(error.is_err_and(|error| error.contains("a device")));
/// ```
///
/// # Errors
/// The file cannot be read, is of another kind (directory, pipe, socket, device), or is larger.
pub fn read_file(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let (file, len) = open(path)?;
    if len > largest {
        return Err(too_large(len, largest));
    }
    let mut bytes = Vec::new();
    read_at_most(file, largest, &mut bytes)?;
    Ok(bytes)
}

/// Reads all that `source` has, at most `largest` bytes of it, to the end of `bytes`.
///
/// # Errors
/// The source cannot be read, or has more.
pub fn read_at_most(source: impl Read, largest: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    let read = source.take(largest.saturating_add(1)).read_to_end(bytes)?;
    match read as u64 > largest {
        true => Err(io::Error::other(format!("it has more than {largest} bytes, the most that are read here"))),
        false => Ok(()),
    }
}

/// Opens a regular file.
///
/// # Errors
/// The file cannot be opened, or is of another kind.
pub fn open_file(path: &Path) -> io::Result<File> {
    open(path).map(|(file, _)| file)
}

/// Names the kind of a file that is no regular one, with its article.
pub fn other_kind(kind: FileType) -> Option<&'static str> {
    Some(match kind {
        kind if kind.is_file() => return None,
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    })
}

/// Opens a regular file without waiting for anybody, and gives its length.
fn open(path: &Path) -> io::Result<(File, u64)> {
    // A pipe would wait for who writes it, a terminal would become the process's own.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = flags.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        // A socket cannot be opened at all, and the system's words for that say nothing.
        let kind = std::fs::metadata(path).ok().and_then(|found| other_kind(found.file_type()));
        kind.filter(|_| error.kind() != io::ErrorKind::PermissionDenied).map_or(error, not_regular)
    })?;
    let metadata = file.metadata()?;
    match other_kind(metadata.file_type()) {
        Some(kind) => Err(not_regular(kind)),
        None => Ok((file, metadata.len())),
    }
}

fn not_regular(kind: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, and only regular files are read"))
}

fn too_large(len: u64, largest: u64) -> io::Error {
    let message = format!("it has {len} bytes, and at most {largest} are read here");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("portcullis-read-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn refusal(path: &Path) -> String {
        read_file(path, 10).unwrap_err().to_string()
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = Folder::new("kinds");
        let pipe = folder.0.join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let socket = folder.0.join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (&*folder.0, "a directory"),
            (&*pipe, "a pipe"),
            (&*socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            assert_eq!(refusal(path), format!("it is {kind}, and only regular files are read"));
            assert!(open_file(path).is_err(), "{}", path.display());
        }
        assert!(refusal(&folder.0.join("absent")).contains("No such file"));
    }

    #[test]
    fn a_file_ends_at_its_limit() {
        let folder = Folder::new("sizes");
        let path = folder.0.join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        assert_eq!(read_file(&path, 10).unwrap(), b"0123456789");
        // Sparse: nothing of it is read.
        File::options().write(true).open(&path).unwrap().set_len(10 << 30).unwrap();
        assert_eq!(refusal(&path), "it has 10737418240 bytes, and at most 10 are read here");
        // The system says that these are empty.
        assert!(refusal(Path::new("/proc/self/status")).contains("more than 10 bytes"));
    }
}
