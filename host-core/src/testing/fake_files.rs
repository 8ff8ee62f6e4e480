use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::Errno;
use crate::resources::files::{Directory, Entries, Entry, File, FileType, Metadata, Node, OpenHow, Times};

/// A tree of files in memory. Clones are the same tree. Symbolic links are kept and never followed.
#[derive(Clone, Debug, Default)]
pub struct FakeFiles(Arc<Mutex<Tree>>);

/// The file at each path; paths have no leading slash, and the top is the empty one.
type Tree = BTreeMap<String, Item>;

#[derive(Clone, Debug)]
struct Item {
    kind: Kind,
    times: (u64, u64),
}

#[derive(Clone, Debug)]
enum Kind {
    File(Vec<u8>),
    Directory,
    Link(String),
}

struct FakeDirectory {
    files: FakeFiles,
    path: String,
}

struct FakeFile {
    files: FakeFiles,
    path: String,
    append: bool,
}

impl FakeFiles {
    /// Returns a tree with these files, as paths and bytes, in directories that are made.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let tree = Self::default();
        for (path, bytes) in files {
            for (at, _) in path.match_indices('/') {
                tree.put(path.get(..at).unwrap_or_default(), Kind::Directory);
            }
            tree.put(path, Kind::File(bytes.to_vec()));
        }
        tree
    }

    /// Returns the bytes of a file, if it is there.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        match &self.tree().get(path)?.kind {
            Kind::File(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    /// Returns when a file was last read and changed, if it is there.
    pub fn times(&self, path: &str) -> Option<(u64, u64)> {
        self.tree().get(path).map(|item| item.times)
    }

    /// Returns a directory of the tree, if it is there.
    pub(super) fn directory(&self, path: &str) -> Option<Box<dyn Directory>> {
        let is_there = matches!(self.tree().get(path)?.kind, Kind::Directory);
        is_there.then(|| Box::new(FakeDirectory { files: self.clone(), path: path.to_owned() }) as Box<dyn Directory>)
    }

    fn put(&self, path: &str, kind: Kind) {
        self.tree().insert(path.to_owned(), Item { kind, times: (0, 0) });
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_times(&self, path: &str, times: Times) -> Result<(), Errno> {
        let mut tree = self.tree();
        let item = tree.get_mut(path).ok_or(Errno::Noent)?;
        item.times = (times.accessed.unwrap_or(item.times.0), times.modified.unwrap_or(item.times.1));
        Ok(())
    }

    fn metadata(&self, path: &str) -> Result<Metadata, Errno> {
        let tree = self.tree();
        let (inode, (_, item)) = (1..).zip(tree.iter()).find(|(_, (known, _))| *known == path).ok_or(Errno::Noent)?;
        let (file_type, size) = match &item.kind {
            Kind::File(bytes) => (FileType::File, bytes.len()),
            Kind::Directory => (FileType::Directory, 0),
            Kind::Link(target) => (FileType::SymbolicLink, target.len()),
        };
        let (accessed, modified) = item.times;
        Ok(Metadata { device: 7, inode, file_type, links: 1, size: size as u64, accessed, modified, changed: 9 })
    }
}

impl FakeDirectory {
    /// Returns the path from the top; `Perm` if it leads out.
    fn at(&self, path: &str) -> Result<String, Errno> {
        let mut parts: Vec<&str> = Vec::new();
        if path.starts_with('/') {
            return Err(Errno::Perm);
        }
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            match part {
                ".." => drop(parts.pop().ok_or(Errno::Perm)?),
                part => parts.push(part),
            }
        }
        let below = parts.join("/");
        Ok([self.path.as_str(), &below].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/"))
    }

    fn remove(&self, path: &str, wanted: impl FnOnce(&Kind) -> Result<(), Errno>) -> Result<(), Errno> {
        let path = self.at(path)?;
        let mut tree = self.files.tree();
        wanted(&tree.get(&path).ok_or(Errno::Noent)?.kind)?;
        if tree.keys().any(|known| known.starts_with(&format!("{path}/"))) {
            return Err(Errno::Notempty);
        }
        tree.remove(&path);
        Ok(())
    }
}

impl Directory for FakeDirectory {
    fn open(&self, path: &str, how: OpenHow) -> Result<Node, Errno> {
        let (path, files) = (self.at(path)?, self.files.clone());
        let mut tree = files.tree();
        if how.create && !tree.contains_key(&path) {
            tree.insert(path.clone(), Item { kind: Kind::File(Vec::new()), times: (0, 0) });
        } else if how.exclusive {
            return Err(Errno::Exist);
        }
        match &mut tree.get_mut(&path).ok_or(Errno::Noent)?.kind {
            Kind::Directory if how.write => Err(Errno::Isdir),
            Kind::Directory => Ok(Node::Directory(Box::new(Self { files: self.files.clone(), path }))),
            Kind::File(_) if how.directory => Err(Errno::Notdir),
            Kind::File(bytes) => {
                if how.truncate {
                    bytes.clear();
                }
                Ok(Node::File(Box::new(FakeFile { files: self.files.clone(), path, append: false })))
            }
            Kind::Link(_) => Err(Errno::Loop),
        }
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.files.metadata(&self.path)
    }

    fn metadata_of(&self, path: &str, _: bool) -> Result<Metadata, Errno> {
        self.files.metadata(&self.at(path)?)
    }

    fn entries(&self) -> Result<Entries, Errno> {
        let prefix = if self.path.is_empty() { String::new() } else { format!("{}/", self.path) };
        let names: Vec<_> = self.files.tree().keys().filter_map(|path| own_name(path, &prefix)).collect();
        let (files, mut at) = (self.files.clone(), names.into_iter());
        Ok(Box::new(std::iter::from_fn(move || {
            let name = at.next()?;
            let found = files.metadata(&format!("{prefix}{name}"));
            Some(found.map(|found| Entry { name, inode: found.inode, file_type: found.file_type }))
        })))
    }

    fn create_directory(&self, path: &str) -> Result<(), Errno> {
        let path = self.at(path)?;
        if self.files.tree().contains_key(&path) {
            return Err(Errno::Exist);
        }
        self.files.put(&path, Kind::Directory);
        Ok(())
    }

    fn remove_directory(&self, path: &str) -> Result<(), Errno> {
        self.remove(path, |kind| if matches!(kind, Kind::Directory) { Ok(()) } else { Err(Errno::Notdir) })
    }

    fn remove_file(&self, path: &str) -> Result<(), Errno> {
        self.remove(path, |kind| if matches!(kind, Kind::Directory) { Err(Errno::Isdir) } else { Ok(()) })
    }

    fn rename(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno> {
        let (from, to) = (self.at(from)?, own(to)?.at(path)?);
        let mut tree = self.files.tree();
        let item = tree.remove(&from).ok_or(Errno::Noent)?;
        tree.insert(to, item);
        Ok(())
    }

    /// Copies: later changes of one are not seen in the other.
    fn link(&self, from: &str, to: &dyn Directory, path: &str) -> Result<(), Errno> {
        let (from, to) = (self.at(from)?, own(to)?.at(path)?);
        let mut tree = self.files.tree();
        let item = tree.get(&from).ok_or(Errno::Noent)?.clone();
        tree.insert(to, item);
        Ok(())
    }

    fn symlink(&self, target: &str, path: &str) -> Result<(), Errno> {
        self.files.put(&self.at(path)?, Kind::Link(target.to_owned()));
        Ok(())
    }

    fn read_link(&self, path: &str) -> Result<String, Errno> {
        match &self.files.tree().get(&self.at(path)?).ok_or(Errno::Noent)?.kind {
            Kind::Link(target) => Ok(target.clone()),
            _ => Err(Errno::Inval),
        }
    }

    fn set_times(&self, times: Times) -> Result<(), Errno> {
        self.files.set_times(&self.path, times)
    }

    fn set_times_of(&self, path: &str, _: bool, times: Times) -> Result<(), Errno> {
        self.files.set_times(&self.at(path)?, times)
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}

impl FakeFile {
    fn with<T>(&self, run: impl FnOnce(&mut Vec<u8>) -> T) -> Result<T, Errno> {
        match &mut self.files.tree().get_mut(&self.path).ok_or(Errno::Stale)?.kind {
            Kind::File(bytes) => Ok(run(bytes)),
            _ => Err(Errno::Stale),
        }
    }
}

impl File for FakeFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.with(|bytes| {
            let rest = bytes.get(start..).unwrap_or_default();
            out.iter_mut().zip(rest).map(|(place, byte)| *place = *byte).count()
        })
    }

    fn write_at(&self, new: &[u8], offset: u64) -> Result<usize, Errno> {
        self.with(|bytes| {
            let start = if self.append { bytes.len() } else { usize::try_from(offset).map_err(|_| Errno::Fbig)? };
            let end = start.checked_add(new.len()).filter(|end| *end <= 16 << 20).ok_or(Errno::Fbig)?;
            bytes.resize(bytes.len().max(end), 0);
            bytes.get_mut(start..end).ok_or(Errno::Fbig)?.copy_from_slice(new);
            Ok(new.len())
        })?
    }

    fn set_append(&mut self, append: bool) -> Result<(), Errno> {
        self.append = append;
        Ok(())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        self.files.metadata(&self.path)
    }

    fn set_size(&self, size: u64) -> Result<(), Errno> {
        let size = usize::try_from(size).ok().filter(|size| *size <= 16 << 20).ok_or(Errno::Fbig)?;
        self.with(|bytes| bytes.resize(size, 0))
    }

    fn set_times(&self, times: Times) -> Result<(), Errno> {
        self.files.set_times(&self.path, times)
    }

    fn sync(&self, _: bool) -> Result<(), Errno> {
        Ok(())
    }
}

fn own(directory: &dyn Directory) -> Result<&FakeDirectory, Errno> {
    let any: &dyn Any = directory;
    any.downcast_ref().ok_or(Errno::Xdev)
}

/// Returns the name of what lies directly below a prefix.
fn own_name(path: &str, prefix: &str) -> Option<String> {
    let name = path.strip_prefix(prefix)?;
    (!name.is_empty() && !name.contains('/')).then(|| name.to_owned())
}
