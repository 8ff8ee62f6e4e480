//! Histograms of a fixed size.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{GaugeFn, HistogramFn};

/// The upper bounds of all buckets but the last: from 1 to 10 million in steps of about 2.5, for sizes and for times in any unit.
pub(super) const BOUNDS: [f64; 20] =
    [1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 1e7];

/// Counts of samples by size, and their sum. No sample is kept: the type has no memory but its own, however many there are
/// and whether or not anybody scrapes.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// The bits of a floating-point number.
    sum: AtomicU64,
}

const _: () = assert!(!std::mem::needs_drop::<Buckets>(), "a histogram has no memory but its own");

impl Buckets {
    /// Returns the counts as they are now. Samples that are noted meanwhile may be in some of them and not in the sum.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut counts = [0; BOUNDS.len() + 1];
        counts.iter_mut().zip(&self.counts).for_each(|(count, now)| *count = now.load(Ordering::Relaxed));
        Snapshot { counts, sum: f64::from_bits(self.sum.load(Ordering::Relaxed)) }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        // What is no number is above all bounds.
        let bucket = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.increment(value);
    }
}

/// A histogram at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    counts: [u64; BOUNDS.len() + 1],
    pub(super) sum: f64,
}

impl Snapshot {
    /// Returns for each bound, and for infinity, how many samples are not above it.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts).scan(0_u64, |below, (bound, count)| {
            *below = below.wrapping_add(count);
            Some((bound, *below))
        })
    }
}

impl AddAssign for Snapshot {
    fn add_assign(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, other)| *count = count.wrapping_add(other));
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_in_the_first_bucket_that_holds_it() {
        let buckets = Buckets::default();
        for value in [0.0, 1.0, 1.5, 2.5, 1e7, 1e7 + 1.0, f64::NAN, f64::INFINITY] {
            buckets.record(value);
        }
        let snapshot = buckets.snapshot();
        let found = snapshot.cumulative().collect::<Vec<_>>();
        assert_eq!(found.first(), Some(&(1.0, 2)));
        assert_eq!(found.get(1), Some(&(2.5, 4)));
        assert_eq!(found.get(BOUNDS.len() - 1), Some(&(1e7, 5)));
        assert_eq!(found.last(), Some(&(f64::INFINITY, 8)));
    }

    #[test]
    fn samples_of_all_threads_are_counted_and_added_up() {
        const SAMPLES: u32 = 30_000;
        let buckets = Buckets::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..SAMPLES).for_each(|sample| buckets.record(f64::from(sample % 100))));
            }
        });
        let snapshot = buckets.snapshot();
        assert_eq!(snapshot.cumulative().last(), Some((f64::INFINITY, u64::from(4 * SAMPLES))));
        assert_eq!(snapshot.sum.to_bits(), (f64::from(4 * SAMPLES) * 49.5).to_bits());
    }
}
