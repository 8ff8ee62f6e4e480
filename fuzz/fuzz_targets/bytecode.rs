//! Any bytes as a module: judged without a panic.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = portcullis_core::Bytecode::judge(bytes);
});
