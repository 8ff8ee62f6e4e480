//! Parts of a whole.

use std::fmt;
use std::time::Duration;

/// A part of a whole, from 1 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100);

    /// Returns the part of so many hundredths; `None` for 0 and for more than 100.
    pub const fn new(hundredths: u8) -> Option<Self> {
        if hundredths == 0 || hundredths > 100 { None } else { Some(Self(hundredths)) }
    }

    /// Returns how many hundredths it is.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns this part of a time.
    pub fn of(self, whole: Duration) -> Duration {
        whole.saturating_mul(self.0.into()) / 100
    }

    /// Returns the time of which this one is this part.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use portcullis_core::model::Percent;
    ///
    /// let fifth = Percent::new(20).ok_or("1 to 100")?;
    /// assert_eq!(fifth.of(Duration::from_millis(50)), Duration::from_millis(10));
    /// assert_eq!(fifth.whole(Duration::from_millis(10)), Duration::from_millis(50));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn whole(self, part: Duration) -> Duration {
        part.saturating_mul(100) / u32::from(self.0.max(1))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_its_whole() {
        assert_eq!((Percent::new(0), Percent::new(101), Percent::new(100)), (None, None, Some(Percent::ALL)));
        let (fifth, second) = (Percent(20), Duration::from_secs(1));
        assert_eq!((fifth.of(second), fifth.whole(second)), (second / 5, second * 5));
        assert_eq!(Percent(1).whole(Duration::MAX), Duration::MAX / 1);
        assert_eq!(fifth.to_string(), "20%");
    }
}
