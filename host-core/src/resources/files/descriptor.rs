use super::listing::Listing;
use super::{Directory, File, FileType, Metadata, Node, OpenHow, Preopen, Rights, Times};
use crate::abi::Errno;

/// An open file or directory of a VM.
#[derive(Debug)]
pub(crate) struct Descriptor {
    kind: Kind,
    base: Rights,
    inheriting: Rights,
    /// Returns its `fdflags`.
    flags: u16,
    /// Whether it is, or is in, a directory that may be changed.
    writable: bool,
    /// The guest's name for it, if it is a preopened directory.
    preopen: Option<String>,
}

/// An open file, and where the guest is in it.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) file: Box<dyn File>,
    pub(crate) offset: u64,
}

#[derive(Debug)]
enum Kind {
    File(OpenFile),
    Directory { directory: Box<dyn Directory>, listing: Option<Listing> },
}

/// The request of a guest that opens a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Whether a symbolic link at the end of the path is followed.
    pub(crate) follow: bool,
    /// `oflags`.
    pub(crate) open_flags: i32,
    /// Returns its `fdflags`.
    pub(crate) flags: i32,
    pub(crate) base: Rights,
    pub(crate) inheriting: Rights,
}

impl Descriptor {
    const APPEND: u16 = 1;
    const DSYNC: u16 = 2;
    const SYNC: u16 = 16;
    const ALL_FLAGS: u16 = 31;

    /// Makes the descriptor of a directory that the VM was given.
    pub(super) fn preopened(preopen: &Preopen, directory: Box<dyn Directory>) -> Self {
        Self {
            kind: Kind::Directory { directory, listing: None },
            base: allowed(Rights::OF_DIRECTORY, preopen.write),
            inheriting: Rights::ALL,
            flags: 0,
            writable: preopen.write,
            preopen: Some(preopen.guest.clone()),
        }
    }

    /// Returns whether it has the rights and flags that a preopened directory has at first.
    pub(crate) fn is_as_given(&self) -> bool {
        (self.base, self.inheriting, self.flags) == (allowed(Rights::OF_DIRECTORY, self.writable), Rights::ALL, 0)
    }

    /// Returns the guest's name for it, if it is a preopened directory.
    pub(crate) fn preopen(&self) -> Option<&str> {
        self.preopen.as_deref()
    }

    /// Returns the rights: those for itself, and those for what is opened in it.
    pub(crate) fn rights(&self) -> (Rights, Rights) {
        (self.base, self.inheriting)
    }

    /// Gives up the other rights. `Notcapable`: there are some that it does not have.
    pub(crate) fn set_rights(&mut self, base: Rights, inheriting: Rights) -> Result<(), Errno> {
        if !self.base.contains(base) || !self.inheriting.contains(inheriting) {
            return Err(Errno::Notcapable);
        }
        (self.base, self.inheriting) = (base, inheriting);
        Ok(())
    }

    /// Checks rights. `Notcapable`: it lacks one of these rights; `Rofs` if that is because its directory is read-only.
    pub(crate) fn require(&self, rights: Rights) -> Result<(), Errno> {
        let missing = rights.without(self.base);
        match missing == Rights::default() {
            true => Ok(()),
            false if !self.writable && Rights::TO_CHANGE.contains(missing) => Err(Errno::Rofs),
            false => Err(Errno::Notcapable),
        }
    }

    /// Returns the file, if it is one and there are these rights; `Badf` if it is a directory.
    pub(crate) fn file(&mut self, rights: Rights) -> Result<&mut OpenFile, Errno> {
        if let Kind::Directory { .. } = self.kind {
            return Err(Errno::Badf);
        }
        self.require(rights)?;
        match &mut self.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory { .. } => Err(Errno::Badf),
        }
    }

    /// Returns the directory, if it is one and there are these rights; `Notdir` if it is a file.
    pub(crate) fn directory(&self, rights: Rights) -> Result<&dyn Directory, Errno> {
        let Kind::Directory { directory, .. } = &self.kind else { return Err(Errno::Notdir) };
        self.require(rights)?;
        Ok(&**directory)
    }

    /// Writes the directory's entries from a cookie on; see [`Listing::read`].
    pub(crate) fn list(&mut self, cookie: u64, out: &mut [u8]) -> Result<usize, Errno> {
        self.directory(Rights::FD_READDIR)?;
        match &mut self.kind {
            Kind::Directory { directory, listing } => Listing::read(listing, &**directory, cookie, out),
            Kind::File(_) => Err(Errno::Notdir),
        }
    }

    pub(crate) fn file_type(&self) -> FileType {
        match self.kind {
            Kind::File(_) => FileType::File,
            Kind::Directory { .. } => FileType::Directory,
        }
    }

    /// Returns its `fdflags`.
    pub(crate) fn flags(&self) -> u16 {
        self.flags
    }

    /// Sets `fdflags`. `Inval`: there are no such flags. That of waiting (`nonblock`) has no effect.
    pub(crate) fn set_flags(&mut self, flags: i32) -> Result<(), Errno> {
        let flags = fd_flags(flags)?;
        let append = flags & Self::APPEND;
        if let Kind::File(open) = &mut self.kind
            && append != self.flags & Self::APPEND
        {
            open.file.set_append(append != 0)?;
        }
        self.flags = flags;
        Ok(())
    }

    /// Writes at an offset or, without one, where the guest is; says how many bytes.
    pub(crate) fn write(&mut self, bytes: &[u8], offset: Option<u64>) -> Result<usize, Errno> {
        let seek = if offset.is_some() { Rights::FD_SEEK } else { Rights::default() };
        let flags = self.flags;
        let open = self.file(Rights::FD_WRITE | seek)?;
        let written = open.file.write_at(bytes, offset.unwrap_or(open.offset))?;
        if flags & (Self::SYNC | Self::DSYNC) != 0 {
            open.file.sync(flags & Self::SYNC == 0)?;
        }
        if offset.is_none() {
            open.offset = match flags & Self::APPEND {
                0 => open.offset.saturating_add(written as u64),
                _ => open.file.metadata()?.size,
            };
        }
        Ok(written)
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, Errno> {
        self.require(Rights::FD_FILESTAT_GET)?;
        match &self.kind {
            Kind::File(open) => open.file.metadata(),
            Kind::Directory { directory, .. } => directory.metadata(),
        }
    }

    pub(crate) fn set_times(&self, times: Times) -> Result<(), Errno> {
        self.require(Rights::FD_FILESTAT_SET_TIMES)?;
        match &self.kind {
            Kind::File(open) => open.file.set_times(times),
            Kind::Directory { directory, .. } => directory.set_times(times),
        }
    }

    pub(crate) fn sync(&self, bytes_alone: bool) -> Result<(), Errno> {
        self.require(if bytes_alone { Rights::FD_DATASYNC } else { Rights::FD_SYNC })?;
        match &self.kind {
            Kind::File(open) => open.file.sync(bytes_alone),
            Kind::Directory { directory, .. } => directory.sync(),
        }
    }

    /// Opens what is at a path in this directory.
    ///
    /// `Notcapable`: rights that it does not pass on. `Rofs`: it is read-only, and the guest wants to write,
    /// make or empty a file.
    pub(crate) fn open(&self, path: &str, wanted: Wanted) -> Result<Self, Errno> {
        let Wanted { follow, open_flags, flags, base, inheriting } = wanted;
        let flags = fd_flags(flags)?;
        let (create, directory, exclusive, truncate) = match open_flags {
            0..16 => (open_flags & 1 != 0, open_flags & 2 != 0, open_flags & 4 != 0, open_flags & 8 != 0),
            _ => return Err(Errno::Inval),
        };
        if directory && (create || exclusive || truncate) {
            return Err(Errno::Inval);
        }
        let make = if create { Rights::PATH_CREATE_FILE } else { Rights::default() };
        let empty = if truncate { Rights::PATH_FILESTAT_SET_SIZE } else { Rights::default() };
        let tree = self.directory(Rights::PATH_OPEN | make | empty)?;
        if !self.inheriting.contains(base | inheriting) {
            return Err(Errno::Notcapable);
        }
        let writes = base.contains(Rights::FD_WRITE) && !directory;
        if writes && !self.writable {
            return Err(Errno::Rofs);
        }
        let how = OpenHow {
            read: base.contains(Rights::FD_READ),
            // The system wants it for both.
            write: writes || create || truncate,
            create,
            exclusive: create && exclusive,
            truncate,
            directory,
            follow,
        };
        let (kind, base, inheriting) = match tree.open(path, how)? {
            Node::File(file) => {
                let base = base.and(Rights::OF_FILE);
                let base = if writes { base } else { base.without(Rights::TO_WRITE) };
                (Kind::File(OpenFile { file, offset: 0 }), base, Rights::default())
            }
            Node::Directory(directory) => {
                (Kind::Directory { directory, listing: None }, base.and(Rights::OF_DIRECTORY), inheriting)
            }
        };
        let base = allowed(base, self.writable);
        let mut opened = Self { kind, base, inheriting, flags: 0, writable: self.writable, preopen: None };
        opened.set_flags(i32::from(flags))?;
        Ok(opened)
    }
}

fn fd_flags(flags: i32) -> Result<u16, Errno> {
    u16::try_from(flags).ok().filter(|flags| flags & !Descriptor::ALL_FLAGS == 0).ok_or(Errno::Inval)
}

/// Returns the rights that are left in a directory.
fn allowed(rights: Rights, writable: bool) -> Rights {
    if writable { rights } else { rights.without(Rights::TO_CHANGE) }
}
