//! Lines that wait to be written, and the treatment of lines for which there is no room.
//!
//! | while there is no room | lines of plugins | lines of the gateway |
//! |---|---|---|
//! | `--log-when-full drop` | are dropped | wait, at most a second |
//! | `--log-when-full wait` | wait | wait, at most a second |
//! | when the gateway stops | are dropped | are dropped |
//!
//! The second begins when there is no room for the first line: where the log is not read, a second is lost once and not with each
//! line. Lines of plugins do not take the last quarter of the room.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::observe::log::dropped::Dropped;
use crate::observe::log::line::without_control;
use crate::observe::log::targets::{LOG, PLUGIN};

/// Bytes that may wait to be written.
pub(super) const MOST: usize = 1 << 20;

/// Bytes of these that lines of plugins may take.
const MOST_OF_PLUGINS: usize = MOST / 4 * 3;

/// Maximum time that a line of the gateway waits for room.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time for which lines are gathered before they are written; a process that is killed loses so much, and what a slow reader has
/// not taken. A thread that were woken for each line would cost the worker more than the line does.
const GATHER: Duration = Duration::from_millis(10);

/// Treatment of lines of plugins while the reader of the log does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// They wait, and the worker with them.
    Wait,
    /// They are dropped, and counted.
    #[default]
    Drop,
}

/// The origin of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Plugin,
    Gateway,
    /// The log's own line about dropped lines, for which there is always room.
    Log,
}

/// Lines that wait to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(pub(super) Arc<Shared>);

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    when_full: WhenFull,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes those who wait for room.
    room: Condvar,
    /// Wakes who waits for the thread to write the rest.
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// True if the thread waits for a line and was not woken.
    asleep: bool,
    /// The time since which there is no room.
    full_since: Option<Instant>,
    /// Number of lines of plugins that wait for room.
    plugins_wait: usize,
    /// Nobody waits for room any more.
    hurried: bool,
    /// The thread is to end.
    closed: bool,
    /// The thread has written all.
    ended: bool,
    /// Number of writes of the thread.
    written: u64,
    dropped: Dropped,
    /// The dropped lines that the log has reported.
    told: Dropped,
}

impl Waiting {
    pub(super) fn new(when_full: WhenFull) -> Self {
        Self(Arc::new(Shared { when_full, ..Shared::default() }))
    }

    /// Adds a line, whole.
    pub(super) fn push(&self, line: &[u8], of: Of) {
        self.0.push(line, of);
    }

    /// Ends all waiting for room, because the gateway stops.
    pub(crate) fn hurry(&self) {
        lock(&self.0.state).hurried = true;
        self.0.room.notify_all();
    }

    /// Returns the number of dropped lines.
    pub(crate) fn dropped(&self) -> Dropped {
        lock(&self.0.state).dropped
    }

    /// Returns true if workers have been waiting for room for a second.
    pub(crate) fn holds_workers_up(&self) -> bool {
        let state = lock(&self.0.state);
        state.plugins_wait > 0 && state.full_since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }

    /// Adds the last lines, and waits until all has been written, as long as the reader takes something every second. Says whether
    /// it has.
    pub(super) fn finish(&self, last: &[u8]) -> bool {
        let mut state = lock(&self.0.state);
        state.lines.extend_from_slice(last);
        (state.closed, state.hurried) = (true, true);
        self.0.work.notify_one();
        self.0.room.notify_all();
        while !state.ended {
            let written = state.written;
            let same = |state: &mut State| !state.ended && state.written == written;
            state = recover(self.0.progress.wait_timeout_while(state, PATIENCE, same)).0;
            if state.written == written {
                break;
            }
        }
        state.ended
    }
}

impl Shared {
    /// Waits for lines, gathers more, and takes them all into an empty `taken`; false if there will be none.
    pub(super) fn take(&self, taken: &mut Vec<u8>) -> bool {
        let mut state = lock(&self.state);
        while state.lines.is_empty() {
            if state.closed {
                return false;
            }
            state.asleep = true;
            state = recover(self.work.wait(state));
        }
        state.asleep = false;
        if !state.closed {
            state =
                recover(self.work.wait_timeout_while(state, GATHER, |state| !state.closed && !state.is_half_full())).0;
        }
        std::mem::swap(&mut state.lines, taken);
        state.full_since = None;
        drop(state);
        self.room.notify_all();
        true
    }

    /// Notes that something was written; returns the lines dropped since the last report.
    pub(super) fn wrote(&self) -> Option<Dropped> {
        let mut state = lock(&self.state);
        state.written += 1;
        self.progress.notify_all();
        let now = state.dropped;
        let told = std::mem::replace(&mut state.told, now);
        let since = Dropped { plugins: now.plugins - told.plugins, gateway: now.gateway - told.gateway };
        Some(since).filter(|since| *since != Dropped::default())
    }

    /// Notes that all has been written.
    pub(super) fn ended(&self) {
        lock(&self.state).ended = true;
        self.progress.notify_all();
    }

    fn push(&self, line: &[u8], of: Of) {
        let mut state = lock(&self.state);
        if !state.has_room(line, of) {
            state = self.wait_for_room(state, line, of);
            if !state.has_room(line, of) {
                return state.drop_line(of);
            }
        }
        if state.closed {
            return;
        }
        let was_half_full = state.is_half_full();
        state.lines.extend_from_slice(line);
        if std::mem::take(&mut state.asleep) || (state.is_half_full() && !was_half_full) {
            self.work.notify_one();
        }
    }

    #[cold]
    fn wait_for_room<'a>(&'a self, mut state: MutexGuard<'a, State>, line: &[u8], of: Of) -> MutexGuard<'a, State> {
        let since = *state.full_since.get_or_insert_with(Instant::now);
        let waits = |state: &mut State| !state.hurried && !state.closed && !state.has_room(line, of);
        match (of, self.when_full) {
            (Of::Plugin, WhenFull::Drop) => state,
            (Of::Plugin, WhenFull::Wait) => {
                state.plugins_wait += 1;
                let mut state = recover(self.room.wait_while(state, waits));
                state.plugins_wait -= 1;
                state
            }
            (Of::Gateway | Of::Log, _) => {
                let rest = PATIENCE.saturating_sub(since.elapsed());
                recover(self.room.wait_timeout_while(state, rest, waits)).0
            }
        }
    }
}

impl State {
    fn has_room(&self, line: &[u8], of: Of) -> bool {
        let most = match of {
            Of::Plugin => MOST_OF_PLUGINS,
            Of::Gateway => MOST,
            Of::Log => return true,
        };
        self.lines.is_empty() || self.lines.len().saturating_add(line.len()) <= most
    }

    fn is_half_full(&self) -> bool {
        self.lines.len() > MOST / 2
    }

    fn drop_line(&mut self, of: Of) {
        match of {
            Of::Plugin => self.dropped.plugins += 1,
            Of::Gateway | Of::Log => self.dropped.gateway += 1,
        }
    }
}

impl<'a> MakeWriter<'a> for Waiting {
    type Writer = LogLine<'a>;

    fn make_writer(&'a self) -> LogLine<'a> {
        LogLine(&self.0, Of::Gateway)
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LogLine<'a> {
        let of = match metadata.target() {
            PLUGIN => Of::Plugin,
            LOG => Of::Log,
            _ => Of::Gateway,
        };
        LogLine(&self.0, of)
    }
}

/// Takes one line, whole.
#[derive(Debug)]
pub(crate) struct LogLine<'a>(&'a Shared, Of);

impl Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(&without_control(line), self.1);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    recover(mutex.lock())
}

/// Ignores poison: the state behind a lock is consistent whenever it is released.
fn recover<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use super::*;

    static LINE: [u8; MOST / 8] = [b'x'; MOST / 8];

    /// Takes the lines that wait, so that there is room.
    fn take(waiting: &Waiting) -> usize {
        let mut taken = Vec::new();
        assert!(waiting.0.take(&mut taken));
        taken.len()
    }

    #[test]
    fn lines_of_plugins_are_dropped_and_those_of_the_gateway_have_room() {
        let waiting = Waiting::new(WhenFull::Drop);
        (0..9).for_each(|_| waiting.push(&LINE, Of::Plugin));
        assert_eq!(waiting.dropped(), Dropped { plugins: 3, gateway: 0 });
        waiting.push(&LINE, Of::Gateway);
        waiting.push(&LINE, Of::Gateway);
        assert_eq!(waiting.dropped(), Dropped { plugins: 3, gateway: 0 });
        assert!(!waiting.holds_workers_up());
        assert_eq!(waiting.0.wrote(), Some(Dropped { plugins: 3, gateway: 0 }));
        assert_eq!(waiting.0.wrote(), None, "it is said once");
        assert_eq!(take(&waiting), MOST);
        waiting.push(&LINE, Of::Plugin);
        assert_eq!(waiting.dropped().plugins, 3);
    }

    #[test]
    fn a_line_of_the_gateway_waits_once_and_the_logs_own_never() {
        let waiting = Waiting::new(WhenFull::Wait);
        (0..8).for_each(|_| waiting.push(&LINE, Of::Gateway));
        lock(&waiting.0.state).full_since = Instant::now().checked_sub(PATIENCE);
        (0..1000).for_each(|_| waiting.push(&LINE, Of::Gateway));
        assert_eq!(waiting.dropped(), Dropped { plugins: 0, gateway: 1000 });
        waiting.push(b"dropped", Of::Log);
        assert_eq!(take(&waiting), MOST + 7);
        assert!(lock(&waiting.0.state).full_since.is_none(), "there is room again");
    }

    #[test]
    fn plugins_wait_until_there_is_room_or_a_stop() {
        for stops in [false, true] {
            let waiting = Waiting::new(WhenFull::Wait);
            (0..6).for_each(|_| waiting.push(&LINE, Of::Plugin));
            let writer = waiting.clone();
            let worker = std::thread::spawn(move || writer.push(&LINE, Of::Plugin));
            while lock(&waiting.0.state).plugins_wait == 0 {
                std::thread::yield_now();
            }
            assert!(!worker.is_finished() && !waiting.holds_workers_up());
            lock(&waiting.0.state).full_since = Instant::now().checked_sub(PATIENCE);
            assert!(waiting.holds_workers_up());
            if stops {
                waiting.hurry();
            } else {
                assert_eq!(take(&waiting), MOST_OF_PLUGINS);
            }
            worker.join().expect("the worker goes on");
            assert_eq!(waiting.dropped().plugins, u64::from(stops));
            assert!(!waiting.holds_workers_up());
        }
    }

    #[test]
    fn the_target_says_whose_a_line_is() {
        use tracing::{Level, info_span};
        let waiting = Waiting::new(WhenFull::Drop);
        let _standard =
            tracing::subscriber::set_default(tracing_subscriber::fmt().with_max_level(Level::INFO).finish());
        let plugin = info_span!(target: "plugin", "line");
        let gateway = info_span!("line");
        let of = |span: &tracing::Span| span.metadata().map(|metadata| waiting.make_writer_for(metadata).1);
        assert_eq!((of(&plugin), of(&gateway)), (Some(Of::Plugin), Some(Of::Gateway)));
        let log = info_span!(target: "portcullis::log", "line");
        assert_eq!(of(&log), Some(Of::Log));
    }
}
