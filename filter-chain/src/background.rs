//! Guest calls that no stream waits for: ticks, items of queues, and answers to callouts of roots, or of streams that the plugin does not
//! hold when they come.
//!
//! A driver makes one at a time and polls IO between two. While IO waits, all of them together get a share of the worker,
//! and each plugin that makes such calls an equal part of the share:
//!
//! | | begins |
//! |---|---|
//! | no IO waits | when it is due |
//! | IO waits, the plugin's calls are short, and it has had no more than its part | when it is due |
//! | IO waits | when the share has made up for all calls before it |
//! | the same, and others have had less | a moment later, so that these come first |
//!
//! A call of time `t` is made up for `t / share` after it began; for the plugin's part of the share, `t / part`. Calls that IO did not
//! wait for are made up for as if each were alone. A plugin's calls are short if none of late took longer than [`SHORT`].
//!
//! IO waits while a stream is open, and if something came since the last of these calls: a stream, or what
//! [`Worker::note_io`](crate::Worker::note_io) tells of.

use std::time::Duration;

use portcullis_core::model::Percent;

/// A call of up to so long need not wait for the calls of others to be made up for.
const SHORT: Duration = Duration::from_millis(1);

/// By how much a plugin that has had more than its part lets others go first.
const GIVES_WAY: Duration = Duration::from_millis(1);

/// Time for which an unused part of the share counts: else short calls without end would never let one begin that gives way.
const KEPT: Duration = Duration::from_millis(2);

/// The part of a worker for these calls, if nobody sets another one.
pub(crate) const DEFAULT_SHARE: Percent = match Percent::new(20) {
    Some(share) => share,
    None => Percent::ALL,
};

/// Time that all plugins have had.
#[derive(Debug)]
pub(crate) struct Background {
    share: Percent,
    /// When the share has made up for all calls.
    paid: Duration,
    /// Something came since the last call.
    io_came: bool,
}

/// Time that one plugin has had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// When its part of the share has made up for its calls.
    paid: Duration,
    /// The longest of its calls of late; before the first, it may be as long as can be.
    longest: Duration,
    /// True while the plugin waits and the host has been told.
    is_throttled: bool,
}

impl Default for Background {
    fn default() -> Self {
        Self { share: DEFAULT_SHARE, paid: Duration::ZERO, io_came: false }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { paid: Duration::ZERO, longest: Duration::MAX, is_throttled: false }
    }
}

impl Background {
    pub(crate) fn set_share(&mut self, share: Percent) {
        self.share = share;
    }

    /// Notes that something has come that a client or an upstream waits for.
    #[inline]
    pub(crate) fn note_io(&mut self) {
        self.io_came = true;
    }

    /// Says whether something came since the last call.
    pub(crate) fn has_io(&self) -> bool {
        self.io_came
    }

    /// Returns when a call of a plugin that is due may begin, while IO waits.
    pub(crate) fn begins(&self, account: &Account, due: Duration) -> Duration {
        let is_over = account.paid > self.paid.saturating_add(KEPT);
        let begins = match account.longest <= SHORT {
            true => self.paid.min(account.paid),
            false if is_over => self.paid.saturating_add(GIVES_WAY),
            false => self.paid,
        };
        begins.max(due)
    }

    /// Notes a call. `plugins` is how many share.
    pub(crate) fn charge(
        &mut self,
        account: &mut Account,
        (begin, end): (Duration, Duration),
        plugins: u32,
        io_waits: bool,
    ) {
        let took = end.saturating_sub(begin);
        let whole = self.share.whole(took);
        let from = |paid: Duration, earliest: Duration| if io_waits { paid.max(earliest) } else { begin };
        self.paid = from(self.paid, begin.saturating_sub(KEPT)).saturating_add(whole);
        // However short a call is, others have had less.
        let part = whole.saturating_mul(plugins).max(Duration::from_nanos(1));
        account.paid = from(account.paid, begin).saturating_add(part);
        account.longest = match account.longest {
            Duration::MAX => took,
            // Half of it is left after 44 short ones.
            longest => took.max(longest - longest / 64),
        };
        account.is_throttled = false;
        self.io_came = false;
    }
}

impl Account {
    /// Returns when the plugin's part of the share has made up for its calls.
    pub(crate) fn paid(&self) -> Duration {
        self.paid
    }

    /// Says whether a plugin waits, from now on, because it has had more than its part.
    pub(crate) fn begins_to_wait(&mut self, now: Duration, begins: Duration) -> bool {
        begins > now && self.paid > now && !std::mem::replace(&mut self.is_throttled, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after_call(account: &mut Account, took: Duration, plugins: u32, io_waits: bool) -> Background {
        let mut background = Background::default();
        background.charge(account, (100 * MS, 100 * MS + took), plugins, io_waits);
        background
    }

    #[test]
    fn a_share_makes_up_for_a_call() {
        let mut account = Account::default();
        let background = after_call(&mut account, 40 * MS, 1, true);
        assert_eq!(background.begins(&account, 101 * MS), 298 * MS, "40 ms are 20 % of 200 ms; 2 ms were left before");
        assert_eq!(background.begins(&account, 301 * MS), 301 * MS);
    }

    #[test]
    fn who_has_had_more_than_a_part_gives_way() {
        let (mut account, fresh) = (Account::default(), Account::default());
        let background = after_call(&mut account, 40 * MS, 2, true);
        assert_eq!(background.begins(&fresh, Duration::ZERO), 298 * MS);
        assert_eq!(background.begins(&account, Duration::ZERO), 299 * MS);
    }

    #[test]
    fn short_calls_of_others_need_not_wait() {
        let (mut long, mut short) = (Account::default(), Account::default());
        let mut background = Background::default();
        background.charge(&mut short, (99 * MS, 100 * MS), 2, false);
        background.charge(&mut long, (100 * MS, 140 * MS), 2, true);
        assert_eq!(background.begins(&short, 150 * MS), 150 * MS);
        background.charge(&mut short, (150 * MS, 151 * MS), 2, true);
        assert_eq!(background.begins(&short, 151 * MS), 160 * MS, "its part has to make up for its own");
        background.charge(&mut short, (160 * MS, 200 * MS), 2, true);
        for _ in 0..200 {
            background.charge(&mut short, (1000 * MS, 1000 * MS), 2, true);
        }
        assert!(short.longest > SHORT, "one that was long is not forgotten soon: {:?}", short.longest);
    }

    #[test]
    fn calls_that_nobody_waited_for_are_no_debt() {
        let mut account = Account::default();
        let mut background = after_call(&mut account, 40 * MS, 1, false);
        for turn in 1..50 {
            background.charge(&mut account, (turn * 40 * MS, (turn + 1) * 40 * MS), 1, false);
        }
        assert_eq!(background.begins(&account, Duration::ZERO), 49 * 40 * MS + 200 * MS);
    }
}
