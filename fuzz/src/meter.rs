//! engine-wasmer's rewriting, included without wasmer, whose compiler would take longer to build than all else.

use arbitrary::Unstructured;

use crate::smith::{Guest, module};

#[path = "../../engine-wasmer/src/cost.rs"]
mod cost;
#[path = "../../engine-wasmer/src/meter.rs"]
mod rewriting;

/// A module that is rewritten is valid, and does on wasmi what the original does.
pub(crate) fn meter(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(wasm) = module(&mut input) else { return };
    let arguments = input.take_rest();
    let metered = rewriting::metered(&wasm).expect("a valid module can be rewritten");
    let features = wasmparser::WasmFeatures::default();
    wasmparser::Validator::new_with_features(features).validate_all(&metered).expect("what is rewritten is valid");

    let engine = wasmi::Engine::default();
    match (Guest::new(&engine, &wasm), Guest::new(&engine, &metered)) {
        (Ok(mut original), Ok(mut metered)) => {
            assert_eq!(original.run(arguments), metered.run(arguments));
            assert!(original.state() == metered.state(), "memory or globals differ");
        }
        (original, metered) => assert_eq!(original.err(), metered.err(), "one of them does not start"),
    }
}
