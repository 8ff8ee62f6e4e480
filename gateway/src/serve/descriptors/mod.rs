//! The file descriptors of the process: how many it may have, and for what.

mod bounds;

pub(crate) use self::bounds::{Bounds, Wishes, admin_connections};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most descriptors that are counted on, where the system sets no limit or one beyond any use.
const MOST: u64 = 1 << 20;

/// The limit that is tried when the hard one is refused: macOS takes no more than `OPEN_MAX` (10,240) unless it is told
/// otherwise, whatever hard limit it names.
const FALLBACKS: [u64; 2] = [MOST, 10_240];

/// The limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// The soft limit before.
    pub from: u64,
    /// The soft limit now.
    pub to: u64,
}

/// Raises the soft limit of descriptors to the hard one, as Envoy does. No more can be had without privileges.
pub fn raise() -> Raised {
    let from = limit();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    for wanted in candidates(from, maximum) {
        if setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_ok() {
            break;
        }
    }
    Raised { from, to: limit() }
}

/// Returns the soft limit in force, at most a million.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.map_or(MOST, |limit| limit.min(MOST))
}

/// Returns the number of open descriptors; a guess where the system does not say.
pub(crate) fn open() -> u64 {
    const GUESS: u64 = 64;
    std::fs::read_dir("/dev/fd").map_or(GUESS, |open| open.count() as u64)
}

/// Returns the soft limits to try, in order: the hard limit, then what systems take that refuse it. None is below the one in force.
fn candidates(soft: u64, hard: Option<u64>) -> impl Iterator<Item = Option<u64>> {
    let below_hard = move |limit: &u64| *limit > soft && hard.is_none_or(|hard| *limit < hard);
    let first = Some(hard).filter(|hard| hard.is_none_or(|hard| hard > soft));
    first.into_iter().chain(FALLBACKS.into_iter().filter(below_hard).map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_is_tried_first_and_no_limit_is_lowered() {
        let tried = |soft, hard| candidates(soft, hard).collect::<Vec<_>>();
        assert_eq!(tried(1024, Some(4096)), [Some(4096)]);
        assert_eq!(tried(1024, Some(20_000)), [Some(20_000), Some(10_240)]);
        assert_eq!(tried(256, None), [None, Some(MOST), Some(10_240)]);
        assert_eq!(tried(MOST, None), [None], "as macOS has it when `launchctl limit` was used");
        assert_eq!(tried(4096, Some(4096)), []);
    }

    #[test]
    fn raising_twice_changes_nothing() {
        let first = raise();
        assert!(first.to >= first.from, "{first:?}");
        assert_eq!(raise(), Raised { from: first.to, to: first.to });
    }
}
