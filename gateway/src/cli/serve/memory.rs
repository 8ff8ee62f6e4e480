//! Memory that was freed, and that the allocator has not given back to the system.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

/// The allocator waits for a second before it gives memory back, since it may be needed again.
const PERIOD: Duration = Duration::from_secs(2);

/// Bytes that the allocator has a page of its own for, which goes when they are freed.
const LARGE: usize = 1 << 20;

/// Has the allocator look after memory that was freed, now and then, on a thread that lasts as long as the process.
///
/// mimalloc gives memory back to the system as it frees a page, if that memory has not been used for a while: in a process that is idle no
/// page is freed. The linear memory of wasmi is the allocator's, so that of a VM that has gone would stay for ever.
pub(super) fn give_back() {
    let look = || {
        loop {
            thread::sleep(PERIOD);
            // Nobody touches these bytes, so they cost no memory.
            drop(black_box(Vec::<u8>::with_capacity(LARGE)));
        }
    };
    if let Err(error) = thread::Builder::new().name("memory".to_owned()).stack_size(64 << 10).spawn(look) {
        tracing::warn!(
            "cannot start the thread that has freed memory given back: {error}; an idle process may keep it: raise the limit of threads \
             (`ulimit -u`; systemd: TasksMax), and start the gateway again"
        );
    }
}
