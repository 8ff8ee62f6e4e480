//! Whether the workers of a process still do their tasks in turn: each answers a question that a watchdog asks now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// The workers' answers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pulse(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Number of the last question.
    asked: watch::Sender<u64>,
    workers: Mutex<Workers>,
}

#[derive(Debug, Default)]
struct Workers {
    next: u64,
    /// Name and last answer of each.
    answers: BTreeMap<u64, (String, u64)>,
}

/// A worker that answers. It is forgotten with this.
#[derive(Debug)]
pub(crate) struct Beat {
    pulse: Pulse,
    key: u64,
}

impl Pulse {
    /// Takes a worker in. It owes no answer to what was asked before.
    pub(crate) fn worker(&self, name: &str) -> Beat {
        let asked = *self.0.asked.borrow();
        let mut workers = self.lock();
        let key = workers.next;
        workers.next += 1;
        workers.answers.insert(key, (name.to_owned(), asked));
        Beat { pulse: self.clone(), key }
    }

    /// Asks all workers.
    pub(crate) fn ask(&self) {
        self.0.asked.send_modify(|asked| *asked += 1);
    }

    /// Returns the workers that have not answered the last question.
    pub(crate) fn silent(&self) -> Vec<String> {
        let asked = *self.0.asked.borrow();
        let workers = self.lock();
        workers.answers.values().filter(|(_, answer)| *answer < asked).map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    /// Answers every question, among the other tasks of the worker.
    pub(crate) async fn answer(self) {
        let mut asked = self.pulse.0.asked.subscribe();
        while asked.changed().await.is_ok() {
            let question = *asked.borrow_and_update();
            if let Some((_, answer)) = self.pulse.lock().answers.get_mut(&self.key) {
                *answer = question;
            }
        }
    }

    /// Returns the number of the last question.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> u64 {
        *self.pulse.0.asked.borrow()
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.pulse.lock().answers.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_does_not_answer_is_named() {
        let pulse = Pulse::default();
        pulse.ask();
        let (quick, stuck) = (pulse.worker("quick"), pulse.worker("stuck"));
        assert_eq!(pulse.silent(), [""; 0], "they were not there");
        let answering = tokio::spawn(quick.answer());
        tokio::task::yield_now().await;
        pulse.ask();
        assert_eq!(pulse.silent(), ["quick", "stuck"]);
        tokio::task::yield_now().await;
        assert_eq!(pulse.silent(), ["stuck"]);
        drop(stuck);
        assert_eq!(pulse.silent(), [""; 0]);
        answering.abort();
        let _ = answering.await;
        pulse.ask();
        assert_eq!(pulse.silent(), [""; 0]);
    }
}
