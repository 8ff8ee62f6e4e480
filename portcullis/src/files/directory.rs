use std::any::Any;
use std::io;
use std::os::unix::fs::DirEntryExt;

use cap_fs_ext::{
    DirExt, FollowSymlinks, OpenOptionsFollowExt, OpenOptionsMaybeDirExt, OpenOptionsSyncExt, SystemTimeSpec,
};
use cap_std::fs::{Dir, DirEntry, OpenOptions};
use cap_std::time::SystemTime;
use portcullis_core::abi::Errno;
use portcullis_core::resources::{Directory, Entries, Entry, FileType, Metadata, Node, OpenHow, Times};

use super::error::errno;
use super::file::{SystemFile, file_type, instant, metadata};

/// An open directory of the system.
pub(super) struct SystemDirectory(Dir);

impl SystemDirectory {
    pub(super) fn new(directory: Dir) -> Self {
        Self(directory)
    }
}

impl Directory for SystemDirectory {
    fn open(&self, path: &str, how: OpenHow) -> Result<Node, Errno> {
        let mut options = OpenOptions::new();
        options.read(how.read || !how.write).write(how.write).truncate(how.truncate);
        options.create(how.create).create_new(how.exclusive).follow(follow(how.follow));
        // A directory may be opened, too; a pipe without a reader must not be waited for.
        options.maybe_dir(true).nonblock(true);
        let file = self.0.open_with(path, &options).map_err(told)?;
        match file_type(file.metadata().map_err(told)?.file_type()) {
            FileType::Directory => Ok(Node::Directory(Box::new(Self(Dir::from_std_file(file.into_std()))))),
            FileType::File if how.directory => Err(Errno::Notdir),
            FileType::File => Ok(Node::File(Box::new(SystemFile(file.into_std())))),
            _ => Err(Errno::Notsup),
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.0.dir_metadata().map(|found| metadata(&found)).map_err(told)
    }

    fn metadata_of(&self, path: &str, follow: bool) -> Result<Metadata, Errno> {
        let found = if follow { self.0.metadata(path) } else { self.0.symlink_metadata(path) };
        found.map(|found| metadata(&found)).map_err(told)
    }

    fn entries(&self) -> Result<Entries, Errno> {
        let entries = self.0.entries().map_err(told)?;
        Ok(Box::new(entries.filter_map(|entry| entry.and_then(named).map_err(told).transpose())))
    }

    fn create_directory(&self, path: &str) -> Result<(), Errno> {
        self.0.create_dir(path).map_err(told)
    }

    fn remove_directory(&self, path: &str) -> Result<(), Errno> {
        self.0.remove_dir(path).map_err(told)
    }

    fn remove_file(&self, path: &str) -> Result<(), Errno> {
        self.0.remove_file(path).map_err(told)
    }

    fn rename(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno> {
        self.0.rename(from, &own(to)?.0, path).map_err(told)
    }

    fn link(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno> {
        self.0.hard_link(from, &own(to)?.0, path).map_err(told)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<(), Errno> {
        // Refuses an absolute target. One that leads out is made, and refused when it is followed.
        DirExt::symlink(&self.0, target, path).map_err(told)
    }

    fn read_link(&self, path: &str) -> Result<String, Errno> {
        let target = self.0.read_link(path).map_err(told)?;
        target.into_os_string().into_string().map_err(|_| Errno::Ilseq)
    }

    fn set_times(&self, times: Times) -> Result<(), Errno> {
        self.set_times_of(".", true, times)
    }

    fn set_times_of(&self, path: &str, follow: bool, times: Times) -> Result<(), Errno> {
        let time = |time: Option<u64>| time.map(|t| SystemTimeSpec::Absolute(SystemTime::from_std(instant(t))));
        let (accessed, modified) = (time(times.accessed), time(times.modified));
        if !follow {
            return self.0.set_symlink_times(path, accessed, modified).map_err(told);
        }
        // Opens what is there, which must not be a pipe.
        match self.metadata_of(path, true)?.file_type {
            FileType::File | FileType::Directory => DirExt::set_times(&self.0, path, accessed, modified).map_err(told),
            _ => Err(Errno::Notsup),
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        // The handle may be one for paths alone, which cannot be synchronised.
        let mut options = OpenOptions::new();
        let directory = self.0.open_with(".", options.read(true).maybe_dir(true));
        directory.and_then(|directory| directory.sync_all()).map_err(told)
    }
}

fn told(error: io::Error) -> Errno {
    errno(&error)
}

/// Returns the other directory of a call with two: both are of the system.
fn own(directory: &dyn Directory) -> Result<&SystemDirectory, Errno> {
    let any: &dyn Any = directory;
    any.downcast_ref().ok_or(Errno::Xdev)
}

fn follow(follow: bool) -> FollowSymlinks {
    if follow { FollowSymlinks::Yes } else { FollowSymlinks::No }
}

/// Returns the entry, if a guest can read its name.
fn named(entry: DirEntry) -> io::Result<Option<Entry>> {
    let Ok(name) = entry.file_name().into_string() else { return Ok(None) };
    Ok(Some(Entry { name, inode: entry.ino(), file_type: file_type(entry.file_type()?) }))
}
