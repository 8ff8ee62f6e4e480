//! No hostcall of the hot path allocates, on any engine: what a thousand calls take is what one takes.

use portcullis_benches::shapes::{SHAPES, guest, tick};
use portcullis_benches::{Failure, LOOPS, engines};

#[test]
fn a_hostcall_allocates_nothing() -> Result<(), Failure> {
    for engine in engines()? {
        for shape in SHAPES {
            let (mut vm, root) = guest(&*engine, &shape.guest())?;
            // What is kept for later calls is there after the first.
            tick(&mut vm, root)?;
            let info = allocation_counter::measure(|| assert!(tick(&mut vm, root).is_ok()));
            // The callback itself may, as far as the engine does: wasmi has a stack for each call.
            assert!(info.count_total < LOOPS / 100, "{} {}: {info:?}", engine.name(), shape.name);
        }
    }
    Ok(())
}

/// A guest that allocates for each call is one that the measure must see.
#[test]
fn the_counter_counts() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 100])));
    assert_eq!(info.count_total, 1);
}
