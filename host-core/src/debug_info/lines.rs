//! The lines of source that a module's instructions come from.

use std::collections::HashMap;
use std::fmt;

use gimli::{
    AttributeValue, DebugLine, DebugLineOffset, DebugLineStr, DebugStr, EndianSlice, LineProgramHeader, LittleEndian,
    Reader as _,
};
use wasmparser::{Parser, Payload};

/// Where the instructions of a module come from, as its DWARF says: files and lines, found by the place of an instruction.
///
/// Made once for a module, outside of the threads that serve. The whole is no larger than a few times the module's code,
/// whatever the sections say.
#[derive(Default)]
pub struct SourceLines {
    /// Where the code begins in the module: DWARF counts from there.
    code: u64,
    /// Sorted by place.
    rows: Vec<Row>,
    files: Vec<Box<str>>,
}

/// From this place on, counted from the start of the code, instructions come from this line.
#[derive(Clone, Copy)]
struct Row {
    place: u32,
    /// The index of the file, or [`NOWHERE`].
    file: u16,
    line: u32,
}

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
type Header<'a> = LineProgramHeader<Bytes<'a>>;

/// Behind the end of a function.
const NOWHERE: u16 = u16::MAX;

/// The most bytes of line programs that are read. A compiler makes one for some ten bytes of code.
const MOST: usize = 64 << 20;

/// The most bytes of one unit's header: its table of files is read whole, and takes more memory than bytes.
const LARGEST_HEADER: u64 = 256 << 10;

/// The longest path that is kept, in bytes.
const LONGEST: usize = 200;

impl SourceLines {
    /// Reads the lines of a module. There are none in one without DWARF, and in what cannot be read of it; an error is no
    /// reason to refuse a module that runs.
    pub fn read(wasm: &[u8]) -> Self {
        let (mut lines, mut line_strings, mut strings) = (&[][..], &[][..], &[][..]);
        let mut code = 0..0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::CodeSectionStart { range, .. }) => code = range,
                Ok(Payload::CustomSection(section)) => match section.name() {
                    ".debug_line" => lines = section.data(),
                    ".debug_line_str" => line_strings = section.data(),
                    ".debug_str" => strings = section.data(),
                    _ => {}
                },
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let mut building = Building {
            line_strings: DebugLineStr::new(line_strings, LittleEndian),
            strings: DebugStr::new(strings, LittleEndian),
            rows: Vec::new(),
            most_rows: code.len(),
            files: Vec::new(),
            known: HashMap::new(),
        };
        building.read(lines.get(..lines.len().min(MOST)).unwrap_or_default());
        let Building { mut rows, files, .. } = building;
        // Where functions touch, one's first line stands behind the other's end.
        rows.sort_by_key(|row| row.place);
        rows.shrink_to_fit();
        Self { code: code.start as u64, rows, files }
    }

    /// The file and line of the instruction at an offset in the module.
    pub fn find(&self, offset: u64) -> Option<(&str, u32)> {
        let place = u32::try_from(offset.checked_sub(self.code)?).ok()?;
        let behind = self.rows.partition_point(|row| row.place <= place);
        let row = self.rows.get(behind.checked_sub(1)?)?;
        Some((self.files.get(usize::from(row.file))?, row.line))
    }

    /// How many bytes it takes.
    pub fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.files.iter().map(|file| file.len()).sum::<usize>()
    }
}

impl fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLines").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

struct Building<'a> {
    line_strings: DebugLineStr<Bytes<'a>>,
    strings: DebugStr<Bytes<'a>>,
    rows: Vec<Row>,
    /// No two rows are about one instruction, which has a byte at least.
    most_rows: usize,
    files: Vec<Box<str>>,
    known: HashMap<Box<str>, u16>,
}

impl<'a> Building<'a> {
    /// Reads one unit after the other.
    fn read(&mut self, lines: &'a [u8]) {
        let section = DebugLine::new(lines, LittleEndian);
        let mut rest = EndianSlice::new(lines, LittleEndian);
        while !rest.is_empty() && self.rows.len() < self.most_rows {
            let offset = lines.len() - rest.len();
            let Some(header) = skip_unit(&mut rest) else { return };
            if header <= LARGEST_HEADER {
                // A unit that cannot be read is left out.
                let _ = self.read_unit(&section, DebugLineOffset(offset));
            }
        }
    }

    fn read_unit(&mut self, section: &DebugLine<Bytes<'a>>, offset: DebugLineOffset) -> gimli::Result<()> {
        let program = section.program(offset, 4, None, None)?;
        let mut files = HashMap::new();
        let mut rows = program.rows();
        let mut begin = self.rows.len();
        while let Some((header, row)) = rows.next_row()? {
            if self.rows.len() >= self.most_rows {
                return Ok(());
            }
            let place = u32::try_from(row.address()).unwrap_or(u32::MAX);
            let (file, line) = match row.line() {
                Some(line) if !row.end_sequence() => {
                    let file = *files.entry(row.file_index()).or_insert_with(|| self.file(header, row.file_index()));
                    (file, u32::try_from(line.get()).unwrap_or(u32::MAX))
                }
                _ => (NOWHERE, 0),
            };
            let new = Row { place, file, line };
            let in_sequence = self.rows.len() > begin;
            match self.rows.last_mut().filter(|_| in_sequence) {
                // The last that is said of a place holds.
                Some(last) if last.place == place => *last = new,
                Some(last) if (last.file, last.line) == (file, line) => {}
                _ => self.rows.push(new),
            }
            if row.end_sequence() {
                // Linkers leave functions that they removed at the start, where there is no instruction.
                if self.rows.get(begin).is_some_and(|first| first.place == 0) {
                    self.rows.truncate(begin);
                }
                begin = self.rows.len();
            }
        }
        Ok(())
    }

    /// The index of a file of a unit; [`NOWHERE`] if there are too many.
    fn file(&mut self, header: &Header<'a>, index: u64) -> u16 {
        let Some(path) = self.path(header, index) else { return NOWHERE };
        if let Some(known) = self.known.get(&*path) {
            return *known;
        }
        let Some(index) = u16::try_from(self.files.len()).ok().filter(|index| *index < NOWHERE) else { return NOWHERE };
        self.files.push(path.clone());
        self.known.insert(path, index);
        index
    }

    /// The path of a file, which is relative to where the compiler ran, or absolute.
    fn path(&self, header: &Header<'a>, index: u64) -> Option<Box<str>> {
        let file = header.file(index)?;
        let name = self.text(file.path_name())?;
        let directory = match file.directory_index() {
            0 => None,
            _ if name.starts_with('/') => None,
            _ => file.directory(header).and_then(|directory| self.text(directory)),
        };
        Some(directory.map_or_else(|| name.clone(), |directory| format!("{directory}/{name}")).into())
    }

    fn text(&self, value: AttributeValue<Bytes<'a>>) -> Option<String> {
        let text = match value {
            AttributeValue::String(text) => text,
            AttributeValue::DebugLineStrRef(offset) => self.line_strings.get_str(offset).ok()?,
            AttributeValue::DebugStrRef(offset) => self.strings.get_str(offset).ok()?,
            _ => return None,
        };
        let start = text.slice().get(..text.len().min(LONGEST))?;
        Some(String::from_utf8_lossy(start).into_owned())
    }
}

/// Goes behind a unit, and gives the length of its header.
fn skip_unit(rest: &mut Bytes<'_>) -> Option<u64> {
    let (length, format) = rest.read_initial_length().ok()?;
    let mut unit = rest.split(length).ok()?;
    if unit.read_u16().ok()? >= 5 {
        // The sizes of addresses and of segment selectors.
        unit.skip(2).ok()?;
    }
    unit.read_length(format).ok().map(|length| length as u64)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fmt::Write;

    use super::*;

    /// A line program of DWARF 4 with these opcodes, in a module with so many bytes of code.
    fn module(files: &str, opcodes: &[u8], code: usize) -> Vec<u8> {
        // A line base of -5, a line range of 14, and no directories.
        let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
        for name in files.split(',') {
            header.extend(name.as_bytes());
            header.extend([0, 0, 0, 0]);
        }
        header.push(0);
        let mut unit = vec![4, 0];
        unit.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
        unit.extend(header);
        unit.extend(opcodes);
        let mut line = u32::try_from(unit.len()).unwrap().to_le_bytes().to_vec();
        line.extend(unit);
        let mut escaped = String::new();
        line.iter().for_each(|byte| write!(escaped, "\\{byte:02x}").unwrap());
        let code = "nop ".repeat(code);
        wat::parse_str(format!("(module (func {code}) (@custom \".debug_line\" \"{escaped}\"))")).unwrap()
    }

    /// `DW_LNE_set_address`, of four bytes.
    fn at(place: u8) -> Vec<u8> {
        vec![0, 5, 2, place, 0, 0, 0]
    }

    const END: [u8; 3] = [0, 1, 1];

    /// Advances place and line by one each: 13 + (1 - -5) + 14 * 1.
    const STEP: u8 = 33;

    fn found(lines: &SourceLines, place: u64) -> Option<(&str, u32)> {
        lines.find(lines.code + place)
    }

    #[test]
    fn a_place_has_the_line_before_it() {
        let mut opcodes = at(3);
        // Copy, step, advance the place by four, end.
        opcodes.extend([1, STEP, 2, 4]);
        opcodes.extend(END);
        let lines = SourceLines::read(&module("a.rs", &opcodes, 20));
        let expected = [(2, None), (3, Some(("a.rs", 1))), (4, Some(("a.rs", 2))), (7, Some(("a.rs", 2))), (8, None)];
        for (place, expected) in expected {
            assert_eq!(found(&lines, place), expected, "{place}");
        }
    }

    #[test]
    fn functions_that_a_linker_removed_have_no_lines() {
        let mut opcodes = at(0);
        opcodes.extend([1, STEP, STEP, STEP, STEP]);
        opcodes.extend(END);
        let lines = SourceLines::read(&module("a.rs", &opcodes, 20));
        assert_eq!((0..20).find_map(|place| found(&lines, place)), None);
    }

    #[test]
    fn what_is_kept_is_bounded_by_the_code() {
        let mut opcodes = at(1);
        opcodes.extend(vec![STEP; 1 << 20]);
        let lines = SourceLines::read(&module("a.rs", &opcodes, 100));
        assert!(lines.size() < 4000, "{}", lines.size());
        assert_eq!(found(&lines, 50), Some(("a.rs", 50)));
        // Again and again about the same places.
        let sequence = [&at(1)[..], &[STEP; 50], &END].concat();
        let lines = SourceLines::read(&module("a.rs", &sequence.repeat(10_000), 100));
        assert!(lines.size() < 4000, "{}", lines.size());
    }

    #[test]
    fn paths_are_clipped_and_a_header_without_end_is_left_out() {
        let opcodes = [&at(1)[..], &[1, STEP], &END].concat();
        let long = "x".repeat(1000);
        let lines = SourceLines::read(&module(&long, &opcodes, 5));
        assert_eq!(found(&lines, 1).map(|(file, line)| (file.len(), line)), Some((LONGEST, 1)));
        let many = vec!["a"; 100_000].join(",");
        assert_eq!(found(&SourceLines::read(&module(&many, &opcodes, 5)), 1), None);
    }

    #[test]
    fn bytes_that_are_no_lines_do_no_harm() {
        let wasm = module("a.rs,b.rs", &[&at(1)[..], &[1, STEP, 4, 2, STEP], &END].concat(), 20);
        for end in 0..wasm.len() {
            let _ = SourceLines::read(&wasm[..end]);
        }
        for at in 0..wasm.len() {
            for bit in 0..8 {
                let mut wasm = wasm.clone();
                wasm[at] ^= 1 << bit;
                let _ = SourceLines::read(&wasm).find(50);
            }
        }
    }
}
