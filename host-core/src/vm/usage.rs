//! Usage of plugins: time of a CPU, calls, memory.
//!
//! Callbacks are measured with a clock that advances every few milliseconds ([`CoarseClock`]), so that a
//! callback costs two loads and an addition, and no look at the system's clock. A callback of 10 µs meets a move of 4 ms
//! once in 400 times: over many callbacks the sum is right.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::model::percent::Percent;

/// A clock that somebody moves every few milliseconds, and that costs nothing to read. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct CoarseClock(Arc<AtomicU64>);

/// The usage of a plugin, or nothing that counts it. Clones count together; two of them are equal whatever they have counted.
#[derive(Clone, Default)]
pub struct Usage(Option<Arc<Shard>>);

/// The sums of a [`Usage`] and all that were made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Used {
    /// Time that its callbacks took.
    pub cpu: Duration,
    /// Callbacks.
    pub calls: u64,
    /// Callbacks that were refused, because the plugin had used up its [`Limits::cpu`](crate::model::Limits::cpu).
    pub refused: u64,
    /// Bytes of linear memory of its VMs now. A VM that several plugins share counts for the first.
    pub memory: u64,
}

#[derive(Debug, Default)]
struct Counters {
    nanos: AtomicU64,
    calls: AtomicU64,
    refused: AtomicU64,
    memory: AtomicU64,
}

/// The counters of one worker, so that workers do not contend for one cell.
struct Shard {
    own: Counters,
    all: Arc<All>,
}

#[derive(Default)]
struct All {
    clock: CoarseClock,
    shards: Mutex<Vec<Weak<Shard>>>,
    /// The sums of shards that are gone.
    gone: Counters,
}

impl CoarseClock {
    /// Moves the clock to a time, which must not be before the one that it shows.
    pub fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns the time that the clock shows.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.now())
    }

    #[inline]
    fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Usage {
    /// Counts by this clock.
    pub fn new(clock: CoarseClock) -> Self {
        Self(Some(Shard::of(Arc::new(All { clock, ..All::default() }))))
    }

    /// Another one that counts into the same sums, for another worker.
    #[must_use]
    pub fn shard(&self) -> Self {
        Self(self.0.as_ref().map(|shard| Shard::of(Arc::clone(&shard.all))))
    }

    /// Returns true if nobody else counts into these sums: no clone and no shard is left.
    pub fn is_alone(&self) -> bool {
        let Some(shard) = &self.0 else { return true };
        let shards = shard.all.shards.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(shard) == 1 && shards.iter().filter(|shard| shard.strong_count() > 0).count() == 1
    }

    /// Returns the sums.
    pub fn used(&self) -> Used {
        let Some(shard) = &self.0 else { return Used::default() };
        let mut shards = shard.all.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|shard| shard.strong_count() > 0);
        let live: Vec<_> = shards.iter().filter_map(Weak::upgrade).collect();
        drop(shards);
        let sum = |of: fn(&Counters) -> &AtomicU64| {
            let live = live.iter().map(|shard| of(&shard.own).load(Relaxed));
            live.fold(of(&shard.all.gone).load(Relaxed), u64::wrapping_add)
        };
        Used {
            cpu: Duration::from_nanos(sum(|counters| &counters.nanos)),
            calls: sum(|counters| &counters.calls),
            refused: sum(|counters| &counters.refused),
            memory: sum(|counters| &counters.memory),
        }
    }

    /// Returns the time of the clock, in nanoseconds.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.0.as_ref().map_or(0, |shard| shard.all.clock.now())
    }

    /// Counts a callback that began then; says how long it took, in nanoseconds.
    #[inline]
    pub(crate) fn called(&self, began: u64) -> u64 {
        let Some(shard) = &self.0 else { return 0 };
        shard.own.calls.fetch_add(1, Relaxed);
        let took = shard.all.clock.now().saturating_sub(began);
        if took > 0 {
            shard.own.nanos.fetch_add(took, Relaxed);
        }
        took
    }

    pub(crate) fn refused(&self) {
        if let Some(shard) = &self.0 {
            shard.own.refused.fetch_add(1, Relaxed);
        }
    }

    fn memory(&self, more: u64) {
        if let Some(shard) = &self.0 {
            shard.own.memory.fetch_add(more, Relaxed);
        }
    }
}

impl Shard {
    fn of(all: Arc<All>) -> Arc<Self> {
        let shard = Arc::new(Self { own: Counters::default(), all: Arc::clone(&all) });
        let mut shards = all.shards.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody may ask for the sums, which forgets those that are gone, too. Looking only at a full list costs little for each shard.
        if shards.len() == shards.capacity() {
            shards.retain(|shard| shard.strong_count() > 0);
        }
        shards.push(Arc::downgrade(&shard));
        drop(shards);
        shard
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let (own, gone) = (&self.own, &self.all.gone);
        for (from, to) in [
            (&own.nanos, &gone.nanos),
            (&own.calls, &gone.calls),
            (&own.refused, &gone.refused),
            (&own.memory, &gone.memory),
        ] {
            to.fetch_add(from.load(Relaxed), Relaxed);
        }
    }
}

impl PartialEq for Usage {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Usage {}

impl Hash for Usage {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.used().fmt(f)
    }
}

/// Bytes of memory that a VM has, as they count for a plugin until the VM is dropped.
#[derive(Debug)]
pub(crate) struct MemoryCharge {
    usage: Usage,
    bytes: u64,
}

impl MemoryCharge {
    pub(crate) fn new(usage: Usage) -> Self {
        Self { usage, bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        // The sum wraps: it is less by what is taken off.
        self.usage.memory(bytes.wrapping_sub(std::mem::replace(&mut self.bytes, bytes)));
    }
}

impl Drop for MemoryCharge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// When a VM's part of a worker has made up for its callbacks. VMs of one snapshot have one together.
#[derive(Debug, Default)]
pub(crate) struct CpuBudget {
    paid: AtomicU64,
    told: AtomicBool,
}

/// A VM may be ahead of its part by as much as that is in a second.
const AHEAD: u64 = 1_000_000_000;

impl CpuBudget {
    /// Notes a callback that took so long, in nanoseconds, until now.
    pub(crate) fn spend(&self, share: Percent, took: u64, now: u64) {
        let whole = share.whole(Duration::from_nanos(took));
        let from = self.paid.load(Relaxed).max(now.saturating_sub(took));
        self.paid.store(from.saturating_add(u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX)), Relaxed);
    }

    /// Returns whether nothing may be called now.
    pub(crate) fn is_spent(&self, now: u64) -> bool {
        self.paid.load(Relaxed) > now.saturating_add(AHEAD)
    }

    /// Returns whether this is the first time that it is to be said.
    pub(crate) fn is_first(&self) -> bool {
        !self.told.swap(true, Relaxed)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn shards_count_together_also_when_they_are_gone() {
        let clock = CoarseClock::default();
        let usage = Usage::new(clock.clone());
        assert!(usage.is_alone());
        let (one, other) = (usage.shard(), usage.shard());
        assert!(!usage.is_alone());
        let began = one.now();
        clock.set(Duration::from_millis(4));
        assert_eq!((one.called(began), other.called(began), other.called(other.now())), (4_000_000, 4_000_000, 0));
        let mut memory = MemoryCharge::new(other.clone());
        memory.set(10);
        memory.set(7);
        one.refused();
        let expected = Used { cpu: Duration::from_millis(8), calls: 3, refused: 1, memory: 7 };
        assert_eq!(usage.used(), expected);
        drop(one);
        assert_eq!(usage.used(), expected);
        drop((memory, other));
        assert_eq!(usage.used(), Used { memory: 0, ..expected });
        assert!(usage.is_alone());
        let clone = usage.clone();
        assert!(!usage.is_alone());
        drop(clone);
        assert_eq!(usage.0.as_ref().unwrap().all.shards.lock().unwrap().len(), 1);
        assert_eq!((Usage::default().used(), Usage::default().called(0)), (Used::default(), 0));
    }

    #[test]
    fn shards_that_are_gone_leave_nothing_though_nobody_asks_for_the_sums() {
        let usage = Usage::new(CoarseClock::default());
        let kept: Vec<_> = (0..10).map(|_| usage.shard()).collect();
        for _ in 0..1377 {
            usage.shard().called(0);
        }
        let listed = usage.0.as_ref().unwrap().all.shards.lock().unwrap().len();
        assert!(listed <= 2 * (kept.len() + 1), "{listed} shards are listed");
        assert_eq!(usage.used().calls, 1377);
        assert!(!usage.is_alone());
    }

    #[test]
    fn a_budget_is_a_part_of_each_second() {
        let (budget, half) = (CpuBudget::default(), Percent::new(50).unwrap());
        const MS: u64 = 1_000_000;
        budget.spend(half, 500 * MS, 500 * MS);
        assert!(!budget.is_spent(500 * MS), "what it has in a second may come at once");
        budget.spend(half, 600 * MS, 1100 * MS);
        assert!(budget.is_spent(1100 * MS), "2200 ms have to pass for 1100");
        assert!(budget.is_spent(1199 * MS) && !budget.is_spent(1200 * MS));
        budget.spend(half, 100 * MS, 60_000 * MS);
        assert!(!budget.is_spent(60_000 * MS), "what was not used is not kept, nor is it owed");
        assert!(budget.is_first() && !budget.is_first());
    }
}
