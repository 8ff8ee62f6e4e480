//! When VMs are recycled: when another VM takes the place of one that works, and what remains of the old one ends.
//!
//! | a VM | is due | what is done then |
//! |---|---|---|
//! | active, past [`Recycle::memory`] or [`Recycle::streams`] | now, or when it has run for its pause | another one takes its place |
//! | active, and there is [`Recycle::age`] | at that age, less a part of up to a tenth that differs from VM to VM, or when it has run for its pause | the same |
//! | active, and the other one did not start | when it has rested, each time twice as long | it is tried again |
//! | active, and [`MOST_OLD`] that were recycled are there | when the first of those has lingered, or one has gone | the same |
//! | draining, since it was recycled | after [`Recycle::linger`] | its streams are answered by the failure policy, and its roots are asked to end |
//! | ending, since it has lingered | [`LAST_WORDS`] later | it goes; before, if its roots have ended and its callouts are answered |
//!
//! The pause keeps a VM that is past its bound right after its start from being replaced all the time. It is the plugin's
//! [`Backoff`]: `base`, and twice as long with each VM that was past a bound before its pause was over, up to `max`; at least [`LEAST_PAUSE`].

use std::fmt;
use std::time::Duration;

use portcullis_core::sandbox::Recycle;

use crate::spec::Backoff;

/// The least time that a VM runs before another one takes its place.
pub(super) const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// How long plugins of a VM that has lingered have to send what they still have.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many VMs of a sandbox may be there that were recycled. While they are, the one that is active stays: no stream ends before it has
/// lingered because others have begun.
pub(super) const MOST_OLD: usize = 2;

/// Why a VM is recycled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The bytes of memory that it has.
    Memory(usize),
    /// The age that it may have.
    Age,
    /// The number of streams that have begun in it.
    Streams,
}

/// How far one VM is from being recycled.
#[derive(Debug)]
pub(super) struct Recycling {
    bounds: Recycle,
    /// [`Recycle::age`] less its own part.
    age: Option<Duration>,
    started_at: Duration,
    /// How long it runs at least.
    pause: Duration,
    /// Streams that have begun.
    streams: u64,
    /// The streams after which it is recycled; 0 for no bound.
    most_streams: u64,
    /// The bound that it has passed.
    passed: Option<Reason>,
    /// A bound was passed before the pause was over.
    was_early: bool,
    /// When it was last tried to start another one, and how long to wait since.
    refused: Option<(Duration, Duration)>,
    /// Until when it waits at most for one to go that was recycled before.
    waits_until: Option<Duration>,
    told_of_waiting: bool,
    /// When it was recycled.
    recycled_at: Option<Duration>,
    /// When it goes, since it has lingered.
    goes_at: Option<Duration>,
}

impl Recycling {
    /// Begins for a VM that has been started now. `pause` is how long it runs at least; `part` says by how much of a tenth its age is less
    /// than the bound: VMs that were started together are not to be replaced together.
    pub(super) fn new(bounds: &Recycle, started_at: Duration, pause: Duration, part: u16) -> Self {
        let age = bounds.age.map(|age| age.saturating_sub(age / 10 / (1 << 16) * u32::from(part)));
        Self {
            age,
            bounds: bounds.clone(),
            started_at,
            pause,
            streams: 0,
            most_streams: bounds.streams.unwrap_or_default(),
            passed: None,
            was_early: false,
            refused: None,
            waits_until: None,
            told_of_waiting: false,
            recycled_at: None,
            goes_at: None,
        }
    }

    /// Notes that a stream begins; says whether the VM is to be recycled now because of it.
    #[inline]
    pub(super) fn begin_stream(&mut self) -> bool {
        self.streams = self.streams.wrapping_add(1);
        self.streams == self.most_streams
    }

    /// Notes that a bound has been passed. Returns how long the VM still runs at least, if that is news and it has to.
    pub(super) fn pass(&mut self, reason: Reason, now: Duration) -> Option<Duration> {
        if self.passed.is_some() {
            return None;
        }
        self.passed = Some(reason);
        let left = self.earliest().saturating_sub(now);
        self.was_early = !left.is_zero();
        self.was_early.then_some(left)
    }

    /// Returns when something is to be done about the VM.
    pub(super) fn due(&self) -> Option<Duration> {
        if self.goes_at.is_some() {
            return self.goes_at;
        }
        if let Some(at) = self.recycled_at {
            return Some(at.saturating_add(self.bounds.linger));
        }
        if self.waits_until.is_some() {
            return self.waits_until;
        }
        if let Some((at, rest)) = self.refused {
            return Some(at.saturating_add(rest));
        }
        let passed = self.passed.map(|_| self.started_at);
        let age = self.age.map(|age| self.started_at.saturating_add(age));
        let first = [passed, age].into_iter().flatten().min()?;
        Some(first.max(self.earliest()))
    }

    /// Returns why the VM is recycled, if it is due.
    pub(super) fn reason(&self) -> Reason {
        self.passed.unwrap_or(Reason::Age)
    }

    /// Returns how long the VM that takes its place runs at least.
    pub(super) fn next_pause(&self, backoff: Backoff) -> Duration {
        match self.was_early {
            true => self.pause.saturating_mul(2).min(backoff.max.max(LEAST_PAUSE)),
            false => first_pause(backoff),
        }
    }

    /// Notes that another one did not start. Returns how long to wait, and whether it is the first time.
    pub(super) fn refuse(&mut self, now: Duration, backoff: Backoff) -> (Duration, bool) {
        let longest = backoff.max.max(LEAST_PAUSE);
        let rest = self.refused.map_or_else(|| first_pause(backoff), |(_, rest)| rest.saturating_mul(2)).min(longest);
        let is_first = self.refused.is_none();
        self.refused = Some((now, rest));
        (rest, is_first)
    }

    /// Notes that it waits for one to go that was recycled before, at most until then; says whether that is to be told, once.
    pub(super) fn wait(&mut self, until: Duration) -> bool {
        self.waits_until = Some(until);
        !std::mem::replace(&mut self.told_of_waiting, true)
    }

    /// Notes that it waits for none to go any more.
    pub(super) fn wait_no_more(&mut self) {
        self.waits_until = None;
    }

    /// Notes that another one has taken its place.
    pub(super) fn replaced(&mut self, now: Duration) {
        self.recycled_at = Some(now);
    }

    /// Notes that it has lingered, and goes soon; says whether that is news.
    pub(super) fn end(&mut self, now: Duration) -> bool {
        let is_first = self.goes_at.is_none();
        self.goes_at.get_or_insert_with(|| now.saturating_add(LAST_WORDS));
        is_first
    }

    pub(super) fn was_recycled(&self) -> bool {
        self.recycled_at.is_some()
    }

    pub(super) fn linger(&self) -> Duration {
        self.bounds.linger
    }

    /// Words why the VM is recycled.
    pub(super) fn words(&self, reason: Reason) -> Words<'_> {
        Words { bounds: &self.bounds, age: self.age, reason }
    }

    fn earliest(&self) -> Duration {
        self.started_at.saturating_add(self.pause)
    }
}

/// Returns how long a VM runs at least that has taken the place of none.
pub(super) fn first_pause(backoff: Backoff) -> Duration {
    backoff.base.max(LEAST_PAUSE)
}

/// Words of a bound that was passed.
pub(super) struct Words<'r> {
    bounds: &'r Recycle,
    age: Option<Duration>,
    reason: Reason,
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Memory(bytes) => {
                let bound = self.bounds.memory.unwrap_or_default();
                write!(f, "its memory, {bytes} bytes, is past recycle.memory ({bound} bytes)")
            }
            Reason::Age => {
                let (age, bound) = (self.age.unwrap_or_default(), self.bounds.age.unwrap_or_default());
                write!(f, "it has run for {age:?} (recycle.age, {bound:?}, less up to 10 %)")
            }
            Reason::Streams => {
                write!(f, "{} streams have begun in it (recycle.streams)", self.bounds.streams.unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { base: Duration::from_secs(2), max: Duration::from_secs(5) };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn bounds() -> Recycle {
        Recycle::default().with_memory(10).with_age(at(100)).with_streams(2).with_linger(at(7))
    }

    #[test]
    fn a_vm_is_due_at_its_age_or_when_it_passes_a_bound_and_not_before_its_pause_is_over() {
        let mut recycling = Recycling::new(&bounds(), at(10), first_pause(BACKOFF), 0);
        assert_eq!((recycling.due(), recycling.reason()), (Some(at(110)), Reason::Age));
        assert!(!recycling.begin_stream() && recycling.begin_stream() && !recycling.begin_stream());
        assert_eq!(recycling.pass(Reason::Streams, at(50)), None, "it has run for long");
        assert_eq!(recycling.pass(Reason::Memory(11), at(51)), None, "once");
        assert_eq!((recycling.due(), recycling.reason()), (Some(at(12)), Reason::Streams));
        assert_eq!(recycling.next_pause(BACKOFF), at(2));
        recycling.replaced(at(60));
        assert_eq!((recycling.due(), recycling.was_recycled()), (Some(at(67)), true));
        assert!(recycling.end(at(68)) && !recycling.end(at(70)));
        assert_eq!(recycling.due(), Some(at(68) + LAST_WORDS));
        let unbounded = Recycling::new(&Recycle::default(), at(10), at(1), 0);
        assert_eq!(unbounded.due(), None);
    }

    #[test]
    fn ages_differ_by_up_to_a_tenth() {
        let due = |part| Recycling::new(&bounds(), at(10), at(1), part).due();
        let [none, half, most] = [0, 1 << 15, u16::MAX].map(due);
        assert_eq!(none, Some(at(110)));
        assert!(half > Some(at(104)) && half < Some(at(106)), "{half:?}");
        assert!(most > Some(at(100)) && most < Some(at(101)), "{most:?}");
    }

    #[test]
    fn who_is_past_a_bound_early_runs_twice_as_long_each_time() {
        let mut pause = first_pause(BACKOFF);
        for (left, next) in [(2, 4), (4, 5), (5, 5)] {
            let mut recycling = Recycling::new(&bounds(), at(10), pause, 0);
            assert_eq!(recycling.pass(Reason::Memory(11), at(10)), Some(at(left)));
            assert_eq!(recycling.due(), Some(at(10 + left)));
            pause = recycling.next_pause(BACKOFF);
            assert_eq!(pause, at(next));
        }
        assert_eq!(first_pause(Backoff::new(Duration::ZERO, Duration::ZERO)), LEAST_PAUSE);
    }

    #[test]
    fn a_start_that_was_refused_is_tried_again_after_a_rest() {
        let mut recycling = Recycling::new(&bounds(), at(10), at(1), 0);
        recycling.pass(Reason::Memory(11), at(20));
        assert_eq!(recycling.refuse(at(20), BACKOFF), (at(2), true));
        assert_eq!(recycling.due(), Some(at(22)));
        assert_eq!(recycling.refuse(at(22), BACKOFF), (at(4), false));
        assert_eq!(recycling.refuse(at(26), BACKOFF), (at(5), false));
        assert_eq!(recycling.due(), Some(at(31)));
    }

    #[test]
    fn while_it_waits_for_others_to_go_nothing_else_counts() {
        let mut recycling = Recycling::new(&bounds(), at(10), at(1), 0);
        recycling.pass(Reason::Memory(11), at(20));
        recycling.refuse(at(20), BACKOFF);
        assert!(recycling.wait(at(50)) && recycling.due() == Some(at(50)));
        assert!(!recycling.wait(at(60)) && recycling.due() == Some(at(60)), "told once");
        recycling.wait_no_more();
        assert_eq!(recycling.due(), Some(at(22)));
    }
}
