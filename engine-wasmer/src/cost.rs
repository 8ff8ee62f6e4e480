//! The cost of a function's instructions. Too much is harmless, for it only means that the host looks
//! at the clock more often.

use wasmparser::{FunctionBody, Operator};

/// The amounts to take from the fuel in a function, with their places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs {
    /// When it begins: for all that lies in no loop.
    pub(crate) entry: i64,
    /// At every turn of each loop, in the order in which they begin: for all that lies in it and in no
    /// loop within it.
    pub(crate) loops: Vec<i64>,
    /// Whether some instruction works on many bytes.
    pub(crate) has_bulk: bool,
}

impl Costs {
    /// Reads a function's body. Functions with an index below `imported` are the host's.
    pub(crate) fn of(body: &FunctionBody<'_>, imported: u32) -> wasmparser::Result<Self> {
        let mut costs = Self { entry: 1, ..Self::default() };
        // The blocks that are open, each with the loop that it lies in or is.
        let mut blocks: Vec<Option<usize>> = Vec::new();
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            costs.has_bulk |= is_bulk(&operator);
            let within = blocks.last().copied().flatten();
            match within.and_then(|index| costs.loops.get_mut(index)) {
                Some(cost) => *cost += own(&operator, imported),
                None => costs.entry += own(&operator, imported),
            }
            match operator {
                Operator::Loop { .. } => {
                    costs.loops.push(1);
                    blocks.push(Some(costs.loops.len() - 1));
                }
                Operator::Block { .. } | Operator::If { .. } => blocks.push(within),
                Operator::End => drop(blocks.pop()),
                _ => {}
            }
        }
        Ok(costs)
    }
}

/// Whether an instruction works on as many bytes or elements as a number on the stack says.
pub(crate) fn is_bulk(operator: &Operator<'_>) -> bool {
    bulk(operator).is_some()
}

/// By how many bits to shift its length for its cost, if it has one.
pub(crate) fn bulk(operator: &Operator<'_>) -> Option<i64> {
    match operator {
        Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } => Some(4),
        Operator::TableFill { .. } | Operator::TableCopy { .. } | Operator::TableInit { .. } => Some(0),
        _ => None,
    }
}

/// An instruction's own cost. A hostcall takes microseconds, and so does growing.
fn own(operator: &Operator<'_>, imported: u32) -> i64 {
    match operator {
        Operator::Call { function_index } if *function_index < imported => 1000,
        Operator::MemoryGrow { .. } | Operator::TableGrow { .. } => 1000,
        Operator::CallIndirect { .. } => 50,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use wasmparser::{Parser, Payload};

    use super::*;

    fn costs(body: &str) -> Costs {
        let wat = format!(r#"(module (import "env" "f" (func $f)) (memory 1) (func $g {body}))"#);
        let wasm = wat::parse_str(wat).unwrap();
        let bodies = Parser::new(0).parse_all(&wasm).filter_map(|payload| match payload.unwrap() {
            Payload::CodeSectionEntry(body) => Some(Costs::of(&body, 1).unwrap()),
            _ => None,
        });
        bodies.last().unwrap()
    }

    #[test]
    fn every_instruction_is_paid_for_where_it_runs() {
        assert_eq!(costs(""), Costs { entry: 2, ..Costs::default() });
        assert_eq!(costs("nop (block nop)"), Costs { entry: 6, ..Costs::default() });
        // The loop itself is paid for outside, its end inside.
        assert_eq!(costs("(loop nop nop) nop"), Costs { entry: 4, loops: vec![4], has_bulk: false });
        assert_eq!(costs("(loop nop (loop nop) (block nop))"), Costs { entry: 3, loops: vec![7, 3], has_bulk: false });
    }

    #[test]
    fn what_takes_long_costs_more() {
        assert_eq!(costs("call $f").entry, 1002);
        assert_eq!(costs("call $g").entry, 3);
        assert!(costs("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))").has_bulk);
        assert!(costs("(drop (memory.grow (i32.const 0)))").entry > 1000);
    }
}
