use super::{Directory, Entries, Entry, FileType};
use crate::abi::Errno;

/// Where a guest is in the list of a directory's names. Entries are numbered from 0, `.` and `..` first; a
/// number is WASI's cookie.
///
/// The list is read as the guest asks for it, so a long directory is not held. Whoever goes on where it
/// ended costs nothing; who goes back has the list read again.
pub(crate) struct Listing {
    entries: Entries,
    inode: u64,
    /// The number of the next entry.
    next: u64,
    /// The next entry, if it has been read but did not fit.
    held: Option<Entry>,
}

/// How far into a directory a guest can go back. Reading on from where it ended has no limit.
const MAX_SKIP: u64 = 1 << 16;
/// Length of a `dirent`, behind which the name stands.
const HEADER: usize = 24;

impl Listing {
    fn new(directory: &dyn Directory) -> Result<Self, Errno> {
        Ok(Self { entries: directory.entries()?, inode: directory.metadata()?.inode, next: 0, held: None })
    }

    /// Writes entries from a cookie on, as many as fit, the last one cut; says how many bytes. Fewer than
    /// there is room for means that the list has ended.
    ///
    /// `Inval`: a cookie that is neither where the list was left nor among the first 65,536.
    pub(crate) fn read(
        place: &mut Option<Self>,
        directory: &dyn Directory,
        cookie: u64,
        out: &mut [u8],
    ) -> Result<usize, Errno> {
        // From the start a directory is read anew, as `rewinddir` must.
        let here = place.take().filter(|listing| cookie != 0 && listing.next == cookie);
        let mut listing = match here {
            Some(listing) => listing,
            None if cookie > MAX_SKIP => return Err(Errno::Inval),
            None => Self::new(directory)?,
        };
        while listing.next < cookie {
            match listing.peek()? {
                Some(_) => listing.advance(),
                None => break,
            }
        }
        let mut used = 0;
        while let Some(rest) = out.get_mut(used..).filter(|rest| !rest.is_empty()) {
            let next = listing.next + 1;
            let Some(entry) = listing.peek()? else { break };
            let (len, whole) = (encode(entry, next, rest), HEADER + entry.name.len());
            used += len;
            if len == whole {
                listing.advance();
            }
        }
        *place = Some(listing);
        Ok(used)
    }

    fn peek(&mut self) -> Result<Option<&Entry>, Errno> {
        if self.held.is_none() {
            let own = |name: &str| Entry { name: name.into(), inode: self.inode, file_type: FileType::Directory };
            self.held = match self.next {
                0 => Some(own(".")),
                // The number of its parent is not the guest's to know.
                1 => Some(own("..")),
                _ => self.entries.next().transpose()?,
            };
        }
        Ok(self.held.as_ref())
    }

    fn advance(&mut self) {
        self.held = None;
        self.next += 1;
    }
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").field("next", &self.next).finish_non_exhaustive()
    }
}

/// Writes a `dirent` and its name, or as much as fits; says how much.
fn encode(entry: &Entry, next: u64, out: &mut [u8]) -> usize {
    let len = u32::try_from(entry.name.len()).unwrap_or(u32::MAX);
    let header = next.to_le_bytes().into_iter().chain(entry.inode.to_le_bytes()).chain(len.to_le_bytes());
    let header = header.chain([entry.file_type as u8, 0, 0, 0]);
    let bytes = header.chain(entry.name.bytes());
    out.iter_mut().zip(bytes).map(|(place, byte)| *place = byte).count()
}
