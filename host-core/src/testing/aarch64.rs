//! Jump tables and the branches over them in machine code for aarch64, for tests that compile for it on any machine.

use std::ops::Range;

/// The most targets that [`Bytecode::judge`](crate::module::Bytecode::judge) lets a `br_table` have, besides its default.
pub const TARGETS: usize = crate::module::bytecode::BR_TABLE_TARGETS as usize;

/// Bytes in an instruction, and in an entry of a jump table.
const WORD: usize = 4;

/// `br xN`, after which jump tables stand.
const BR: u32 = 0xd61f_0000;

/// Returns the text of a plugin with so many `br_table`s in one function, each with so many targets besides its default, which is
/// behind all of them.
///
/// Cranelift lays tables out in the midst of code. A few of the largest, one after the other, put more than a megabyte between the
/// first and its default.
pub fn plugin(tables: usize, targets: usize) -> String {
    let table = format!("(block (br_table {}1 (local.get 0)))", "0 ".repeat(targets));
    let body = table.repeat(tables);
    format!(
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
             (func (export "malloc") (param i32) (result i32) (block {body}) (i32.const 0)))"#
    )
}

/// The branches that were seen of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branches {
    /// Conditional branches, which reach 1 MiB or 32 KiB.
    pub conditional: usize,
    /// Unconditional branches, which reach 128 MiB.
    pub unconditional: usize,
    /// Entries of jump tables.
    pub entries: usize,
    /// Where branches and entries stand whose targets are outside the function, or inside a jump table.
    pub astray: Vec<usize>,
}

impl Branches {
    /// Reads the code of one function, in which each `br` has a jump table of so many entries behind it.
    pub fn read(code: &[u8], entries: usize) -> Self {
        let words: Vec<_> = code.chunks_exact(WORD).map(word).collect();
        let mut tables: Vec<Range<i64>> = Vec::new();
        let mut targets = Vec::new();
        let mut found = Self::default();
        let mut at = 0;
        while let Some(&instruction) = words.get(at) {
            let offset = at * WORD;
            match displacement(instruction) {
                Some((Kind::Conditional, by)) => {
                    found.conditional += 1;
                    targets.push((offset, by + signed(offset)));
                }
                Some((Kind::Unconditional, by)) => {
                    found.unconditional += 1;
                    targets.push((offset, by + signed(offset)));
                }
                None => {}
            }
            at += 1;
            if instruction & 0xffff_fc1f == BR {
                let start = signed(at * WORD);
                for (entry, by) in words.iter().enumerate().skip(at).take(entries) {
                    targets.push((entry * WORD, start + i64::from(by.cast_signed())));
                    found.entries += 1;
                }
                at += entries;
                tables.push(start..signed(at * WORD));
            }
        }
        let end = signed(code.len());
        let is_astray = |target: i64| !(0..end).contains(&target) || tables.iter().any(|table| table.contains(&target));
        found.astray = targets.into_iter().filter(|(_, target)| is_astray(*target)).map(|(at, _)| at).collect();
        found
    }
}

enum Kind {
    Conditional,
    Unconditional,
}

/// Returns the distance of a branch, in bytes; `None` for other instructions, and for those whose target is in a register.
fn displacement(word: u32) -> Option<(Kind, i64)> {
    // The field of so many bits from a place on, as a signed number of words.
    let field = |from: u32, bits: u32| {
        let high = 32 - bits;
        (i64::from((word >> from << high).cast_signed() >> high)) * signed(WORD)
    };
    match word {
        // b.cond, bc.cond
        _ if word & 0xff00_0000 == 0x5400_0000 => Some((Kind::Conditional, field(5, 19))),
        // cbz, cbnz
        _ if word & 0x7e00_0000 == 0x3400_0000 => Some((Kind::Conditional, field(5, 19))),
        // tbz, tbnz
        _ if word & 0x7e00_0000 == 0x3600_0000 => Some((Kind::Conditional, field(5, 14))),
        // b; bl goes to other functions
        _ if word & 0xfc00_0000 == 0x1400_0000 => Some((Kind::Unconditional, field(0, 26))),
        _ => None,
    }
}

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn branches_stay_or_go_astray() {
        const RET: u32 = 0xd65f_03c0;
        // b.hs +20, br x0, table of two, ret, b -20
        let table = [0x5400_00a2, BR, 8, 8, RET, 0x17ff_fffb];
        let expected = Branches { conditional: 1, unconditional: 1, entries: 2, astray: vec![] };
        assert_eq!(Branches::read(&code(&table), 2), expected);
        // cbz x0 -4 (before the start), tbnz w0 #0 +32764, b.eq -1 MiB, b -128 MiB
        let astray = [0xb4ff_ffe0, 0x3703_ffe0, 0x5480_0000, 0x1600_0000, RET];
        let found = Branches::read(&code(&astray), 0);
        assert_eq!((found.conditional, found.unconditional, found.astray), (3, 1, vec![0, 4, 8, 12]));
        // An entry before the function, and a branch into the table.
        let into = [0x5400_0042, BR, 8, (-16_i32).cast_unsigned(), RET];
        assert_eq!(Branches::read(&code(&into), 2).astray, [0, 12]);
    }
}
