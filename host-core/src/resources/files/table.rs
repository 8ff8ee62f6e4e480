use std::collections::BTreeMap;

use super::{Descriptor, Preopen};
use crate::abi::Errno;
use crate::engine::error::StartError;
use crate::resources::host::Host;

/// The descriptors of a VM beyond its standard streams: preopened directories from 3 on, then what it
/// opens. A number is the lowest that is free.
#[derive(Debug, Default)]
pub(crate) struct FileTable {
    /// How many preopened directories the VM was given; if none, every function answers as one that is not there.
    given: usize,
    /// How many it may open.
    limit: usize,
    descriptors: BTreeMap<u32, Descriptor>,
}

const FIRST: u32 = 3;

impl FileTable {
    /// Opens the directories of a VM.
    pub(crate) fn open(preopens: &[Preopen], limit: usize, host: &mut dyn Host) -> Result<Self, StartError> {
        let mut descriptors = BTreeMap::new();
        for (number, preopen) in (FIRST..).zip(preopens) {
            let directory = host.open_directory(&preopen.host).map_err(|source| {
                let Preopen { guest, host, .. } = preopen.clone();
                StartError::Preopen { guest, host, source }
            })?;
            descriptors.insert(number, Descriptor::preopened(preopen, directory));
        }
        Ok(Self { given: preopens.len(), limit, descriptors })
    }

    /// Returns an open descriptor.
    pub(crate) fn find(&mut self, fd: i32) -> Option<&mut Descriptor> {
        self.descriptors.get_mut(&fd.cast_unsigned())
    }

    /// Returns an open descriptor. If it is none, `absent` is the answer of a standard stream, and of a VM without
    /// directories.
    pub(crate) fn get(&mut self, fd: i32, absent: Errno) -> Result<&mut Descriptor, Errno> {
        let missing = self.missing(fd, absent);
        self.find(fd).ok_or(missing)
    }

    /// Returns two descriptors, which may be the same.
    pub(crate) fn pair(&self, a: i32, b: i32, absent: Errno) -> Result<(&Descriptor, &Descriptor), Errno> {
        let one = |fd: i32| self.descriptors.get(&fd.cast_unsigned()).ok_or_else(|| self.missing(fd, absent));
        Ok((one(a)?, one(b)?))
    }

    /// Checks that another file may be opened; `Mfile` if not.
    pub(crate) fn has_room(&self) -> Result<(), Errno> {
        if self.opened() < self.limit { Ok(()) } else { Err(Errno::Mfile) }
    }

    /// Returns whether anything is open beyond the preopened directories, or of these one is closed, or has lost rights.
    pub(crate) fn is_changed(&self) -> bool {
        let as_given = |descriptor: &Descriptor| descriptor.is_as_given();
        self.opened() > 0 || self.descriptors.len() < self.given || !self.descriptors.values().all(as_given)
    }

    fn opened(&self) -> usize {
        self.descriptors.values().filter(|descriptor| descriptor.preopen().is_none()).count()
    }

    /// Gives a descriptor a number.
    pub(crate) fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        self.has_room()?;
        let free = (FIRST..).zip(self.descriptors.range(FIRST..)).find(|(number, (used, _))| number != *used);
        let number = free.map(|(number, _)| number);
        let behind = || self.descriptors.last_key_value().map_or(FIRST, |(last, _)| last.saturating_add(1).max(FIRST));
        let number = number.unwrap_or_else(behind);
        self.descriptors.insert(number, descriptor);
        Ok(number)
    }

    /// Closes a descriptor; says whether it was open.
    pub(crate) fn close(&mut self, fd: i32) -> bool {
        self.descriptors.remove(&fd.cast_unsigned()).is_some()
    }

    /// Moves what `from` is to `to`, which is closed. Both must be open. `Notsup`: a preopened directory
    /// keeps its number.
    pub(crate) fn renumber(&mut self, from: i32, to: i32) -> Result<(), Errno> {
        let (a, b) = self.pair(from, to, Errno::Badf)?;
        if a.preopen().is_some() || b.preopen().is_some() {
            return Err(Errno::Notsup);
        }
        if let Some(moved) = self.descriptors.remove(&from.cast_unsigned()) {
            self.descriptors.insert(to.cast_unsigned(), moved);
        }
        Ok(())
    }

    fn missing(&self, fd: i32, absent: Errno) -> Errno {
        if self.given > 0 && !(0..3).contains(&fd) { Errno::Badf } else { absent }
    }
}
