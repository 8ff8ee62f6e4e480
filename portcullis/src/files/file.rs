use std::fs::FileTimes;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::{FileTypeExt, MetadataExt};
use portcullis_core::abi::Errno;
use portcullis_core::resources::{File, FileType, Metadata, Times};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::error::errno;

/// An open file of the system.
pub(super) struct SystemFile(pub(super) std::fs::File);

impl File for SystemFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.0.read_at(out, offset).map_err(|error| errno(&error))
    }

    /// Writes at an offset. Linux appends if the file is open for appending, whatever the offset, so workers can share a log.
    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
        self.0.write_at(bytes, offset).map_err(|error| errno(&error))
    }

    fn set_append(&mut self, append: bool) -> Result<(), Errno> {
        let switch = || -> io::Result<()> {
            let mut flags = fcntl_getfl(&self.0)?;
            flags.set(OFlags::APPEND, append);
            Ok(fcntl_setfl(&self.0, flags)?)
        };
        switch().map_err(|error| errno(&error))
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        let found = cap_std::fs::Metadata::from_file(&self.0).map_err(|error| errno(&error))?;
        Ok(metadata(&found))
    }

    fn set_size(&self, size: u64) -> Result<(), Errno> {
        self.0.set_len(size).map_err(|error| errno(&error))
    }

    fn set_times(&self, times: Times) -> Result<(), Errno> {
        let mut set = FileTimes::new();
        if let Some(accessed) = times.accessed {
            set = set.set_accessed(instant(accessed));
        }
        if let Some(modified) = times.modified {
            set = set.set_modified(instant(modified));
        }
        self.0.set_times(set).map_err(|error| errno(&error))
    }

    fn sync(&self, bytes_alone: bool) -> Result<(), Errno> {
        let synced = if bytes_alone { self.0.sync_data() } else { self.0.sync_all() };
        synced.map_err(|error| errno(&error))
    }
}

/// Converts a file's metadata from the system's.
pub(super) fn metadata(found: &cap_std::fs::Metadata) -> Metadata {
    let nanoseconds = |seconds: i64, nanoseconds: i64| {
        let whole = u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000);
        whole.saturating_add(u64::try_from(nanoseconds).unwrap_or(0))
    };
    Metadata {
        device: cap_fs_ext::MetadataExt::dev(found),
        inode: cap_fs_ext::MetadataExt::ino(found),
        file_type: file_type(found.file_type()),
        links: cap_fs_ext::MetadataExt::nlink(found),
        size: found.len(),
        accessed: nanoseconds(found.atime(), found.atime_nsec()),
        modified: nanoseconds(found.mtime(), found.mtime_nsec()),
        changed: nanoseconds(found.ctime(), found.ctime_nsec()),
    }
}

pub(super) fn file_type(found: cap_std::fs::FileType) -> FileType {
    match found {
        kind if kind.is_dir() => FileType::Directory,
        kind if kind.is_file() => FileType::File,
        kind if kind.is_symlink() => FileType::SymbolicLink,
        kind if kind.is_block_device() => FileType::BlockDevice,
        kind if kind.is_char_device() => FileType::CharacterDevice,
        _ => FileType::Unknown,
    }
}

/// Returns the time that is `nanoseconds` after the Unix epoch.
pub(super) fn instant(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}
