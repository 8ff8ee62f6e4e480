use std::io::{self, ErrorKind};

use portcullis_core::abi::Errno;
use rustix::io::Errno as Raw;

/// Returns WASI's number for an error of the system.
pub(super) fn errno(error: &io::Error) -> Errno {
    match Raw::from_io_error(error) {
        Some(raw) => KNOWN.iter().find(|(known, _)| *known == raw).map_or(Errno::Io, |(_, errno)| *errno),
        // cap-std's own errors have no number; this one is for a path that leads out.
        None => match error.kind() {
            ErrorKind::PermissionDenied => Errno::Perm,
            ErrorKind::InvalidInput => Errno::Inval,
            ErrorKind::NotFound => Errno::Noent,
            ErrorKind::NotADirectory => Errno::Notdir,
            ErrorKind::AlreadyExists => Errno::Exist,
            _ => Errno::Io,
        },
    }
}

const KNOWN: &[(Raw, Errno)] = &[
    (Raw::ACCESS, Errno::Acces),
    (Raw::AGAIN, Errno::Again),
    (Raw::BADF, Errno::Badf),
    (Raw::BUSY, Errno::Busy),
    (Raw::DQUOT, Errno::Dquot),
    (Raw::EXIST, Errno::Exist),
    (Raw::FBIG, Errno::Fbig),
    (Raw::ILSEQ, Errno::Ilseq),
    (Raw::INTR, Errno::Intr),
    (Raw::INVAL, Errno::Inval),
    (Raw::ISDIR, Errno::Isdir),
    (Raw::LOOP, Errno::Loop),
    (Raw::MFILE, Errno::Nfile),
    (Raw::MLINK, Errno::Mlink),
    (Raw::NAMETOOLONG, Errno::Nametoolong),
    (Raw::NFILE, Errno::Nfile),
    (Raw::NOENT, Errno::Noent),
    (Raw::NOMEM, Errno::Nomem),
    (Raw::NOSPC, Errno::Nospc),
    (Raw::NOTDIR, Errno::Notdir),
    (Raw::NOTEMPTY, Errno::Notempty),
    // A socket, or a pipe that nobody reads.
    (Raw::NXIO, Errno::Notsup),
    (Raw::OPNOTSUPP, Errno::Notsup),
    (Raw::PERM, Errno::Perm),
    (Raw::ROFS, Errno::Rofs),
    (Raw::STALE, Errno::Stale),
    (Raw::TXTBSY, Errno::Txtbsy),
    (Raw::XDEV, Errno::Xdev),
];
