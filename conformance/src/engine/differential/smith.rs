//! Modules of any code, with the imports and exports of a plugin.

use arbitrary::Unstructured;
use portcullis::abi::{AbiVersion, CALLBACKS, CallbackDecl, CallbackId, HOSTCALLS, HostcallDecl, HostcallId};
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use wasm_smith::{Config, MemoryOffsetChoices, Module};

use super::instrument::{FUEL, instrumented};
use super::traced::DIGEST;
use crate::engine::prelude::{self, types};

/// Seed of a module.
#[derive(Clone, Debug)]
pub struct Seed {
    abi: AbiVersion,
    hostcalls: Vec<Index>,
    callbacks: Vec<&'static CallbackDecl>,
    memory: &'static str,
    has_start: bool,
    is_trapping: bool,
    has_honest_malloc: bool,
    bytes: Vec<u8>,
}

/// Returns any seed.
pub fn seeds() -> impl Strategy<Value = Seed> {
    // A plugin that starts with any code seldom gets farther.
    let is_early = |decl: &&CallbackDecl| {
        use CallbackId::{on_configure, on_context_create, on_vm_start};
        decl.id.is_start_function() || matches!(decl.id, on_context_create | on_vm_start | on_configure)
    };
    let callbacks = CALLBACKS.iter().filter(|decl| decl.export != DIGEST);
    let (early, late): (Vec<_>, Vec<_>) = callbacks.partition(is_early);
    let early = prop_oneof![4 => Just(Vec::new()), 1 => subsequence(early, 1..3)];
    let late_count = late.len();
    (
        prop::sample::select(AbiVersion::ALL.to_vec()),
        prop::collection::vec(any::<Index>(), 0..12),
        (early, subsequence(late, 6..=late_count)).prop_map(|(early, late)| [early, late].concat()),
        prop::sample::select(vec!["1", "1 1", "1 2", "2 100", "7 65536"]),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.4),
        prop::bool::weighted(0.7),
        prop::collection::vec(any::<u8>(), 100..4000),
    )
        .prop_map(|(abi, hostcalls, callbacks, memory, has_start, is_trapping, has_honest_malloc, bytes)| Seed {
            abi,
            hostcalls,
            callbacks,
            memory,
            has_start,
            is_trapping,
            has_honest_malloc,
            bytes,
        })
}

impl Seed {
    /// Returns the module. It ends by itself, for it counts its own turns and calls.
    ///
    /// # Errors
    /// The generator failed.
    pub fn wasm(&self) -> Result<Vec<u8>, String> {
        let mut config = config();
        config.allow_start_export = self.has_start;
        config.disallow_traps = !self.is_trapping;
        config.module_shape = Some(wat::parse_str(self.shape()).map_err(|error| error.to_string())?);
        let mut module = Module::new(config, &mut Unstructured::new(&self.bytes)).map_err(|error| error.to_string())?;
        let fuel = module.ensure_termination(FUEL).map_err(|error| error.to_string())?;
        instrumented(&module.to_bytes(), fuel, self.has_honest_malloc)
    }

    /// Returns a module with nothing but the imports and exports.
    fn shape(&self) -> String {
        let linked: Vec<_> = HOSTCALLS.iter().filter(|decl| !decl.id.linked_modules(self.abi).is_empty()).collect();
        let log = HostcallId::proxy_log.decl();
        let imports = [log].into_iter().chain(self.hostcalls.iter().map(|index| *index.get(&linked)));
        let mut text: String = imports.map(|decl| import(decl, self.abi)).collect();
        let (memory, marker) = (self.memory, self.abi.marker());
        text.push_str(&format!(
            r#"(memory (export "memory") {memory}) (func (export "{marker}"))
            (func (export "malloc") (param i32) (result i32) unreachable)
            (func (export "{DIGEST}") (param i32 i32))"#
        ));
        for (at, decl) in self.callbacks.iter().enumerate() {
            let is_first = self.callbacks.iter().take(at).all(|other| other.export != decl.export);
            if is_first {
                let (export, params, results) = (decl.export, types(decl.params), types(decl.results));
                text.push_str(&format!(r#"(func (export "{export}") (param{params}) (result{results}) unreachable)"#));
            }
        }
        format!("(module {text})")
    }
}

/// Configures WebAssembly 2.0, with floats whose NaN are the same everywhere.
fn config() -> Config {
    Config {
        canonicalize_nans: true,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        max_data_segments: 5,
        max_element_segments: 5,
        max_funcs: 70,
        max_globals: 10,
        max_memories: 1,
        max_table_elements: 300,
        max_tables: 3,
        max_types: 10,
        memory64_enabled: false,
        memory_offset_choices: MemoryOffsetChoices(80, 15, 5),
        relaxed_simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..Config::default()
    }
}

fn import(decl: &HostcallDecl, abi: AbiVersion) -> String {
    prelude::import_from(decl.id.linked_modules(abi).first().copied().unwrap_or_default(), decl, "")
}
