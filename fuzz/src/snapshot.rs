use arbitrary::Unstructured;

use crate::smith::{Guest, module};

/// A module into which the state of a guest was written begins in that state, and goes on as the guest does.
pub(crate) fn snapshot(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let before: [u8; 24] = input.arbitrary().unwrap_or_default();
    let after: [u8; 24] = input.arbitrary().unwrap_or_default();
    let Ok(wasm) = module(&mut input) else { return };
    let Some((observed, names)) = portcullis::fuzzing::observe(&wasm) else { return };
    let engine = wasmi::Engine::default();
    let Ok(mut guest) = Guest::new(&engine, &observed) else { return };
    // A plugin that traps is not taken.
    if guest.run(&before).iter().any(Result::is_err) {
        return;
    }
    let globals: Vec<u128> = names.iter().map(|name| guest.global(name)).collect();
    let (memory, _) = guest.state();
    let baked = portcullis::fuzzing::bake(&wasm, &memory, &globals).expect("it is not too large");
    let mut made = Guest::new(&engine, &baked).unwrap_or_else(|error| panic!("the image does not start: {error}"));
    assert!(made.state().0 == memory, "the memory is another");
    let as_original = |guest: &Guest| {
        let (memory, globals) = guest.state();
        let own = globals.into_iter().filter(|(name, _)| !names.contains(name)).collect::<Vec<_>>();
        (memory, own)
    };
    assert!(as_original(&guest) == as_original(&made), "the globals are others");
    assert_eq!(guest.run(&after), made.run(&after));
    assert!(as_original(&guest) == as_original(&made), "they go on differently");
}
