//! From function to function. A list of what is still to be read takes the place of recursion, and each function
//! is read once.

use std::collections::{HashMap, HashSet};

use wasmparser::{FunctionBody, Operator};

use super::code::{Code, Function, Type};
use crate::abi::hostcall::HostcallId;
use crate::module::bytecode::BytecodeError;

/// Returns the imports that can be reached from the start section and from the exports `roots`.
pub(super) fn reachable_imports(code: &Code<'_>, roots: &[&str]) -> Result<HashSet<Option<HostcallId>>, BytecodeError> {
    let mut walk = Walk::new(code);
    if let Some(function) = code.start {
        walk.reach(function);
    }
    for (_, function) in code.exports.iter().filter(|(name, _)| roots.contains(name)) {
        walk.reach(*function);
    }
    for function in &code.referenced {
        walk.refer(*function);
    }
    while let Some(body) = walk.next() {
        walk.read(body)?;
    }
    let imports = code.imports.iter().zip(&walk.reached);
    Ok(imports.filter(|(_, reached)| **reached).map(|(import, _)| *import).collect())
}

struct Walk<'c, 'a> {
    code: &'c Code<'a>,
    /// Which functions can run.
    reached: Vec<bool>,
    /// Which functions have a reference.
    referenced: Vec<bool>,
    /// These, by type.
    by_type: HashMap<Type, Vec<Function>>,
    /// The types of indirect calls.
    called: HashSet<Type>,
    /// Functions that can run and are not read yet.
    todo: Vec<Function>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(code: &'c Code<'a>) -> Self {
        let none = vec![false; code.functions.len()];
        Self {
            code,
            reached: none.clone(),
            referenced: none,
            by_type: HashMap::new(),
            called: HashSet::new(),
            todo: Vec::new(),
        }
    }

    /// Returns the next body to read; imports have none.
    fn next(&mut self) -> Option<&'c FunctionBody<'a>> {
        let code = self.code;
        std::iter::from_fn(|| self.todo.pop())
            .find_map(|function| code.bodies.get((function as usize).checked_sub(code.imports.len())?))
    }

    fn read(&mut self, body: &FunctionBody<'_>) -> Result<(), BytecodeError> {
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            match operators.read()? {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    self.reach(function_index);
                }
                Operator::RefFunc { function_index } => self.refer(function_index),
                Operator::CallIndirect { type_index, .. }
                | Operator::ReturnCallIndirect { type_index, .. }
                | Operator::CallRef { type_index }
                | Operator::ReturnCallRef { type_index } => self.call_type(type_index),
                _ => {}
            }
        }
        Ok(())
    }

    /// A function can run.
    fn reach(&mut self, function: Function) {
        if first_time(&mut self.reached, function) {
            self.todo.push(function);
        }
    }

    /// A function has a reference.
    fn refer(&mut self, function: Function) {
        let Some(of_type) = self.code.functions.get(function as usize) else { return };
        if first_time(&mut self.referenced, function) {
            self.by_type.entry(*of_type).or_default().push(function);
            if self.called.contains(of_type) {
                self.reach(function);
            }
        }
    }

    /// An indirect call of this type can run.
    fn call_type(&mut self, index: u32) {
        let Some(called) = self.code.type_of(index) else { return };
        if self.called.insert(called) {
            // Whatever is referred to later is reached at once: the list is not needed again.
            for function in self.by_type.remove(&called).unwrap_or_default() {
                self.reach(function);
            }
        }
    }
}

/// Sets a mark; says whether it was not set.
fn first_time(marks: &mut [bool], function: Function) -> bool {
    marks.get_mut(function as usize).is_some_and(|mark| !std::mem::replace(mark, true))
}
