//! Resident memory over reloads.

use crate::tally::Counts;

/// Reloads in a row, and resident memory after each.
#[derive(Debug, Default)]
pub(crate) struct Steady {
    /// In bytes.
    pub(crate) memory: Vec<u64>,
    /// The results of requests meanwhile.
    pub(crate) tally: Counts,
}

/// Reloads below which a slope says nothing: resident memory goes up and down by a MiB.
const FEW: usize = 200;

/// The most bytes by which a reload may grow resident memory. Without a leak 300 reloads have shown up to 2 KiB each.
pub(crate) const MOST_GROWTH: f64 = 6144.0;

impl Steady {
    /// Returns by how many bytes a reload grows resident memory: the slope of the line with the least squares. None after few.
    pub(crate) fn growth(&self) -> Option<f64> {
        if self.memory.len() < FEW {
            return None;
        }
        let count = self.memory.len() as f64;
        let (middle, mean) = ((count - 1.0) / 2.0, self.memory.iter().map(|bytes| *bytes as f64).sum::<f64>() / count);
        let of = |(index, bytes): (usize, &u64)| {
            let from_middle = index as f64 - middle;
            (from_middle * (*bytes as f64 - mean), from_middle * from_middle)
        };
        let (both, own) = self.memory.iter().enumerate().map(of).fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        Some(both / own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory that goes up and down by a MiB, and grows by so much for each reload.
    fn steady(reloads: u64, growth: u64) -> Steady {
        let memory = (0..reloads).map(|reload| (60 << 20) + reload * growth + (reload * 7 % 11) * (95 << 10));
        Steady { memory: memory.collect(), tally: Counts::default() }
    }

    #[test]
    fn growth_is_told_from_noise() {
        let of = |growth| steady(300, growth).growth().unwrap_or(f64::NAN);
        assert!(of(0).abs() < 500.0, "{}", of(0));
        assert!((of(7680) - 7680.0).abs() < 500.0, "{}", of(7680));
        assert_eq!(steady(199, 7680).growth(), None);
        assert_eq!(Steady::default().growth(), None);
    }
}
