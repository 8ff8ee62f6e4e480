//! How long a plugin with a VM for each stream rests when streams have spent their deadline.
//!
//! | who spent it, within [`Backoff::max`] | who gets no VM, and for how long |
//! |---|---|
//! | one client's connection | that connection, for [`Backoff::base`], twice as long each time it happens again, up to [`Backoff::max`] |
//! | [`SEVERAL`] connections | every stream, the same way; a connection whose number is not known counts each time |

use std::time::Duration;

use super::places::UNKNOWN;
use crate::spec::Backoff;

/// How many connections have to spend deadlines before the plugin rests for all.
pub(super) const SEVERAL: usize = 3;

/// How many connections are remembered. When there are more, the plugin rests for all.
const MOST: usize = 64;

/// The connections that have spent deadlines of a plugin.
#[derive(Debug, Default)]
pub(super) struct Rests {
    /// At most [`MOST`], none twice but for [`UNKNOWN`].
    connections: Vec<(u64, Rest)>,
    all: Option<Rest>,
}

/// A rest, which begins when a deadline was spent.
#[derive(Clone, Copy, Debug)]
struct Rest {
    began: Duration,
    length: Duration,
}

/// The rests that begin because a deadline was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Began {
    /// The rest of the connection; none while it rests already, and where its number is not known.
    pub(super) connection: Option<Duration>,
    /// The rest of the plugin; none while it rests already.
    pub(super) all: Option<Duration>,
}

/// Why no VM is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resting {
    /// The stream's connection rests, for so long.
    Connection(Duration),
    /// The plugin does.
    All(Duration),
}

impl Rests {
    /// Notes that a stream of a connection has spent its deadline.
    pub(super) fn spend(&mut self, connection: u64, now: Duration, backoff: Backoff) -> Began {
        self.connections.retain(|(_, rest)| !rest.is_forgotten(now, backoff));
        let known = self.connections.iter_mut().find(|(of, _)| *of == connection && connection != UNKNOWN);
        let mut began = Began::default();
        match known {
            Some((_, rest)) => began.connection = rest.again(now, backoff),
            None => {
                if self.connections.len() >= MOST {
                    let oldest = self.connections.iter().enumerate().min_by_key(|(_, (_, rest))| rest.began);
                    if let Some(index) = oldest.map(|(index, _)| index) {
                        self.connections.swap_remove(index);
                    }
                }
                self.connections.push((connection, Rest { began: now, length: backoff.base }));
                began.connection = Some(backoff.base).filter(|_| connection != UNKNOWN);
            }
        }
        let of_late = |(_, rest): &&(u64, Rest)| now.saturating_sub(rest.began) < backoff.max;
        if self.connections.iter().filter(of_late).count() >= SEVERAL {
            began.all = match &mut self.all {
                Some(rest) => rest.again(now, backoff),
                all => all.insert(Rest { began: now, length: backoff.base }).left(now),
            };
        }
        began
    }

    /// Returns true unless nobody has spent a deadline yet.
    pub(super) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.all.is_none()
    }

    /// Says whether a stream of a connection gets no VM now.
    pub(super) fn resting(&self, connection: u64, now: Duration) -> Option<Resting> {
        let all = self.all.and_then(|rest| rest.left(now)).map(Resting::All);
        all.or_else(|| {
            let mut of = self.connections.iter().filter(|(of, _)| *of == connection && connection != UNKNOWN);
            of.next().and_then(|(_, rest)| rest.left(now)).map(Resting::Connection)
        })
    }
}

impl Rest {
    /// Begins anew, twice as long; says how long, if it was over.
    fn again(&mut self, now: Duration, backoff: Backoff) -> Option<Duration> {
        let is_over = self.left(now).is_none();
        if is_over {
            let doubled = self.length.saturating_mul(2).min(backoff.max);
            self.length = if self.is_forgotten(now, backoff) { backoff.base } else { doubled };
        }
        self.began = now;
        is_over.then_some(self.length)
    }

    fn left(&self, now: Duration) -> Option<Duration> {
        Some(self.length.saturating_sub(now.saturating_sub(self.began))).filter(|left| !left.is_zero())
    }

    fn is_forgotten(&self, now: Duration, backoff: Backoff) -> bool {
        now.saturating_sub(self.began) >= self.length.saturating_add(backoff.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(4) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_connection_rests_alone() {
        let mut rests = Rests::default();
        assert_eq!(rests.spend(7, at(0), BACKOFF), Began { connection: Some(at(1)), all: None });
        assert_eq!(rests.spend(7, at(0), BACKOFF), Began::default(), "it rests already");
        assert_eq!(rests.resting(7, at(0)), Some(Resting::Connection(at(1))));
        assert_eq!((rests.resting(8, at(0)), rests.resting(7, at(1))), (None, None));
        for (now, length) in [(1, 2), (3, 4), (7, 4), (15, 1)] {
            assert_eq!(rests.spend(7, at(now), BACKOFF), Began { connection: Some(at(length)), all: None }, "{now}");
        }
    }

    #[test]
    fn several_connections_have_all_rest_while_they_are_of_late() {
        let mut rests = Rests::default();
        rests.spend(1, at(0), BACKOFF);
        rests.spend(2, at(1), BACKOFF);
        assert_eq!(rests.spend(3, at(4), BACKOFF).all, None, "the first was too long ago");
        assert_eq!(rests.spend(4, at(4), BACKOFF).all, Some(at(1)));
        assert_eq!(rests.resting(9, at(4)), Some(Resting::All(at(1))));
        assert_eq!(rests.resting(9, at(5)), None);
        assert_eq!(rests.spend(5, at(5), BACKOFF).all, Some(at(2)));
    }

    #[test]
    fn a_connection_without_a_number_counts_each_time_and_rests_with_all_alone() {
        let mut rests = Rests::default();
        assert_eq!(rests.spend(UNKNOWN, at(0), BACKOFF), Began::default());
        rests.spend(UNKNOWN, at(0), BACKOFF);
        assert_eq!(rests.resting(UNKNOWN, at(0)), None);
        assert_eq!(rests.spend(UNKNOWN, at(0), BACKOFF).all, Some(at(1)));
        assert_eq!(rests.resting(UNKNOWN, at(0)), Some(Resting::All(at(1))));
    }

    #[test]
    fn no_more_connections_are_remembered_than_there_is_room_for() {
        let mut rests = Rests::default();
        for connection in 1..10_000 {
            rests.spend(connection, at(0), BACKOFF);
        }
        assert_eq!(rests.connections.len(), MOST);
        rests.spend(1, at(8), BACKOFF);
        assert_eq!(rests.connections.len(), 1, "what is forgotten makes room");
    }
}
