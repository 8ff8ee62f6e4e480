//! The socket of the admin interface: an address, or a Unix socket.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};

use super::writes::Way;
use crate::net::listen::BACKLOG;
use crate::serve::upgrade::KeptAdmin;

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum AdminSocket {
    Tcp(TcpListener),
    Unix(UnixSocket),
}

/// A Unix socket, whose file is removed with it.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    mode: u32,
    /// Device and number of the file: another gateway may have put its own in its place.
    file: (u64, u64),
    /// The file stays when the socket is closed: another process has it.
    is_left: Arc<AtomicBool>,
}

impl UnixSocket {
    /// Listens at a path; the file gets these permissions before anybody can connect. A socket that is left of a process
    /// which has ended is replaced.
    ///
    /// # Errors
    /// The fault, and its remedy.
    pub(crate) fn bind(path: &Path, mode: u32) -> Result<Self, String> {
        remove_stale(path)?;
        let open = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::unix(path)?)?;
            Ok(socket)
        };
        let socket = open().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                "the path is too long for a socket; choose one of at most 107 bytes".to_owned()
            }
            io::ErrorKind::NotFound => "the folder is not there; make it, or choose another path".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; choose a folder that this user may write to".to_owned()
            }
            _ => format!("{error}; choose another path"),
        })?;
        let finish = || {
            let metadata = std::fs::symlink_metadata(path)?;
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
            socket.listen(BACKLOG)?;
            Ok((metadata.dev(), metadata.ino()))
        };
        let file = finish().map_err(|error: io::Error| format!("{error}; choose another path"))?;
        Ok(Self { listener: socket.into(), path: path.to_owned(), mode, file, is_left: Arc::default() })
    }

    /// Takes a socket that the process was started with. Its file stays if it `is_shared`, since another process listens on.
    ///
    /// # Errors
    /// The file is not there.
    pub(crate) fn passed(listener: UnixListener, path: &Path, is_shared: bool) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        let (mode, file) = (metadata.permissions().mode() & 0o777, (metadata.dev(), metadata.ino()));
        Ok(Self { listener, path: path.to_owned(), mode, file, is_left: Arc::new(AtomicBool::new(is_shared)) })
    }
}

impl AdminSocket {
    /// Returns the socket as another process can have it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(crate) fn keep(&self) -> io::Result<KeptAdmin> {
        let is_left = match self {
            Self::Tcp(_) => Arc::default(),
            Self::Unix(socket) => Arc::clone(&socket.is_left),
        };
        Ok(KeptAdmin { socket: self.as_fd().try_clone_to_owned()?, is_left })
    }

    /// Returns the way that requests over it come.
    pub(super) fn way(&self) -> Way {
        match self {
            Self::Tcp(_) => Way::Tcp,
            Self::Unix(socket) => Way::Unix(socket.mode),
        }
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if self.is_left.load(Ordering::Relaxed) {
            return;
        }
        let is_own = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino()) == self.file;
        if std::fs::symlink_metadata(&self.path).is_ok_and(|metadata| is_own(&metadata)) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl AsFd for AdminSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.listener.as_fd(),
        }
    }
}

/// Removes the file of a socket on which no process listens.
fn remove_stale(path: &Path) -> Result<(), String> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("{error}; choose another path")),
    };
    if !metadata.file_type().is_socket() {
        return Err("a file is there that is no socket; remove it, or choose another path".to_owned());
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path).map_err(|error| {
            format!("a socket of a process that has ended is there, and cannot be removed: {error}; remove it")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err("a process listens there; stop it, or choose another path".to_owned()),
        Err(error) => Err(format!("a socket is there: {error}; stop the process that listens, or choose another path")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("portcullis-{}-{name}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    #[test]
    fn the_file_has_its_permissions_and_goes_with_the_socket() {
        let path = path("mode");
        let socket = UnixSocket::bind(&path, 0o660).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        let error = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert!(error.contains("a process listens there; stop it"), "{error}");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_is_left_is_replaced_and_anothers_stays() {
        let path = path("stale");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let first = UnixSocket::bind(&path, 0o600).unwrap();
        // Somebody else takes the place.
        std::fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_stays_and_has_a_remedy() {
        let path = path("file");
        std::fs::write(&path, "precious").unwrap();
        let error = UnixSocket::bind(&path, 0o600).unwrap_err();
        assert!(error.contains("a file is there that is no socket; remove it"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        let error = UnixSocket::bind(&path.join("x"), 0o600).unwrap_err();
        assert!(error.contains("the folder is not there"), "{error}");
        let error = UnixSocket::bind(Path::new(&"x".repeat(200)), 0o600).unwrap_err();
        assert!(error.contains("too long for a socket"), "{error}");
    }
}
