//! Random bytes and clock readings that a VM took, which are never the same again. All VMs that begin in one state share them.

use std::fmt;

/// How often a VM drew what each draw makes anew, since its module was instantiated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Random bytes (`random_get`, AssemblyScript's `seed`).
    pub random: u64,
    /// Readings of a clock (`clock_time_get`, `proxy_get_current_time_nanoseconds`, AssemblyScript's `Date.now`).
    pub clock: u64,
}

impl Drawn {
    pub(crate) fn note_random(&mut self, bytes: usize) {
        self.random = self.random.saturating_add(bytes as u64);
    }

    pub(crate) fn note_clock(&mut self) {
        self.clock = self.clock.saturating_add(1);
    }
}

/// Such as `drew 16 random bytes and read the clock 2 times`; empty if it did neither.
impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        if self.random > 0 {
            write!(f, "drew {} random byte{}", self.random, plural(self.random))?;
        }
        if self.random > 0 && self.clock > 0 {
            f.write_str(" and ")?;
        }
        if self.clock > 0 {
            write!(f, "read the clock {} time{}", self.clock, plural(self.clock))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_part_of_a_sentence() {
        let shown = |random, clock| Drawn { random, clock }.to_string();
        assert_eq!(shown(0, 0), "");
        assert_eq!(shown(16, 0), "drew 16 random bytes");
        assert_eq!(shown(0, 1), "read the clock 1 time");
        assert_eq!(shown(1, 2), "drew 1 random byte and read the clock 2 times");
    }
}
