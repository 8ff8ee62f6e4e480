//! Turns of guest calls that no stream waits for.
//!
//! A worker's thread runs until a task lets go of it, so two such calls in a row would keep IO waiting for both. Each has
//! to have the turn, and with the turn the task yields once: the runtime wakes a task that has yielded after it has polled IO.
//! The tasks of a driver are one task of the runtime, so one such call may come before streams that the same poll has woken.
//! When the turn comes, it is judged again whether the call may begin, as IO may have brought what it gives way to; the rules are the chain's (`filter-chain/src/background.rs`).

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// Gives turns of guest calls that no stream waits for.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<()>);

/// The turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a>(#[expect(dead_code, reason = "held")] MutexGuard<'a, ()>);

impl Turns {
    /// Waits until a call may begin, and for its turn; IO has been polled since the turn before. `at` returns when the call may begin;
    /// `None` means that there is no call to wait for.
    pub(crate) async fn next(&self, mut at: impl FnMut() -> Option<Instant>) -> Option<Turn<'_>> {
        loop {
            sleep_until(at()?).await;
            let turn = self.0.lock().await;
            tokio::task::yield_now().await;
            if at()? <= Instant::now() {
                return Some(Turn(turn));
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::net::UnixStream;
    use tokio::task::{LocalSet, spawn_local};

    use super::*;

    /// Counts polls of IO, for ever: each brings a byte.
    async fn count_polls(count: Rc<Cell<u32>>) {
        let (one, other) = UnixStream::pair().unwrap();
        loop {
            // Nothing is left to be read, so only a poll says that there is something again.
            while other.try_read(&mut [0]).is_ok() {}
            assert_eq!(one.try_write(b".").unwrap(), 1);
            other.readable().await.unwrap();
            count.set(count.get() + 1);
        }
    }

    /// As a worker runs: all of its tasks are in a set on one thread.
    fn run(test: impl Future<Output = ()> + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn io_is_polled_between_two_calls() {
        run(async {
            let (polls, turns) = (Rc::new(Cell::new(0)), Rc::new(Turns::default()));
            spawn_local(count_polls(Rc::clone(&polls)));
            while polls.get() == 0 {
                tokio::task::yield_now().await;
            }
            let last = Rc::new(Cell::new(None));
            // Several tasks that are due all the time.
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let (polls, turns, last) = (Rc::clone(&polls), Rc::clone(&turns), Rc::clone(&last));
                    spawn_local(async move {
                        for _ in 0..50 {
                            let now = Instant::now();
                            let turn = turns.next(|| Some(now)).await.unwrap();
                            let seen = polls.get();
                            assert_ne!(last.replace(Some(seen)), Some(seen), "no IO since the last call");
                            drop(turn);
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
        });
    }

    #[test]
    fn what_io_brings_is_heard_before_the_call_begins() {
        run(async {
            let turns = Turns::default();
            let (begin, is_waiting) = (Instant::now(), Rc::new(Cell::new(false)));
            let io = Rc::clone(&is_waiting);
            spawn_local(async move { io.set(true) });
            let later = begin + Duration::from_millis(160);
            let at = || Some(if is_waiting.get() { later } else { begin });
            assert!(turns.next(at).await.is_some());
            assert_eq!(Instant::now(), later);
            assert!(turns.next(|| None).await.is_none());
        });
    }
}
