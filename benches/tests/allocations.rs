//! No hostcall of the hot path allocates, on any engine: a thousand calls allocate no more than one.

use portcullis_benches::shapes::{SHAPES, guest, tick};
use portcullis_benches::{Failure, LOOPS, engines};

#[test]
fn a_hostcall_allocates_nothing() -> Result<(), Failure> {
    for engine in engines()? {
        for shape in SHAPES {
            let (mut vm, root) = guest(&*engine, &shape.guest())?;
            // Buffers that later calls reuse are allocated by the first.
            tick(&mut vm, root)?;
            let info = allocation_counter::measure(|| assert!(tick(&mut vm, root).is_ok()));
            // The callback itself may, as far as the engine does: wasmi has a stack for each call.
            assert!(info.count_total < LOOPS / 100, "{} {}: {info:?}", engine.name(), shape.name);
        }
    }
    Ok(())
}

/// Controls the measure: an allocation is counted.
#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(info.count_total, 1);
}
