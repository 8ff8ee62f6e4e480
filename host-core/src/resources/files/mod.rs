//! Files of a VM: the directories that its embedder gives it ([`Preopen`]), what it opens in them
//! (`table`), and what it may do with each (`rights`). The files themselves are the embedder's: the
//! core uses them through two traits.
//!
//! WASI preview 1 is the rule. Guests that import `wasi_unstable` get its layouts, too.
//!
//! differs: what is opened without the right to write may be opened in a read-only directory,
//! whatever other rights are asked for: those that do not apply are left out.

mod descriptor;
mod listing;
mod rights;
mod table;

use std::any::Any;
use std::fmt;
use std::path::PathBuf;

pub(crate) use descriptor::{Descriptor, OpenFile, Wanted};
pub(crate) use rights::Rights;
pub(crate) use table::FileTable;

use crate::abi::Errno;
use crate::setters::setters;

/// A directory of the system that a VM has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Preopen {
    /// The guest's name for it, such as `/data`.
    pub guest: String,
    /// Where it is; [`Host::open_directory`](crate::resources::Host::open_directory) is given this.
    pub host: PathBuf,
    /// Whether the guest may change what is in it.
    pub write: bool,
}

impl Preopen {
    /// Describes the directory `host`, which the guest sees as `guest` and may not change.
    pub fn new(guest: impl Into<String>, host: impl Into<PathBuf>) -> Self {
        Self { guest: guest.into(), host: host.into(), write: false }
    }

    setters! {
        with_write(bool) -> write;
    }
}

/// An open directory. Paths are relative to it, and no path may lead out of it: not by `..`, not from
/// the root, not through a symbolic link; such a path is [`Errno::Perm`].
///
/// The core checks what a guest may do before it calls; calls may block. `Any` is for [`Self::rename`]
/// and [`Self::link`], whose other directory is of the same host.
pub trait Directory: Any + Send {
    /// Opens a file or a directory. What is neither (a device, a pipe) is [`Errno::Notsup`], and to open
    /// it must not wait.
    fn open(&self, path: &str, how: OpenHow) -> Result<Node, Errno>;
    /// Describes the directory itself.
    fn metadata(&self) -> Result<Metadata, Errno>;
    /// Describes what is at a path, or at the end of a symbolic link there.
    fn metadata_of(&self, path: &str, follow: bool) -> Result<Metadata, Errno>;
    /// Lists its entries, without `.` and `..`. Names that are not UTF-8 are left out.
    fn entries(&self) -> Result<Entries, Errno>;
    /// Makes a directory.
    fn create_directory(&self, path: &str) -> Result<(), Errno>;
    /// Removes an empty directory.
    fn remove_directory(&self, path: &str) -> Result<(), Errno>;
    /// Removes a file or a symbolic link.
    fn remove_file(&self, path: &str) -> Result<(), Errno>;
    /// Moves what is at a path to a path in a directory, which may be this one.
    fn rename(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno>;
    /// Gives a file a second name, in a directory that may be this one.
    fn link(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno>;
    /// Makes a symbolic link. A target that begins at the root is [`Errno::Perm`].
    fn symlink(&self, target: &str, path: &str) -> Result<(), Errno>;
    /// Returns where a symbolic link leads.
    fn read_link(&self, path: &str) -> Result<String, Errno>;
    /// Sets the directory's own times.
    fn set_times(&self, times: Times) -> Result<(), Errno>;
    /// Sets the times of what is at a path, or at the end of a symbolic link there.
    fn set_times_of(&self, path: &str, follow: bool, times: Times) -> Result<(), Errno>;
    /// Waits until what was changed in it is on the disk.
    fn sync(&self) -> Result<(), Errno>;
}

/// An open file. Calls may block.
pub trait File: Send {
    /// Reads at an offset; how many bytes, which are fewer only at the end of the file or if the system
    /// says so.
    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, Errno>;
    /// Writes at an offset, or at the end if [`Self::set_append`] says so; how many bytes.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno>;
    /// Returns whether writes go to the end, wherever that is then.
    fn set_append(&mut self, append: bool) -> Result<(), Errno>;
    /// Describes the file.
    fn metadata(&self) -> Result<Metadata, Errno>;
    /// Makes it as long as this, with zeros where it grows.
    fn set_size(&self, size: u64) -> Result<(), Errno>;
    /// Sets its times.
    fn set_times(&self, times: Times) -> Result<(), Errno>;
    /// Waits until what was written is on the disk: the bytes alone, or what describes the file, too.
    fn sync(&self, bytes_alone: bool) -> Result<(), Errno>;
}

/// The result of [`Directory::open`].
pub enum Node {
    /// A regular file.
    File(Box<dyn File>),
    /// A directory.
    Directory(Box<dyn Directory>),
}

/// How to open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// To be read.
    pub read: bool,
    /// To be written; a directory is [`Errno::Isdir`] then.
    pub write: bool,
    /// Made if it is not there. Only together with `write`.
    pub create: bool,
    /// [`Errno::Exist`] if it is there. Only together with `create`.
    pub exclusive: bool,
    /// Emptied. Only together with `write`.
    pub truncate: bool,
    /// [`Errno::Notdir`] if it is no directory.
    pub directory: bool,
    /// A symbolic link at the end of the path is followed; if not, it is [`Errno::Loop`].
    pub follow: bool,
}

/// The description of a file or directory (`filestat`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The device that it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// The type of the file.
    pub file_type: FileType,
    /// How many names it has.
    pub links: u64,
    /// Bytes.
    pub size: u64,
    /// When it was last read, in nanoseconds since the Unix epoch.
    pub accessed: u64,
    /// When its bytes were last changed, likewise.
    pub modified: u64,
    /// When it was last changed in any way, likewise.
    pub changed: u64,
}

/// The type of a file (`filetype`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// Anything else.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file.
    File = 4,
    /// A symbolic link.
    SymbolicLink = 7,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The number of what it stands for.
    pub inode: u64,
    /// The type of the file of that name.
    pub file_type: FileType,
}

/// The names in a directory, in any order.
pub type Entries = Box<dyn Iterator<Item = Result<Entry, Errno>> + Send>;

/// Times to be set, in nanoseconds since the Unix epoch; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it was last read.
    pub accessed: Option<u64>,
    /// When it was last changed.
    pub modified: Option<u64>,
}

impl fmt::Debug for dyn Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory")
    }
}

impl fmt::Debug for dyn File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("File")
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Directory(_) => "Directory",
        })
    }
}
