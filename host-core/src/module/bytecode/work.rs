//! How much work a function is for whoever checks or translates it.
//!
//! Most instructions are a step for each byte. Those that move the operands of a label or a function are as many as these
//! have, up to a thousand, and a table of branches does that for each of its targets: 69 kB can be 65 million steps.
//! Compilers write nothing of the kind, so work beyond a multiple of the code's size is refused.

use wasmparser::{BlockType, CompositeInnerType, FunctionBody, Operator, Payload, TypeRef};

use super::error::BytecodeError;

/// Steps for a byte of code. Types with no more operands need not be counted at all.
const STEPS: u64 = 16;

/// Steps that any module may be.
const LEAST: u64 = 16 << 20;

/// The work of checking the functions of a module, counted as they come.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The operands of each type: parameters and results.
    types: Vec<(u32, u32)>,
    /// The most parameters or results of a type.
    widest: u32,
    /// The type of each function.
    functions: Vec<u32>,
    imported: usize,
    /// How many bodies have been seen.
    bodies: usize,
    done: u64,
    most: u64,
}

impl Work {
    /// Counts what a section says.
    ///
    /// # Errors
    /// The functions so far are too much work; the section cannot be read.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> Result<(), BytecodeError> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section.clone() {
                    for ty in group?.types() {
                        let arity = match &ty.composite_type.inner {
                            CompositeInnerType::Func(function) => (count(function.params()), count(function.results())),
                            _ => (0, 0),
                        };
                        self.widest = self.widest.max(arity.0).max(arity.1);
                        self.types.push(arity);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.clone().into_imports() {
                    if let TypeRef::Func(ty) | TypeRef::FuncExact(ty) = import?.ty {
                        self.functions.push(ty);
                    }
                }
                self.imported = self.functions.len();
            }
            Payload::FunctionSection(section) => {
                for ty in section.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::CodeSectionStart { size, .. } => self.most = LEAST.max(u64::from(*size) * STEPS),
            Payload::CodeSectionEntry(body) => {
                let ty = self.functions.get(self.imported + self.bodies).copied();
                self.bodies += 1;
                if u64::from(self.widest) > STEPS {
                    self.function(ty, body)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, ty: Option<u32>, body: &FunctionBody<'_>) -> Result<(), BytecodeError> {
        let of = |ty: Option<u32>| {
            let found = ty.and_then(|ty| self.types.get(ty as usize)).copied();
            let (params, results) = found.unwrap_or_default();
            (u64::from(params), u64::from(results))
        };
        // The most operands of a label so far: of blocks, and of the function itself.
        let mut label = of(ty).1;
        let mut done = self.done;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let offset = operators.original_position();
            done += 1 + match operators.read()? {
                Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => match blockty {
                    BlockType::FuncType(ty) => {
                        let (params, results) = of(Some(ty));
                        label = label.max(params).max(results);
                        params + results
                    }
                    BlockType::Type(_) | BlockType::Empty => 1,
                },
                Operator::BrTable { targets } => (u64::from(targets.len()) + 1).saturating_mul(label.max(1)),
                Operator::Br { .. } | Operator::BrIf { .. } | Operator::Return | Operator::Else | Operator::End => {
                    label
                }
                Operator::Call { function_index } => {
                    let (params, results) = of(self.functions.get(function_index as usize).copied());
                    params + results
                }
                Operator::CallIndirect { type_index, .. } => {
                    let (params, results) = of(Some(type_index));
                    params + results
                }
                _ => 0,
            };
            if done > self.most {
                return Err(BytecodeError::Work { most: self.most, offset });
            }
        }
        self.done = done;
        Ok(())
    }
}

fn count<T>(values: &[T]) -> u32 {
    u32::try_from(values.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::fmt::Write;

    use crate::module::bytecode::{Bytecode, BytecodeError};

    fn judge(more: &str) -> Result<(), BytecodeError> {
        let wasm = wat::parse_str(format!(
            r#"(module {more} (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
               (func (export "malloc") (param i32) (result i32) (i32.const 0)))"#
        ));
        Bytecode::judge(&wasm.unwrap()).map(drop)
    }

    /// A table of so many branches to a block with so many results, so many times.
    fn branches(targets: usize, results: usize, times: usize) -> String {
        let types = "i32 ".repeat(results);
        let mut text = format!("(type $wide (func (result {types}))) (func ");
        for _ in 0..times {
            let values = "i32.const 0 ".repeat(results + 1);
            write!(text, "block (type $wide) {values} br_table {} end ", "0 ".repeat(targets + 1)).unwrap();
            text += &"drop ".repeat(results);
        }
        text + ")"
    }

    /// Calls of a function that has so many operands.
    fn calls(operands: usize, times: usize) -> String {
        let types = "i32 ".repeat(operands);
        let values = "i32.const 0 ".repeat(operands);
        format!(
            "(func $wide (param {types}) (result {types}) {values}) (func {values} {} {})",
            "call $wide ".repeat(times),
            "drop ".repeat(operands)
        )
    }

    #[test]
    fn what_is_more_work_than_its_size_is_refused() {
        let most = 16 << 20;
        for (module, is_fine) in [
            (branches(60_000, 1000, 1), false),
            (branches(1000, 1000, 20), false),
            (branches(1000, 1000, 1), true),
            (branches(60_000, 16, 2), true),
            (calls(1000, 10_000), false),
            (calls(1000, 1000), true),
        ] {
            match judge(&module) {
                Ok(()) => assert!(is_fine),
                Err(BytecodeError::Work { most: found, .. }) => assert!(!is_fine && found == most, "{found}"),
                Err(other) => panic!("{other}"),
            }
        }
    }
}
