//! A thread that writes the log, many lines at once, so that no worker makes a system call for each line of its plugins.

use std::io::{self, Write};
use std::sync::Arc;

use crate::observe::log::buffer::Waiting;
use crate::observe::log::dropped::Dropped;

/// Bytes that are written at once: with each of them the reader is seen to read.
const PIECE: usize = 64 << 10;

/// The thread that writes; dropping it has it write what waits, and end.
#[derive(Debug)]
pub struct LogThread {
    waiting: Waiting,
    is_over: bool,
}

impl LogThread {
    /// Starts the thread. Errors of `out` are ignored, because there is no place to report them. `tell` reports dropped lines.
    pub(super) fn start(waiting: Waiting, mut out: impl Write + Send + 'static, tell: fn(Dropped)) -> io::Result<Self> {
        let shared = Arc::clone(&waiting.0);
        std::thread::Builder::new().name("log".into()).spawn(move || {
            let mut taken = Vec::new();
            while shared.take(&mut taken) {
                for piece in taken.chunks(PIECE) {
                    drop(out.write_all(piece).and_then(|()| out.flush()));
                    shared.wrote().into_iter().for_each(tell);
                }
                taken.clear();
            }
            shared.ended();
        })?;
        Ok(Self { waiting, is_over: false })
    }

    /// Makes the thread write the lines that wait, then `last`, and end. A reader that takes nothing for a second gets no more: the process must be
    /// able to end.
    pub fn finish(mut self, last: &str) {
        self.is_over = true;
        self.waiting.finish(last.as_bytes());
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        if !self.is_over {
            self.waiting.finish(b"");
        }
    }
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::observe::log::buffer::{MOST, Of, WhenFull};

    /// Keeps what is written, and how often; each write waits for the gate.
    #[derive(Clone, Debug, Default)]
    struct Output {
        written: Arc<Mutex<Vec<Vec<u8>>>>,
        gate: Arc<Mutex<()>>,
    }

    fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn start(waiting: &Waiting, output: &Output) -> LogThread {
        LogThread::start(waiting.clone(), output.clone(), |_| ()).expect("a thread")
    }

    #[test]
    fn many_lines_are_written_at_once_in_order_and_none_is_lost() {
        let (waiting, output) = (Waiting::new(WhenFull::Wait), Output::default());
        let thread = start(&waiting, &output);
        let expected: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        for line in expected.split_inclusive('\n') {
            waiting.make_writer().write_all(line.as_bytes()).expect("never fails");
        }
        thread.finish("last\n");
        let written = lock(&output.written);
        assert_eq!(String::from_utf8_lossy(&written.concat()), expected + "last\n");
        assert!(written.len() < 1000, "{} writes", written.len());
    }

    #[test]
    fn control_characters_of_any_line_are_escaped() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let thread = start(&waiting, &output);
        waiting.make_writer().write_all(b"a\0b\n").expect("never fails");
        drop(thread);
        assert_eq!(lock(&output.written).concat(), b"a\\x00b\n");
    }

    #[test]
    fn a_line_is_written_although_no_other_follows() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let _thread = start(&waiting, &output);
        for turn in 1..=3 {
            waiting.push(b"line\n", Of::Plugin);
            while lock(&output.written).len() < turn {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn no_line_of_a_plugin_is_lost_that_may_wait() {
        let (waiting, output) = (Waiting::new(WhenFull::Wait), Output::default());
        let thread = start(&waiting, &output);
        let shut = lock(&output.gate);
        let line = vec![b'x'; MOST / 4];
        let writer = waiting.clone();
        let worker = std::thread::spawn(move || (0..40).for_each(|_| writer.push(&line, Of::Plugin)));
        std::thread::yield_now();
        assert!(!worker.is_finished());
        drop(shut);
        worker.join().expect("the worker goes on");
        drop(thread);
        assert_eq!(lock(&output.written).concat().len(), 10 * MOST);
    }

    #[test]
    fn what_was_dropped_is_said_when_the_reader_reads_again() {
        static TOLD: Mutex<Vec<Dropped>> = Mutex::new(Vec::new());
        let (waiting, output) = (Waiting::new(WhenFull::Drop), Output::default());
        let thread = LogThread::start(waiting.clone(), output.clone(), |dropped| lock(&TOLD).push(dropped));
        let _thread = thread.expect("a thread");
        let shut = lock(&output.gate);
        let line = vec![b'x'; MOST / 4];
        while waiting.dropped().plugins < 10 {
            waiting.push(&line, Of::Plugin);
        }
        assert_eq!(*lock(&TOLD), []);
        drop(shut);
        while lock(&TOLD).is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(lock(&TOLD).iter().map(|dropped| dropped.plugins).sum::<u64>(), 10);
    }

    #[test]
    fn a_line_after_the_end_is_dropped_and_waits_for_nobody() {
        let (waiting, output) = (Waiting::default(), Output::default());
        drop(start(&waiting, &output));
        waiting.push(b"late\n", Of::Plugin);
        assert_eq!(lock(&output.written).concat(), b"");
    }

    #[test]
    fn an_end_does_not_wait_for_a_reader_that_has_stopped() {
        let (waiting, output) = (Waiting::default(), Output::default());
        let thread = start(&waiting, &output);
        let shut = lock(&output.gate);
        waiting.push(b"line\n", Of::Gateway);
        thread.finish("last\n");
        drop(shut);
    }
}
