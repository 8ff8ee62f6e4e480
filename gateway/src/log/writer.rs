//! A thread that writes the log, many lines at once, so that no worker makes a system call for each line of its plugins.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use super::line::without_control;

/// Bytes that may wait to be written. A worker that has more waits, too: no line is lost, and memory is bounded.
const MOST: usize = 1 << 20;

/// How long lines are gathered before they are written; a process that is killed loses so much, and what a slow reader has
/// not taken. A thread that were woken for each line would cost the worker more than the line does.
const GATHER: Duration = Duration::from_millis(10);

/// Lines that wait to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<Shared>);

/// The thread that writes; dropping it has it write what waits, and end.
#[derive(Debug)]
pub struct LogThread {
    waiting: Waiting,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes those who wait for space.
    space: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// The thread waits until there is a line, and nobody has woken it.
    asleep: bool,
    /// The thread is to end.
    closed: bool,
}

impl LogThread {
    /// Starts it. Errors of `out` are nobody's: there is no place to tell them.
    pub(super) fn start(waiting: Waiting, mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::clone(&waiting.0);
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || {
            let mut taken = Vec::new();
            while shared.take(&mut taken) {
                drop(out.write_all(&taken).and_then(|()| out.flush()));
                taken.clear();
            }
        })?;
        Ok(Self { waiting, thread: Some(thread) })
    }
}

impl Waiting {
    /// Adds a line, whole.
    pub(super) fn push(&self, line: &[u8]) {
        self.0.push(line);
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        lock(&self.waiting.0.state).closed = true;
        self.waiting.0.work.notify_one();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Shared {
    /// Waits for lines, gathers more, and takes them all into an empty `taken`; false if there will be none.
    fn take(&self, taken: &mut Vec<u8>) -> bool {
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
        drop(state);
        self.space.notify_all();
        true
    }

    fn push(&self, line: &[u8]) {
        let mut state = lock(&self.state);
        while !state.closed && !state.lines.is_empty() && state.lines.len() + line.len() > MOST {
            state = recover(self.space.wait(state));
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
}

impl State {
    fn is_half_full(&self) -> bool {
        self.lines.len() > MOST / 2
    }
}

impl<'a> MakeWriter<'a> for Waiting {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

/// Takes one line, whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(&without_control(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    recover(mutex.lock())
}

/// What a lock guards here is whole whenever it is let go.
fn recover<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use super::*;

    /// Keeps what is written, and how often; each write waits for the gate.
    #[derive(Clone, Debug, Default)]
    struct Output {
        written: Arc<Mutex<Vec<Vec<u8>>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(lock(&self.gate));
            lock(&self.written).push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn many_lines_are_written_at_once_in_order_and_none_is_lost() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let thread = LogThread::start(waiting.clone(), output.clone()).expect("a thread");
        let expected: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        for line in expected.split_inclusive('\n') {
            waiting.make_writer().write_all(line.as_bytes()).expect("never fails");
        }
        drop(thread);
        let written = lock(&output.written);
        assert_eq!(String::from_utf8_lossy(&written.concat()), expected);
        assert!(written.len() < 1000, "{} writes", written.len());
    }

    #[test]
    fn control_characters_of_any_line_are_escaped() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let thread = LogThread::start(waiting.clone(), output.clone()).expect("a thread");
        waiting.make_writer().write_all(b"a\0b\n").expect("never fails");
        drop(thread);
        assert_eq!(lock(&output.written).concat(), b"a\\x00b\n");
    }

    #[test]
    fn a_line_is_written_although_no_other_follows() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let _thread = LogThread::start(waiting.clone(), output.clone()).expect("a thread");
        for turn in 1..=3 {
            waiting.0.push(b"line\n");
            while lock(&output.written).len() < turn {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn who_logs_waits_while_nothing_can_be_written() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let thread = LogThread::start(waiting.clone(), output.clone()).expect("a thread");
        let shut = lock(&output.gate);
        let line = vec![b'x'; MOST / 4];
        let writer = waiting.clone();
        let worker = std::thread::spawn(move || (0..40).for_each(|_| writer.0.push(&line)));
        while lock(&waiting.0.state).lines.len() < MOST {
            std::thread::yield_now();
        }
        assert!(!worker.is_finished());
        assert_eq!(lock(&waiting.0.state).lines.len(), MOST);
        drop(shut);
        worker.join().expect("the worker goes on");
        drop(thread);
        assert_eq!(lock(&output.written).concat().len(), 10 * MOST);
    }

    #[test]
    fn a_line_after_the_end_is_dropped_and_waits_for_nobody() {
        let waiting = Waiting::default();
        drop(LogThread::start(waiting.clone(), Output::default()).expect("a thread"));
        waiting.0.push(b"late\n");
        assert!(lock(&waiting.0.state).lines.is_empty());
    }
}
