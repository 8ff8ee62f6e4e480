//! Any bytes as a module: judged, and read for what they need, without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_core::Anatomy::read(bytes);
    if let Ok(bytecode) = portcullis_core::Bytecode::judge(bytes) {
        assert!(portcullis_core::Needs::of(&bytecode).is_ok());
    }
});
