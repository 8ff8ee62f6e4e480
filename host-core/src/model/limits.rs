//! Limits of a VM.

use std::time::Duration;

use crate::model::percent::Percent;
use crate::setters::setters;

/// Limits of one VM. Every engine enforces all of it, but for what its
/// [`EngineFeatures`](crate::engine::EngineFeatures) say.
///
/// ```
/// use std::time::Duration;
/// use portcullis_core::model::Limits;
///
/// let limits = Limits::default().with_memory(64 << 20).with_deadline(Duration::from_millis(100));
/// assert_eq!((limits.memory, limits.callouts), (64 << 20, 1024));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Linear memory in bytes. Default 1 GiB. Beyond it `memory.grow` answers -1.
    pub memory: usize,
    /// Elements of all tables together. Default 100,000. Beyond it `table.grow` answers -1.
    pub table_elements: usize,
    /// Stack of guest code in bytes. Default 512 KiB. It is a property of the engine that compiles
    /// ([`EngineSettings`](crate::engine::EngineSettings)), so a VM's must equal its engine's. How much of it
    /// a function takes differs from engine to engine.
    pub stack: usize,
    /// How long one callback may run. Default 1 s. It is stopped before twice that has passed.
    pub deadline: Duration,
    /// How long the start section, each start function, `proxy_on_vm_start` and
    /// `proxy_on_configure` may run. Default 30 s.
    pub start_deadline: Duration,
    /// HTTP callouts in flight; gRPC calls and streams; lookups of names; of each this many. Default 1024.
    pub callouts: usize,
    /// Metrics that each plugin of the VM defines. Default 1000.
    pub metrics: usize,
    /// Bytes that a plugin may put into one body buffer. Default 64 MiB.
    pub buffer: usize,
    /// Files and directories that a VM opens in its preopened directories, which do not count themselves.
    /// A directory that is being listed takes two handles of the process. Default 64.
    pub open_files: usize,
    /// Bytes of shared data, items of queues, names of queues and of metrics that the plugins of a sandbox have written and
    /// that are kept, all of its VMs together. Default 64 MiB. Each key and item costs [`Limits::ENTRY_COST`] besides, each queue and
    /// metric [`Limits::NAME_COST`].
    pub shared: usize,
    /// Bytes that the plugins of a sandbox have put into bodies, local responses, callouts and properties, and that are held, all of its
    /// VMs together. Default 1 GiB. Each piece costs [`Limits::ENTRY_COST`] besides.
    pub buffers: usize,
    /// The part of a CPU that its callbacks may use in each second, over all of its plugins; of VMs that each last for a stream, all
    /// together. Default none: all of it. A VM that has used more is not called for new streams, for parts of messages and for
    /// ticks, until the time has passed of which it has used that part. Holds where the plugin's [`Usage`](crate::vm::Usage) is counted.
    pub cpu: Option<Percent>,
}

impl Limits {
    /// The cost of a key of shared data, an item of a queue, a property, a piece of a body or a callout, besides its bytes.
    pub const ENTRY_COST: usize = 128;

    /// The cost of a queue or a metric besides its name.
    pub const NAME_COST: usize = 512;

    /// The most bytes of a key of shared data and of a queue's name: as many as a request's head may have.
    pub const LONGEST_KEY: usize = 64 << 10;

    setters! {
        with_memory(usize) -> memory;
        with_table_elements(usize) -> table_elements;
        with_stack(usize) -> stack;
        with_deadline(Duration) -> deadline;
        with_start_deadline(Duration) -> start_deadline;
        with_callouts(usize) -> callouts;
        with_metrics(usize) -> metrics;
        with_buffer(usize) -> buffer;
        with_open_files(usize) -> open_files;
        with_shared(usize) -> shared;
        with_buffers(usize) -> buffers;
        with_cpu(impl Into<Option<Percent>>) -> cpu;
    }

    /// Returns each limit under the name that configurations give it, as text.
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let Self {
            memory,
            table_elements,
            stack,
            deadline,
            start_deadline,
            callouts,
            metrics,
            buffer,
            open_files,
            shared,
            buffers,
            cpu,
        } = self;
        vec![
            ("memory", memory.to_string()),
            ("table_elements", table_elements.to_string()),
            ("stack", stack.to_string()),
            ("deadline", format!("{deadline:?}")),
            ("start_deadline", format!("{start_deadline:?}")),
            ("callouts", callouts.to_string()),
            ("metrics", metrics.to_string()),
            ("buffer", buffer.to_string()),
            ("open_files", open_files.to_string()),
            ("shared", shared.to_string()),
            ("buffers", buffers.to_string()),
            ("cpu", cpu.map_or_else(|| "none".to_owned(), |cpu| cpu.to_string())),
        ]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 1 << 30,
            table_elements: 100_000,
            stack: 512 << 10,
            deadline: Duration::from_secs(1),
            start_deadline: Duration::from_secs(30),
            callouts: 1024,
            metrics: 1000,
            buffer: 64 << 20,
            open_files: 64,
            shared: 64 << 20,
            buffers: 1 << 30,
            cpu: None,
        }
    }
}

/// The room that is left for memory and tables of a VM. Engines ask before either is made or grows.
#[derive(Debug)]
pub struct Budget {
    memory: usize,
    table_elements: usize,
    table_elements_left: usize,
    memory_was_refused: bool,
    memory_has_grown: bool,
    was_reset: bool,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
        let Limits { memory, table_elements, .. } = *limits;
        Self {
            memory,
            table_elements,
            table_elements_left: table_elements,
            memory_was_refused: false,
            memory_has_grown: false,
            was_reset: false,
        }
    }

    /// Begins anew, for a guest that is made again in place of one that is gone.
    pub fn reset(&mut self) {
        self.table_elements_left = self.table_elements;
        self.memory_was_refused = false;
        self.was_reset = true;
    }

    /// Returns whether the memory may be `desired` bytes long. `maximum` is what the module itself allows.
    pub fn grow_memory(&mut self, desired: usize, maximum: Option<usize>) -> bool {
        /// Nobody could give more to wasm32, and not every engine asks.
        const ADDRESSABLE: u64 = 1 << 32;
        let fits = desired <= self.memory;
        let is_possible = maximum.is_none_or(|maximum| desired <= maximum) && desired as u64 <= ADDRESSABLE;
        self.memory_was_refused |= !fits && is_possible;
        self.memory_has_grown |= fits;
        fits
    }

    /// Returns whether a table may grow from `current` to `desired` elements. All tables draw from one
    /// budget; what the table's own `maximum` refuses costs nothing.
    pub fn grow_table(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> bool {
        let rest = self.table_elements_left.checked_sub(desired.saturating_sub(current));
        let rest = rest.filter(|_| maximum.is_none_or(|maximum| desired <= maximum));
        self.table_elements_left = rest.unwrap_or(self.table_elements_left);
        rest.is_some()
    }

    /// Returns whether the guest has been made again since this was last asked.
    pub(crate) fn take_was_reset(&mut self) -> bool {
        std::mem::take(&mut self.was_reset)
    }

    /// Returns whether memory was made, or may have grown, since this was last asked.
    #[inline]
    pub(crate) fn take_memory_has_grown(&mut self) -> bool {
        std::mem::take(&mut self.memory_has_grown)
    }

    /// Returns whether more memory was refused since this was last asked.
    pub(crate) fn take_memory_was_refused(&mut self) -> bool {
        std::mem::take(&mut self.memory_was_refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_ends_at_its_limit() {
        let mut budget = Budget::new(&Limits { memory: 10, ..Limits::default() });
        assert!(budget.grow_memory(10, None) && !budget.take_memory_was_refused());
        assert!(budget.take_memory_has_grown() && !budget.take_memory_has_grown());
        assert!(!budget.grow_memory(11, Some(10)) && !budget.take_memory_was_refused());
        assert!(!budget.grow_memory(11, Some(11)) && budget.take_memory_was_refused());
        assert!(!budget.take_memory_was_refused());
        assert!(!budget.grow_memory(usize::MAX, None) && !budget.take_memory_was_refused());
    }

    #[test]
    fn tables_share_a_budget() {
        let mut budget = Budget::new(&Limits { table_elements: 10, ..Limits::default() });
        assert!(budget.grow_table(0, 4, None));
        assert!(!budget.grow_table(0, 6, Some(5)), "its own maximum");
        assert!(budget.grow_table(4, 10, None));
        assert!(!budget.grow_table(0, 1, None) && budget.grow_table(3, 3, None));
        budget.reset();
        assert!(budget.grow_table(0, 10, None));
    }
}
