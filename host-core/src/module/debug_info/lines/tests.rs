use std::fmt::Write;

use super::super::paths::LONGEST;
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
fn removed_functions_leave_those_behind_them_alone() {
    let gone = [0, 5, 2, 0xff, 0xff, 0xff, 0xff];
    let function = |place| [&at(place)[..], &[1, STEP], &END].concat();
    let opcodes = [&function(0)[..], &function(3), &gone, &[1, STEP], &END, &function(7)].concat();
    let lines = SourceLines::read(&module("a.rs", &opcodes, 20));
    let expected = [(2, None), (3, Some(1)), (4, None), (7, Some(1)), (8, None)];
    for (place, expected) in expected {
        assert_eq!(found(&lines, place).map(|(_, line)| line), expected, "{place}");
    }
}

#[test]
fn the_last_that_is_said_of_a_place_holds() {
    // Another file, another line, and the first file again.
    let opcodes = [&at(3)[..], &[1, STEP, 4, 2, 1, 3, 5, 1, 4, 1, 1, STEP], &END].concat();
    let lines = SourceLines::read(&module("a.rs,b.rs", &opcodes, 20));
    assert_eq!((found(&lines, 3), found(&lines, 4)), (Some(("a.rs", 1)), Some(("a.rs", 7))));
}

#[test]
fn a_line_may_go_back_as_far_as_numbers_go() {
    // `DW_LNS_advance_line` by the least number there is.
    let back = [3, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7f];
    let opcodes = [&at(1)[..], &[1], &back, &[2, 1, STEP, 2, 4], &END].concat();
    let lines = SourceLines::read(&module("a.rs", &opcodes, 20));
    assert_eq!((found(&lines, 1), found(&lines, 3)), (Some(("a.rs", 1)), Some(("a.rs", 1))));
}

#[test]
fn programs_name_no_files() {
    // `DW_LNE_define_file`, which headers before DWARF 5 can be followed by.
    let define = [0, 6, 3, b'b', 0, 0, 0, 0];
    let opcodes = [&define[..], &at(1), &[4, 2, 1, 4, 1, STEP, 2, 4], &END].concat();
    let lines = SourceLines::read(&module("a.rs", &opcodes, 20));
    assert_eq!((found(&lines, 1), found(&lines, 2)), (None, Some(("a.rs", 2))));
}

/// The most files that a header of 4 bytes each has room for.
const MANY: u16 = 65_000;

/// A unit of DWARF 5 with [`MANY`] files, whose names begin at each offset of a section of strings; `between` stands behind
/// the row of each.
fn many_files(strings: &[u8], between: &[u8], code: usize) -> Vec<u8> {
    // A directory, in `DW_FORM_string`, and files, in `DW_FORM_strp`.
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 1, 8, 1, b'd', 0, 1, 1, 14];
    header.extend(leb(MANY));
    (0..u32::from(MANY)).for_each(|at| header.extend(at.to_le_bytes()));
    // Addresses of four bytes.
    let mut unit = vec![5, 0, 4, 0];
    unit.extend(u32::try_from(header.len()).unwrap().to_le_bytes());
    unit.extend(header);
    unit.extend(at(1));
    for file in 0..MANY {
        unit.push(4);
        unit.extend(leb(file));
        unit.push(1);
        unit.extend(between);
    }
    unit.extend([2, 4]);
    unit.extend(END);
    let mut lines = u32::try_from(unit.len()).unwrap().to_le_bytes().to_vec();
    lines.extend(unit);
    let mut wasm = wat::parse_str(format!("(module (func {}))", "nop ".repeat(code))).unwrap();
    for (name, data) in [(".debug_line", &lines[..]), (".debug_str", strings)] {
        let length = u32::try_from(1 + name.len() + data.len()).unwrap();
        wasm.extend(
            [0].into_iter()
                .chain((0..5).map(|i| (length >> (7 * i) & 0x7f).to_le_bytes()[0] | if i < 4 { 0x80 } else { 0 })),
        );
        wasm.push(u8::try_from(name.len()).unwrap());
        wasm.extend(name.as_bytes());
        wasm.extend(data);
    }
    wasm
}

/// As LEB128, of three bytes.
fn leb(number: u16) -> [u8; 3] {
    [0, 7, 14].map(|by| (number >> by & 0x7f).to_le_bytes()[0] | if by < 14 { 0x80 } else { 0 })
}

/// How many bytes of names are looked at for a module.
fn names_read(wasm: &[u8]) -> usize {
    Building::of(&Sections::of(wasm)).paths.read()
}

#[test]
fn names_are_not_looked_at_behind_what_is_kept() {
    let strings = vec![b'x'; 1 << 20];
    // All at one place: the last holds, and it alone is looked up.
    let wasm = many_files(&strings, &[], 10);
    assert_eq!(found(&SourceLines::read(&wasm), 1), Some((&*"x".repeat(LONGEST), 1)));
    assert!(names_read(&wasm) < 1000, "{}", names_read(&wasm));
    // Each at a place of its own: a step by one place, and back by one line.
    let wasm = many_files(&strings, &[2, 1], usize::from(MANY));
    let (read, least) = (names_read(&wasm), usize::from(MANY) * LONGEST);
    assert!((least..least * 5 / 4).contains(&read), "{read}");
}

#[test]
fn paths_that_are_kept_are_bounded() {
    // No two names are one.
    let letters = |i: u32| [0, 4, 8, 12].map(|by| b'a' + (i >> by & 15).to_le_bytes()[0]);
    let strings: Vec<u8> = (0..1 << 18).flat_map(letters).collect();
    let lines = SourceLines::read(&many_files(&strings, &[2, 1], usize::from(MANY)));
    let paths: usize = lines.files.iter().map(|file| file.len()).sum();
    assert!((3 << 20..=4 << 20).contains(&paths), "{paths}");
    assert!(found(&lines, 100).is_some() && found(&lines, 60_000).is_none());
}

#[test]
fn files_that_a_unit_does_not_have_are_not_noted() {
    let opcodes: Vec<u8> = (0..10_000_u16).flat_map(|i| [[4].as_slice(), &leb(i), &[1, 2, 1]].concat()).collect();
    let wasm = module("a.rs,b.rs", &[&at(1)[..], &opcodes].concat(), 20_000);
    let sections = Sections::of(&wasm);
    let mut building = Building::of(&sections);
    let mut program = DebugLine::new(sections.lines, LittleEndian).program(DebugLineOffset(0), 4, None, None).unwrap();
    let mut unit = Unit::default();
    building.run(&mut program, &mut unit).unwrap();
    assert_eq!(unit.numbers.len(), 2);
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
