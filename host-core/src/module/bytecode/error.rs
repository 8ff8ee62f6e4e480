use crate::abi::AbiVersion;

/// Why a file is no plugin that this host can run. Its author can mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BytecodeError {
    /// Something else than WebAssembly's binary format.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(String),
    /// A component, which has another binary format.
    #[error("a WebAssembly component, but plugins are modules; build it for wasm32-wasip1 rather than wasm32-wasip2")]
    Component,
    /// The module breaks WebAssembly's own rules.
    #[error("not valid WebAssembly 2.0: {message} (at byte {offset:#x})")]
    Invalid {
        /// The fault.
        message: String,
        /// Where.
        offset: usize,
    },
    /// The module needs a proposal that some engine lacks.
    #[error("uses {proposal}, which not every engine has; build the plugin for WebAssembly 2.0 (at byte {offset:#x})")]
    Proposal {
        /// The proposal, in the plural or without a number, such as `tail calls`.
        proposal: &'static str,
        /// Where.
        offset: usize,
    },
    /// The module has more of something than some engine can hold.
    #[error(
        "has {count} {what}, but not every engine takes more than {limit}; make do with fewer, or split the plugin"
    )]
    ModuleLimit {
        /// The things of which there are too many, in the plural.
        what: &'static str,
        /// How much the module has.
        count: u64,
        /// The most that it may have.
        limit: u64,
    },
    /// A function has more of something than some engine can hold.
    #[error(
        "function {function} has {count} {what}, but not every engine takes more than {limit}; split the function \
         (at byte {offset:#x})"
    )]
    FunctionLimit {
        /// The function's index, imports counted.
        function: u32,
        /// The things of which there are too many, in the plural.
        what: &'static str,
        /// How much the function has.
        count: u64,
        /// The most that it may have.
        limit: u64,
        /// Where.
        offset: usize,
    },
    /// An instruction has a larger offset than some engine can hold.
    #[error(
        "function {function} has {instruction} with an offset of {value}, but not every engine takes more than {limit}; \
         add the offset to the address, or build the plugin without SIMD (at byte {offset:#x})"
    )]
    InstructionOffset {
        /// The function's index, imports counted.
        function: u32,
        /// The instruction.
        instruction: &'static str,
        /// Its offset.
        value: u64,
        /// The most that it may be.
        limit: u64,
        /// Where.
        offset: usize,
    },
    /// Checking the module takes longer than its size allows, and so would compiling it.
    #[error(
        "takes more than {most} steps to check, which is too many for its size; build it without functions of hundreds of parameters or results (at byte {offset:#x})"
    )]
    Work {
        /// How many it may take.
        most: u64,
        /// Where that many were reached.
        offset: usize,
    },
    /// No export says which ABI the module was built for.
    #[error("the module has no ABI marker: it exports none of {}; is it a Proxy-Wasm plugin?", markers())]
    NoMarker,
    /// Two exports contradict each other.
    #[error("the module exports two ABI markers, {first} and {second}; one must say which ABI it was built for")]
    ManyMarkers {
        /// The marker that is exported first.
        first: &'static str,
        /// The next.
        second: &'static str,
    },
    /// The module was built for an ABI that this host does not run.
    #[error("the module exports the ABI marker {marker}, but this host runs none but {}", markers())]
    UnknownMarker {
        /// The marker.
        marker: String,
    },
    /// An import that is no function.
    #[error("imports the {kind} {import}, but a plugin may import functions alone")]
    ImportKind {
        /// The import, as `module.name`.
        import: String,
        /// The kind of the import.
        kind: &'static str,
    },
    /// An import that is no hostcall.
    #[error("imports {import}, which no ABI version has{}", .nearest.as_ref().map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    UnknownImport {
        /// The import, as `module.name`.
        import: String,
        /// The hostcall nearest to it, if one is near.
        nearest: Option<String>,
    },
    /// A hostcall of another ABI version.
    #[error("imports {import}, which ABI {abi} does not have ({})", versions(*.since, *.until))]
    ImportNotInAbi {
        /// The import, as `module.name`.
        import: String,
        /// The module's ABI version.
        abi: AbiVersion,
        /// The first version that has it.
        since: AbiVersion,
        /// The last version that has it.
        until: AbiVersion,
    },
    /// A hostcall imported with a wrong type.
    #[error("imports {import} as {found}, but it is {expected}")]
    ImportType {
        /// The import, as `module.name`.
        import: String,
        /// The import's type.
        found: String,
        /// The hostcall's type.
        expected: String,
    },
    /// A callback or the allocator, exported with a wrong type.
    #[error("exports {export} as {found}, but it is {expected}")]
    ExportType {
        /// The export.
        export: &'static str,
        /// The export's type.
        found: String,
        /// The type or types it may have.
        expected: String,
    },
    /// Nothing for the host to read and write.
    #[error("exports no memory; the host must reach the plugin's memory, usually as the export \"memory\"")]
    NoMemory,
    /// More than one memory, exported or not.
    #[error("has more than one memory, but plugins have one")]
    ManyMemories,
    /// A memory of the threads proposal.
    #[error("has a shared memory; build the plugin without threads")]
    SharedMemory,
    /// A memory of the memory64 proposal.
    #[error("has a 64-bit memory; build the plugin for wasm32")]
    Memory64,
    /// No way for the host to hand bytes to the guest.
    #[error("exports no allocator: neither malloc nor proxy_on_memory_allocate, both (i32) -> i32")]
    NoAllocator,
}

fn markers() -> String {
    let markers: Vec<_> = AbiVersion::ALL.iter().map(|version| version.marker()).collect();
    match markers.split_last() {
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn versions(since: AbiVersion, until: AbiVersion) -> String {
    if since == until { format!("{since} does") } else { format!("{since} to {until} do") }
}

/// Returns a name that the module chose, fit for a log line: printable, and not too long.
pub(super) fn shown(name: &str) -> String {
    const SHOWN: usize = 200;
    let mut shown = String::new();
    for (i, c) in name.chars().enumerate() {
        match c {
            _ if i == SHOWN => {
                shown.push_str("...");
                break;
            }
            ' '..='~' => shown.push(c),
            _ => shown.extend(c.escape_debug()),
        }
    }
    shown
}
