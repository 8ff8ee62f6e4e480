//! Limits on the rate, the number in flight and the bytes of calls. What is counted here is counted for all VMs of a
//! plugin together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Allows N in a period, all of them at once if nothing was taken before (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct RateLimiter {
    amount: u64,
    /// In nanoseconds.
    period: u64,
    /// When all that was taken is made good.
    settled: AtomicU64,
}

impl RateLimiter {
    /// Makes a rate of `amount` in `period` nanoseconds.
    pub(crate) const fn new(amount: u64, period: u64) -> Self {
        Self { amount, period, settled: AtomicU64::new(0) }
    }

    /// Takes `count` at a time, in nanoseconds of a clock that never goes back; says whether there were so many.
    pub(crate) fn take(&self, count: u64, now: u64) -> bool {
        if self.amount == 0 {
            return count == 0;
        }
        let cost = (u128::from(count) * u128::from(self.period)).div_ceil(u128::from(self.amount));
        let Ok(cost) = u64::try_from(cost) else { return false };
        let taken = self.settled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |settled| {
            let after = settled.max(now).checked_add(cost)?;
            (after - now <= self.period).then_some(after)
        });
        taken.is_ok()
    }
}

impl RateLimiter {
    /// Returns whether it allows no more than another, neither at once nor in the long run.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let product = |amount: u64, period: u64| u128::from(amount) * u128::from(period);
        self.amount <= other.amount && product(self.amount, other.period) <= product(other.amount, self.period)
    }
}

/// Allows N at once.
#[derive(Clone, Debug)]
pub(crate) struct Semaphore {
    most: usize,
    taken: Arc<AtomicUsize>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Semaphore {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, taken: Arc::default() }
    }

    pub(crate) fn take(&self) -> Option<Permit> {
        let one_more = |taken| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Permit(Arc::clone(&self.taken)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Allows N bytes to be kept.
#[derive(Clone, Debug)]
pub(crate) struct ByteQuota {
    most: usize,
    kept: Arc<AtomicUsize>,
}

/// Bytes that are kept, until this is dropped.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: usize,
    of: Arc<AtomicUsize>,
}

impl ByteQuota {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Arc::default() }
    }

    /// Keeps so many bytes, in place of what may have been kept before; in one step, or other threads would find
    /// less room than there is.
    pub(crate) fn keep(&self, bytes: usize, before: Option<&mut Kept>) -> Option<Kept> {
        let before = before.filter(|kept| Arc::ptr_eq(&kept.of, &self.kept));
        let own = before.as_ref().map_or(0, |kept| kept.bytes);
        let fits = |kept: usize| kept.saturating_sub(own).checked_add(bytes).filter(|sum| *sum <= self.most);
        self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        if let Some(before) = before {
            before.bytes = 0;
        }
        Some(Kept { bytes, of: Arc::clone(&self.kept) })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_lets_through_its_amount_and_fills_again() {
        let flow = RateLimiter::new(2, 100);
        assert!(flow.take(1, 1000) && flow.take(1, 1000) && !flow.take(1, 1000));
        assert!(!flow.take(1, 1049) && flow.take(1, 1050) && !flow.take(1, 1050));
        assert!(flow.take(2, 9000) && !flow.take(1, 9000), "what was not used is not saved");
        assert!(!flow.take(3, 99_000), "more than its amount never passes");
        assert!(!RateLimiter::new(0, 100).take(1, 5));
        assert!(!RateLimiter::new(1, u64::MAX).take(u64::MAX, u64::MAX), "nothing overflows");
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let places = Semaphore::new(1);
        let place = places.take();
        assert!(place.is_some() && places.take().is_none());
        drop(place);
        assert!(places.take().is_some());
    }

    #[test]
    fn what_is_replaced_makes_room() {
        let store = ByteQuota::new(10);
        let mut first = store.keep(8, None);
        assert!(first.is_some() && store.keep(3, None).is_none());
        assert!(store.keep(11, first.as_mut()).is_none() && store.keep(3, None).is_none());
        let mut second = store.keep(9, first.as_mut());
        assert!(second.is_some());
        assert!(store.keep(1, None).is_some() && store.keep(2, None).is_none(), "nothing is counted twice");
        drop(first);
        assert!(store.keep(1, None).is_some() && store.keep(2, None).is_none());
        assert!(ByteQuota::new(10).keep(11, second.as_mut()).is_none(), "another's bytes make no room");
        drop(second);
        assert!(store.keep(10, None).is_some());
    }
}
