use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use portcullis_core::module::SealKey;

use super::Outdated;
use crate::input::open_file;

/// Why a folder cannot be a code cache.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeCacheError {
    /// The file system refuses.
    #[error("cannot {operation} {}: {reason}; correct the path, or let this user write there", path.display())]
    Io {
        /// The attempted operation, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Others can get at it.
    #[error("{} can be reached by other users (mode {mode:o}): run `chmod {remedy} {}`", path.display(), path.display())]
    NotPrivate {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode that it should have.
        remedy: &'static str,
    },
    /// The folder is another user's.
    #[error("{} belongs to another user (uid {owner}): choose a folder of your own", path.display())]
    NotOurs {
        /// The file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// The file is no key.
    #[error("{} is no key of {} bytes: remove it, and a new one is made", path.display(), SealKey::LEN)]
    BadKey {
        /// The file.
        path: PathBuf,
    },
}

/// Makes the folder and its key if need be, and reads the key.
pub(super) fn open(folder: &Path) -> Result<SealKey, CodeCacheError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot("create", folder))?;
    check_private(folder, &fs::metadata(folder).map_err(cannot("read", folder))?, "700")?;
    let path = folder.join("key");
    if !path.exists() {
        make_key(&path)?;
    }
    let file = open_file(&path).map_err(cannot("read", &path))?;
    check_private(&path, &file.metadata().map_err(cannot("read", &path))?, "600")?;
    let mut secret = Vec::new();
    file.take(1 << 10).read_to_end(&mut secret).map_err(cannot("read", &path))?;
    secret.try_into().map(SealKey::new).map_err(|_| CodeCacheError::BadKey { path })
}

/// Writes a file at once: nobody ever sees a part of it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), CodeCacheError> {
    let part = unused(path);
    let written =
        private(&part, true).and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&part, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&part);
        cannot("write", path)(error)
    })
}

/// Makes the key of a folder. Two processes may open a folder at once: the first key that is linked to its name is the key.
fn make_key(path: &Path) -> Result<(), CodeCacheError> {
    let mut secret = [0; SealKey::LEN];
    getrandom::fill(&mut secret).map_err(|error| cannot("make", path)(io::Error::other(error.to_string())))?;
    let part = unused(path);
    let written = private(&part, false).and_then(|mut file| file.write_all(&secret).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| fs::hard_link(&part, path));
    let _ = fs::remove_file(&part);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(cannot("write", path)(error)),
        _ => Ok(()),
    }
}

/// Code of other versions that stays, in bytes: beyond, what has not been used for longest goes first.
const MOST_OUTDATED: u64 = 1 << 30;

/// Code of other versions that has not been used for so long goes.
const UNUSED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Code of this version that stays, in bytes: beyond, what has not been used for longest goes first.
const MOST_CURRENT: u64 = 4 << 30;

/// Code of this version that has not been used for so long goes.
const UNUSED_CURRENT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Removes code of this version that nobody uses any more, as it seems: `is_current` says by its name what is of this version. A plugin that
/// needs it is compiled anew.
pub(super) fn clean_current(folder: &Path, is_current: impl Fn(&str) -> bool) -> Result<(), CodeCacheError> {
    let mut all = 0_u64;
    for (unused, len, path) in by_use(folder, is_current)? {
        all = all.saturating_add(len);
        if unused >= UNUSED_CURRENT || all > MOST_CURRENT {
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

/// Removes code of other versions that nobody uses any more, as it seems: `is_outdated` says by its name what is of another version. A
/// file that cannot be removed is counted all the same: nobody reads it.
pub(super) fn clean(folder: &Path, is_outdated: impl Fn(&str) -> bool) -> Result<Outdated, CodeCacheError> {
    let (mut outdated, mut all) = (Outdated::default(), 0_u64);
    for (unused, len, path) in by_use(folder, is_outdated)? {
        all = all.saturating_add(len);
        if unused < UNUSED && all <= MOST_OUTDATED {
            outdated.kept += 1;
            continue;
        }
        outdated.entries += 1;
        outdated.bytes += len;
        let _ = fs::remove_file(path);
    }
    Ok(outdated)
}

/// A file: for how long it has not been used, its length and its path.
type Used = (Duration, u64, PathBuf);

/// Lists the files whose names are meant, those that were used last first.
fn by_use(folder: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<Used>, CodeCacheError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot("read", folder))? {
        let entry = entry.map_err(cannot("read", folder))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && entry.file_name().to_str().is_some_and(&is_meant) {
            // Another process may have removed it meanwhile.
            let Ok(metadata) = entry.metadata() else { continue };
            // A time that is still to come is of now.
            let unused = metadata.modified().ok().and_then(|used| used.elapsed().ok()).unwrap_or_default();
            files.push((unused, metadata.len(), entry.path()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Notes that a file has been used, for [`clean`] by binaries of other versions. Where that cannot be noted, they remove it sooner.
pub(super) fn touch(path: &Path) {
    let _ = OpenOptions::new().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

/// Returns a name beside a file's that nobody else uses.
fn unused(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}.part", std::process::id()))
}

fn private(path: &Path, replace: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).create_new(!replace).truncate(replace).mode(0o600).open(path)
}

fn check_private(path: &Path, metadata: &fs::Metadata, remedy: &'static str) -> Result<(), CodeCacheError> {
    // The owner of this process, without asking the system in ways that are not safe.
    let own = fs::metadata("/proc/self").map(|own| own.uid()).ok();
    if own.is_some_and(|own| own != metadata.uid()) {
        return Err(CodeCacheError::NotOurs { path: path.to_owned(), owner: metadata.uid() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(CodeCacheError::NotPrivate { path: path.to_owned(), mode, remedy });
    }
    Ok(())
}

fn cannot<'a>(operation: &'static str, path: &'a Path) -> impl Fn(io::Error) -> CodeCacheError + 'a {
    move |error| CodeCacheError::Io { operation, path: path.to_owned(), reason: error.to_string() }
}
