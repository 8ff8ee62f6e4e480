//! The source lines of a module's instructions.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use gimli::{
    DebugLine, DebugLineOffset, EndianSlice, IncompleteLineProgram, LineInstruction, LineRow, LittleEndian, Reader as _,
};
use wasmparser::{Parser, Payload};

use super::paths::{Bytes, Header, NOWHERE, Paths};

/// Where the instructions of a module come from, as its DWARF says: files and lines, found by the place of an instruction.
///
/// Made once for a module, outside of the threads that serve. The whole is no larger than a few times the module's code and
/// 4 MiB of paths, and takes no more steps than the line programs have bytes, whatever the sections say.
#[derive(Default)]
pub struct SourceLines {
    /// Where the code begins in the module: DWARF counts from there.
    code: u64,
    /// Sorted by place.
    rows: Vec<Row>,
    files: Box<[Box<str>]>,
}

/// From this place on, counted from the start of the code, instructions come from this line.
#[derive(Clone, Copy)]
struct Row {
    place: u32,
    /// The index of the file, or [`NOWHERE`].
    file: u16,
    line: u32,
}

/// The most bytes of line programs that are read. A compiler makes one for some ten bytes of code.
const MOST: usize = 64 << 20;

/// The most bytes of one unit's header: its table of files is read whole, and takes more memory than bytes.
const LARGEST_HEADER: u64 = 256 << 10;

impl SourceLines {
    /// Reads the lines of a module. There are none in one without DWARF, and in what cannot be read of it; an error is no
    /// reason to refuse a module that runs.
    pub fn read(wasm: &[u8]) -> Self {
        let sections = Sections::of(wasm);
        let Building { mut rows, paths, .. } = Building::of(&sections);
        // Where functions touch, one's first line stands behind the other's end.
        rows.sort_by_key(|row| row.place);
        rows.shrink_to_fit();
        Self { code: sections.code.start as u64, rows, files: paths.into_files() }
    }

    /// Returns the file and line of the instruction at an offset in the module.
    pub fn find(&self, offset: u64) -> Option<(&str, u32)> {
        let place = u32::try_from(offset.checked_sub(self.code)?).ok()?;
        let behind = self.rows.partition_point(|row| row.place <= place);
        let row = self.rows.get(behind.checked_sub(1)?)?;
        Some((self.files.get(usize::from(row.file))?, row.line))
    }

    /// Returns the number of bytes that it takes.
    pub fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
            + self.files.iter().map(|file| size_of_val(file) + file.len()).sum::<usize>()
    }
}

impl fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceLines").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// The sections that are read.
#[derive(Default)]
struct Sections<'a> {
    code: Range<usize>,
    lines: &'a [u8],
    line_strings: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Sections<'a> {
    fn of(wasm: &'a [u8]) -> Self {
        let mut sections = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::CodeSectionStart { range, .. }) => sections.code = range,
                Ok(Payload::CustomSection(section)) => match section.name() {
                    ".debug_line" => sections.lines = section.data(),
                    ".debug_line_str" => sections.line_strings = section.data(),
                    ".debug_str" => sections.strings = section.data(),
                    _ => {}
                },
                Ok(_) => {}
                Err(_) => break,
            }
        }
        sections
    }
}

struct Building<'a> {
    rows: Vec<Row>,
    /// No two rows are about one instruction, which has a byte at least.
    most_rows: usize,
    paths: Paths<'a>,
}

/// A row as its unit says it. It is taken when the next place comes, so that looking for files is bounded by places.
#[derive(Clone, Copy, PartialEq)]
struct Said {
    place: u32,
    /// The index of the file in the unit, and the line; none behind the end of a function.
    source: Option<(u64, u32)>,
}

/// Rows whose places ascend: those of a function.
#[derive(Default)]
struct Sequence {
    /// The last that was said, which holds for its place unless there is more about it.
    pending: Option<Said>,
    taken: Option<Said>,
    /// Linkers leave functions that they removed at the start, where there is no instruction.
    removed: bool,
}

#[derive(Default)]
struct Unit {
    /// The numbers of its files, by their index in it.
    numbers: HashMap<u64, u16>,
    sequence: Sequence,
}

impl<'a> Building<'a> {
    /// Reads one unit after the other.
    fn of(sections: &Sections<'a>) -> Self {
        let paths = Paths::new(sections.line_strings, sections.strings);
        let mut building = Self { rows: Vec::new(), most_rows: sections.code.len(), paths };
        let lines = sections.lines.get(..sections.lines.len().min(MOST)).unwrap_or_default();
        let section = DebugLine::new(lines, LittleEndian);
        let mut rest = EndianSlice::new(lines, LittleEndian);
        while !rest.is_empty() && !building.is_full() {
            let offset = lines.len() - rest.len();
            let Some(header) = skip_unit(&mut rest) else { break };
            if header <= LARGEST_HEADER {
                // A unit that cannot be read is left out.
                let _ = building.read_unit(&section, DebugLineOffset(offset));
            }
        }
        building
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.most_rows
    }

    fn read_unit(&mut self, section: &DebugLine<Bytes<'a>>, offset: DebugLineOffset) -> gimli::Result<()> {
        let mut program = section.program(offset, 4, None, None)?;
        let mut unit = Unit::default();
        let result = self.run(&mut program, &mut unit);
        // A function without an end.
        self.take(&mut unit, program.header());
        result
    }

    /// Runs a unit's line program. Each instruction has a byte at least, so its bytes bound the steps.
    fn run(&mut self, program: &mut IncompleteLineProgram<Bytes<'a>>, unit: &mut Unit) -> gimli::Result<()> {
        let mut instructions = program.header().instructions();
        let mut row = LineRow::new(program.header());
        // Whether the last address was one of something removed.
        let mut skipping = false;
        while let Some(instruction) = instructions.next_instruction(program.header())? {
            let (instruction, address) = match instruction {
                // Compilers of WebAssembly name files in the header, which is bounded.
                LineInstruction::DefineFile(_) => continue,
                // Gimli negates it.
                LineInstruction::AdvanceLine(i64::MIN) => (LineInstruction::AdvanceLine(-i64::MAX), None),
                LineInstruction::SetAddress(address) => (instruction, Some(address)),
                _ => (instruction, None),
            };
            let is_row = row.execute(instruction, program)?;
            if let Some(address) = address {
                // Gimli does not take such an address.
                skipping = row.address() != address;
            }
            if !is_row {
                continue;
            }
            if !skipping {
                self.say(unit, program.header(), Said::by(&row));
            }
            if row.end_sequence() {
                self.take(unit, program.header());
                (unit.sequence, skipping) = (Sequence::default(), false);
            }
            if self.is_full() {
                break;
            }
            row.reset(program.header());
        }
        Ok(())
    }

    /// Keeps a row until the place behind it is known.
    fn say(&mut self, unit: &mut Unit, header: &Header<'a>, said: Said) {
        // The last that is said of a place holds.
        if unit.sequence.pending.is_some_and(|pending| pending.place != said.place) {
            self.take(unit, header);
        }
        unit.sequence.pending = Some(said);
    }

    /// Adds the row that a sequence keeps, if it says anything new.
    fn take(&mut self, unit: &mut Unit, header: &Header<'a>) {
        let sequence = &mut unit.sequence;
        let Some(said) = sequence.pending.take() else { return };
        sequence.removed |= said.place == 0;
        let taken = sequence.taken.replace(said);
        if sequence.removed || self.is_full() || taken.is_some_and(|taken| taken.source == said.source) {
            return;
        }
        let (file, line) = match said.source {
            Some((index, line)) => (self.number(unit, header, index), line),
            None => (NOWHERE, 0),
        };
        // Units can have a file twice.
        let before = self.rows.last().filter(|_| taken.is_some());
        if before.is_none_or(|before| (before.file, before.line) != (file, line)) {
            self.rows.push(Row { place: said.place, file, line });
        }
    }

    /// Returns the number of a unit's file. Indices without a file are not noted: there are more of them than of files.
    fn number(&mut self, unit: &mut Unit, header: &Header<'a>, index: u64) -> u16 {
        if let Some(number) = unit.numbers.get(&index) {
            return *number;
        }
        if header.file(index).is_none() {
            return NOWHERE;
        }
        let number = self.paths.number(header, index);
        unit.numbers.insert(index, number);
        number
    }
}

impl Said {
    fn by(row: &LineRow) -> Self {
        let line = row.line().filter(|_| !row.end_sequence());
        Self {
            place: u32::try_from(row.address()).unwrap_or(u32::MAX),
            source: line.map(|line| (row.file_index(), u32::try_from(line.get()).unwrap_or(u32::MAX))),
        }
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
mod tests;
