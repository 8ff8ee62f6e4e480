//! A plugin's sections, to be filled with much of one thing.

use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataCountSection, DataSection, ElementSection, EntityType, ExportKind,
    ExportSection, Function, FunctionSection, GlobalSection, GlobalType, ImportSection, InstructionSink, MemorySection,
    MemoryType, Module, RefType, StartSection, TableSection, TableType, TypeSection, ValType,
};

/// The type `() -> ()`.
pub(super) const PLAIN: u32 = 0;

/// The type `(i32) -> i32`, which the allocator has.
const ALLOCATOR: u32 = 1;

/// Parts that a module is written from.
pub(super) struct Parts {
    pub(super) types: TypeSection,
    pub(super) imports: ImportSection,
    pub(super) functions: FunctionSection,
    pub(super) tables: TableSection,
    pub(super) memory: MemoryType,
    pub(super) globals: GlobalSection,
    pub(super) exports: ExportSection,
    pub(super) elements: ElementSection,
    pub(super) code: CodeSection,
    pub(super) data: DataSection,
    /// The function that runs when a VM starts.
    pub(super) start: Option<u32>,
    /// Names and contents.
    pub(super) custom: Vec<(String, Vec<u8>)>,
}

impl Parts {
    pub(super) fn new() -> Self {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([ValType::I32], [ValType::I32]);
        Self {
            types,
            imports: ImportSection::new(),
            functions: FunctionSection::new(),
            tables: TableSection::new(),
            memory: MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None },
            globals: GlobalSection::new(),
            exports: ExportSection::new(),
            elements: ElementSection::new(),
            code: CodeSection::new(),
            data: DataSection::new(),
            start: None,
            custom: Vec::new(),
        }
    }

    /// Adds a type.
    pub(super) fn ty(&mut self, params: Vec<ValType>, results: Vec<ValType>) -> u32 {
        let index = self.types.len();
        self.types.ty().function(params, results);
        index
    }

    /// Adds imports of one function, which may be repeated.
    pub(super) fn import(&mut self) {
        self.imports.import("env", "proxy_done", EntityType::Function(self.types.len() - 1));
    }

    /// Adds a function of a type and these locals.
    pub(super) fn function(
        &mut self,
        ty: u32,
        locals: Vec<(u32, ValType)>,
        write: impl FnOnce(&mut InstructionSink<'_>),
    ) -> u32 {
        self.functions.function(ty);
        let mut function = Function::new(locals);
        let mut instructions = function.instructions();
        write(&mut instructions);
        instructions.end();
        self.code.function(&function);
        self.imports.len() + self.functions.len() - 1
    }

    /// Adds a global with a first value.
    pub(super) fn global(&mut self, value: &ConstExpr) {
        self.globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, value);
    }

    /// Adds a table of functions.
    pub(super) fn table(&mut self, minimum: u64, maximum: Option<u64>) {
        self.tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum,
            maximum,
            shared: false,
        });
    }

    /// Writes the module, a plugin whose `malloc` answers with its argument.
    pub(super) fn module(mut self) -> Vec<u8> {
        let marker = self.function(PLAIN, Vec::new(), |_| {});
        let malloc = self.function(ALLOCATOR, Vec::new(), |sink| {
            sink.local_get(0);
        });
        self.exports.export("memory", ExportKind::Memory, 0);
        self.exports.export("proxy_abi_version_0_2_1", ExportKind::Func, marker);
        self.exports.export("malloc", ExportKind::Func, malloc);
        let mut memories = MemorySection::new();
        memories.memory(self.memory);
        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions).section(&self.tables);
        module.section(&memories).section(&self.globals).section(&self.exports);
        if let Some(function_index) = self.start {
            module.section(&StartSection { function_index });
        }
        module.section(&self.elements);
        module.section(&DataCountSection { count: self.data.len() }).section(&self.code).section(&self.data);
        for (name, data) in &self.custom {
            module.section(&CustomSection { name: name.into(), data: data.into() });
        }
        module.finish()
    }
}
