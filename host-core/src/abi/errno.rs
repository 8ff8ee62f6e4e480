/// The result of a WASI preview 1 function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Errno {
    /// No error.
    Success = 0,
    /// Permission denied.
    Acces = 2,
    /// Try again.
    Again = 6,
    /// Bad file descriptor.
    Badf = 8,
    /// Device or resource busy.
    Busy = 10,
    /// Disk quota exceeded.
    Dquot = 19,
    /// File exists.
    Exist = 20,
    /// A pointer or length lies outside the guest's memory.
    Fault = 21,
    /// File too large.
    Fbig = 22,
    /// A name is not UTF-8.
    Ilseq = 25,
    /// Interrupted.
    Intr = 27,
    /// Invalid argument.
    Inval = 28,
    /// Input or output error; also what has no better number.
    Io = 29,
    /// Is a directory.
    Isdir = 31,
    /// Too many symbolic links.
    Loop = 32,
    /// The VM has too many files open.
    Mfile = 33,
    /// Too many links.
    Mlink = 34,
    /// Name too long.
    Nametoolong = 37,
    /// The system has too many files open.
    Nfile = 41,
    /// No such file or directory.
    Noent = 44,
    /// Not enough memory.
    Nomem = 48,
    /// No space left.
    Nospc = 51,
    /// Function not supported.
    Nosys = 52,
    /// Not a directory.
    Notdir = 54,
    /// Directory not empty.
    Notempty = 55,
    /// Not supported.
    Notsup = 58,
    /// Not permitted; the answer to a path that leads out of its preopened directory.
    Perm = 63,
    /// Read-only file system; the answer to a change in a read-only preopened directory.
    Rofs = 69,
    /// Stale handle.
    Stale = 72,
    /// Text file busy.
    Txtbsy = 74,
    /// Across file systems.
    Xdev = 75,
    /// No such capability; the answer to a denied WASI function, and where a descriptor lacks a right.
    Notcapable = 76,
}

impl Errno {
    /// Every errno.
    const ALL: [Self; 32] = [
        Self::Success,
        Self::Acces,
        Self::Again,
        Self::Badf,
        Self::Busy,
        Self::Dquot,
        Self::Exist,
        Self::Fault,
        Self::Fbig,
        Self::Ilseq,
        Self::Intr,
        Self::Inval,
        Self::Io,
        Self::Isdir,
        Self::Loop,
        Self::Mfile,
        Self::Mlink,
        Self::Nametoolong,
        Self::Nfile,
        Self::Noent,
        Self::Nomem,
        Self::Nospc,
        Self::Nosys,
        Self::Notdir,
        Self::Notempty,
        Self::Notsup,
        Self::Perm,
        Self::Rofs,
        Self::Stale,
        Self::Txtbsy,
        Self::Xdev,
        Self::Notcapable,
    ];

    /// Returns the errno of a number, if there is one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|errno| *errno as i32 == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_its_errno() {
        let known: Vec<_> = (0..=80).filter_map(Errno::from_number).collect();
        assert_eq!(known, Errno::ALL, "in order, each once");
        assert_eq!((Errno::from_number(76), Errno::from_number(1)), (Some(Errno::Notcapable), None));
    }
}
