//! The paths of a module's source files.

use std::collections::HashMap;

use gimli::{AttributeValue, EndianSlice, LineProgramHeader, LittleEndian};

pub(super) type Bytes<'a> = EndianSlice<'a, LittleEndian>;
pub(super) type Header<'a> = LineProgramHeader<Bytes<'a>>;

/// Behind the end of a function, or in no file that is known.
pub(super) const NOWHERE: u16 = u16::MAX;

/// The longest name of a file or directory that is kept, in bytes. Nothing behind it is looked at: a string need not have an end.
pub(super) const LONGEST: usize = 200;

/// The most bytes of names that are looked at, over all units, each of which names its files anew.
const MOST_READ: usize = 64 << 20;

/// The most bytes of paths that are kept, of all files.
const MOST_KEPT: usize = 4 << 20;

/// The cost of looking a file up beside its names, as so many bytes of them.
const LOOKUP: usize = 16;

/// The files of all units, numbered in the order in which they were asked for.
pub(super) struct Paths<'a> {
    /// The section `.debug_line_str`.
    line_strings: &'a [u8],
    /// The section `.debug_str`.
    strings: &'a [u8],
    known: HashMap<Box<str>, u16>,
    /// How many bytes the known paths have.
    kept: usize,
    /// Returns how many bytes of names were looked at.
    read: usize,
}

impl<'a> Paths<'a> {
    pub(super) fn new(line_strings: &'a [u8], strings: &'a [u8]) -> Self {
        Self { line_strings, strings, known: HashMap::new(), kept: 0, read: 0 }
    }

    /// Returns the number of a file of a unit; [`NOWHERE`] if it has no name, or there were too many.
    pub(super) fn number(&mut self, header: &Header<'a>, index: u64) -> u16 {
        let Some(path) = self.path(header, index) else { return NOWHERE };
        if let Some(known) = self.known.get(&*path) {
            return *known;
        }
        let number = u16::try_from(self.known.len()).unwrap_or(NOWHERE);
        let kept = self.kept.saturating_add(path.len());
        if number == NOWHERE || kept > MOST_KEPT {
            return NOWHERE;
        }
        self.kept = kept;
        self.known.insert(path, number);
        number
    }

    /// Returns the path of each file, by its number.
    pub(super) fn into_files(self) -> Box<[Box<str>]> {
        let mut known: Vec<_> = self.known.into_iter().collect();
        known.sort_unstable_by_key(|(_, number)| *number);
        known.into_iter().map(|(path, _)| path).collect()
    }

    /// Returns the path of a file, which is relative to where the compiler ran, or absolute.
    fn path(&mut self, header: &Header<'a>, index: u64) -> Option<Box<str>> {
        let file = header.file(index)?;
        if self.read >= MOST_READ {
            return None;
        }
        self.read += LOOKUP;
        let name = self.text(file.path_name())?;
        let directory = match file.directory_index() {
            0 => None,
            _ if name.starts_with('/') => None,
            _ => file.directory(header).and_then(|directory| self.text(directory)),
        };
        Some(directory.map_or_else(|| name.clone(), |directory| format!("{directory}/{name}")).into())
    }

    fn text(&mut self, value: AttributeValue<Bytes<'a>>) -> Option<String> {
        let text = match value {
            AttributeValue::String(text) => text.slice(),
            AttributeValue::DebugLineStrRef(offset) => self.line_strings.get(offset.0..)?,
            AttributeValue::DebugStrRef(offset) => self.strings.get(offset.0..)?,
            _ => return None,
        };
        let start = text.get(..text.len().min(LONGEST))?;
        self.read += start.len();
        let name = start.split(|byte| *byte == 0).next()?;
        Some(String::from_utf8_lossy(name).into_owned())
    }

    /// Returns how many bytes of names were looked at.
    #[cfg(test)]
    pub(super) fn read(&self) -> usize {
        self.read
    }
}
