//! A module's code as far as calls go.

use std::collections::HashMap;

use wasmparser::{
    ConstExpr, ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TableInit,
    TypeRef,
};

use crate::abi::hostcall::HostcallId;
use crate::module::bytecode::{BytecodeError, FEATURES};

/// A function, by its index; imports come first.
pub(super) type Function = u32;

/// A function type, by a number that equal types share.
pub(super) type Type = u32;

/// A module's code as far as calls go.
#[derive(Default)]
pub(super) struct Code<'a> {
    /// The hostcall that each imported function is; None if it is none.
    pub(super) imports: Vec<Option<HostcallId>>,
    /// The type of each function.
    pub(super) functions: Vec<Type>,
    /// The type of each type index.
    pub(super) types: Vec<Type>,
    /// The bodies of the functions after the imports.
    pub(super) bodies: Vec<FunctionBody<'a>>,
    /// Exported functions.
    pub(super) exports: Vec<(&'a str, Function)>,
    /// The start section's.
    pub(super) start: Option<Function>,
    /// Functions whose references are there before any code has run.
    pub(super) referenced: Vec<Function>,
}

impl<'a> Code<'a> {
    pub(super) fn read(wasm: &'a [u8]) -> Result<Self, BytecodeError> {
        let mut code = Self::default();
        let mut known = HashMap::new();
        let mut parser = Parser::new(0);
        parser.set_features(FEATURES);
        for payload in parser.parse_all(wasm) {
            code.add(payload?, &mut known)?;
        }
        Ok(code)
    }

    /// Returns the number of a type index.
    pub(super) fn type_of(&self, index: u32) -> Option<Type> {
        self.types.get(index as usize).copied()
    }

    fn add(&mut self, payload: Payload<'a>, known: &mut HashMap<FuncType, Type>) -> Result<(), BytecodeError> {
        match payload {
            Payload::TypeSection(section) => {
                for found in section.into_iter_err_on_gc_types() {
                    let next = Type::try_from(known.len()).unwrap_or(Type::MAX);
                    self.types.push(*known.entry(found?).or_insert(next));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    if let TypeRef::Func(index) | TypeRef::FuncExact(index) = import.ty {
                        self.imports.push(HostcallId::imported(import.module, import.name));
                        self.add_function(index);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    self.add_function(index?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    if let TableInit::Expr(init) = table?.init {
                        self.add_references(&init)?;
                    }
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    self.add_references(&global?.init_expr)?;
                }
            }
            Payload::ElementSection(section) => {
                for element in section {
                    let element = element?;
                    // These permit a `ref.func` and put nothing anywhere; the `ref.func` itself counts.
                    if !matches!(element.kind, ElementKind::Declared) {
                        self.add_elements(element.items)?;
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                        self.exports.push((export.name, export.index));
                    }
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            _ => {}
        }
        Ok(())
    }

    /// The number `MAX` is no type's: a module has far fewer.
    fn add_function(&mut self, index: u32) {
        self.functions.push(self.type_of(index).unwrap_or(Type::MAX));
    }

    fn add_elements(&mut self, items: ElementItems<'a>) -> Result<(), BytecodeError> {
        match items {
            ElementItems::Functions(functions) => {
                for function in functions {
                    self.referenced.push(function?);
                }
            }
            ElementItems::Expressions(_, expressions) => {
                for expression in expressions {
                    self.add_references(&expression?)?;
                }
            }
        }
        Ok(())
    }

    fn add_references(&mut self, expression: &ConstExpr<'a>) -> Result<(), BytecodeError> {
        for operator in expression.get_operators_reader() {
            if let Operator::RefFunc { function_index } = operator? {
                self.referenced.push(function_index);
            }
        }
        Ok(())
    }
}
