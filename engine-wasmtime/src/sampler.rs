//! Which functions of a guest run, noted at each beat of the engine's clock.

use std::time::{Duration, Instant};

use wasmtime::{GuestProfiler, Module, StoreContextMut, UpdateDeadline};

use crate::SAMPLING_TICK;
use crate::caller::Data;

/// The most bytes of stack that a sample may span, the host's own among them. Deeper ones are left out.
const DEEPEST: usize = 64 << 10;

/// The most bytes of stack that all samples may span together; what runs later is not sampled. So a guest which fills its
/// stack cannot fill the host's memory: wasmtime keeps about 100 bytes for each frame that is new, and a frame takes at
/// least 16 bytes of stack. Of an ordinary plugin these are tens of thousands of samples.
const ROOM: usize = 64 << 20;

/// The weight of a sample beyond its stack.
const SAMPLE: usize = 128;

/// Samples one guest, and holds it to its deadline meanwhile.
pub(crate) struct Sampler {
    profiler: GuestProfiler,
    /// When the callback that runs must have ended.
    deadline: Option<Instant>,
    /// Where it began on the host's stack.
    stack: usize,
    /// How many bytes of stack may still be noted.
    room: usize,
}

impl Sampler {
    /// `None` if wasmtime cannot.
    pub(crate) fn new(name: &str, module: &Module) -> Option<Self> {
        let modules = [(name.to_owned(), module.clone())];
        let profiler = GuestProfiler::new(module.engine(), name, SAMPLING_TICK, modules).ok()?;
        Some(Self { profiler, deadline: None, stack: 0, room: ROOM })
    }

    /// A callback begins, which may run for so long.
    pub(crate) fn begin(&mut self, deadline: Duration) {
        (self.deadline, self.stack) = (Instant::now().checked_add(deadline), stack_pointer());
    }

    /// The profile, in the processed format of the Firefox profiler.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.profiler.finish(&mut bytes).ok()?;
        Some(bytes)
    }

    fn sample(&mut self, store: &StoreContextMut<'_, Data>) {
        let depth = self.stack.abs_diff(stack_pointer());
        if depth > DEEPEST {
            return;
        }
        if let Some(rest) = self.room.checked_sub(depth + SAMPLE) {
            self.room = rest;
            self.profiler.sample(store, Duration::ZERO);
        }
    }
}

/// The clock has beaten while the guest ran, or while a hostcall did from which it has returned.
pub(crate) fn beat(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<UpdateDeadline> {
    let Some(mut sampler) = store.data_mut().sampler.take() else { return Ok(UpdateDeadline::Interrupt) };
    sampler.sample(&store);
    let is_over = sampler.deadline.is_some_and(|deadline| deadline <= Instant::now());
    store.data_mut().sampler = Some(sampler);
    Ok(if is_over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
}

/// About where the thread's stack ends now.
#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}
