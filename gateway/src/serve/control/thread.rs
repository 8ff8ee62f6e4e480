//! The thread that has one reload at a time, in threads of their own.
//!
//! | state | a wish | the reload ends | a stop |
//! |---|---|---|---|
//! | idle | a reload begins; it is refused while another process takes over ([`super::turn`]) | – | ends |
//! | reloading | cancels the reload; wishes wait together | answers who asked for it; if wishes wait, the next begins, which answers all of them | cancels the reload, answers all, ends |
//!
//! The file is read when a reload begins, so one reload fulfils all wishes that came before it. A cancelled reload that has already
//! changed the generation succeeds.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::super::generation::{Cancel, Reload, Reloaded};
use super::source::Source;
use super::status::Status;
use super::turn::{Held, Turn};
use super::watch::{Seen, Times, Watch};
use super::wish::{By, Outcome};
use crate::error::ServeError;
use crate::serve::systemd;

/// An event that the thread waits for.
pub(super) enum Event {
    /// A wish, and who waits for its outcome.
    Ask(By, Option<oneshot::Sender<Outcome>>),
    /// The reload has ended.
    Ended(Box<Ended>),
    /// The gateway stops.
    Stop,
}

/// A reload that has ended, with the configuration if it is served now.
pub(super) struct Ended {
    source: Source,
    result: Result<Served, ServeError>,
}

/// A configuration that is served, and whether its files are watched.
struct Served {
    reloaded: Reloaded,
    watches: bool,
}

/// The state of the thread.
pub(super) struct Reloading<R> {
    reloader: R,
    source: Source,
    events: Sender<Event>,
    status: Status,
    running: Option<Running>,
    next: Option<Wish>,
    turn: Turn,
    times: Times,
    watch: Option<Watch<Failure>>,
}

/// A reload that has failed.
#[derive(Debug)]
struct Failure {
    by: By,
    took: Duration,
    error: String,
}

/// The reload that runs.
struct Running {
    wish: Wish,
    cancel: Cancel,
    begun: Instant,
    turn: Held,
}

/// Wishes that one reload fulfils.
struct Wish {
    by: By,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

impl<R: Reload + Clone + 'static> Reloading<R> {
    pub(super) fn new(
        reloader: R,
        source: Source,
        watches: bool,
        events: Sender<Event>,
        status: Status,
        turn: Turn,
        times: Times,
    ) -> Self {
        let watch = watches.then(|| Watch::new(times, source.look().clone()));
        Self { reloader, source, events, status, running: None, next: None, turn, times, watch }
    }

    pub(super) fn run(mut self, events: &Receiver<Event>) {
        let mut looked = Instant::now();
        loop {
            match self.next_event(events, looked) {
                Some(Event::Ask(by, answer)) => self.ask(by, answer),
                Some(Event::Ended(ended)) => self.ended(*ended),
                Some(Event::Stop) => return self.stop(),
                None => {
                    self.look();
                    looked = Instant::now();
                }
            }
        }
    }

    /// Waits for an event; none when it is time for a look. There are no looks while a reload runs: it looks itself, before it changes
    /// anything.
    fn next_event(&self, events: &Receiver<Event>, looked: Instant) -> Option<Event> {
        // The sender in `self` never goes.
        let Some(watch) = self.watch.as_ref().filter(|_| self.running.is_none()) else {
            return Some(events.recv().unwrap_or(Event::Stop));
        };
        match events.recv_timeout(watch.interval().saturating_sub(looked.elapsed())) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Stop),
        }
    }

    fn look(&mut self) {
        // What has changed is found afterwards.
        if self.turn.is_of_upgrade() {
            return;
        }
        match self.watch.as_mut().map(|watch| watch.look(Instant::now())) {
            Some(Seen::Changed) => self.ask(By::Watch, None),
            Some(Seen::Failed(failure)) => {
                self.fail(&failure);
            }
            Some(Seen::Nothing) | None => {}
        }
    }

    fn fail(&self, Failure { by, took, error }: &Failure) {
        self.status.failed(*by, *took, error);
        let generation = self.status.number();
        tracing::error!(by = by.name(), "not reloaded, generation {generation} serves on: {error}");
    }

    fn ask(&mut self, by: By, answer: Option<oneshot::Sender<Outcome>>) {
        if let Some(running) = &self.running {
            running.cancel.cancel();
        }
        let wish = self.next.get_or_insert(Wish { by, waiting: Vec::new() });
        wish.by = by;
        wish.waiting.extend(answer);
        self.begin();
    }

    /// Begins the next reload, if there is a wish and none runs.
    fn begin(&mut self) {
        let Some(wish) = self.next.take_if(|_| self.running.is_none()) else { return };
        let turn = match self.turn.reload() {
            Ok(turn) => turn,
            Err(reason) => {
                tracing::error!(by = wish.by.name(), "not reloaded: {reason}");
                return wish.answer(&Outcome::Refused(reason.to_owned()));
            }
        };
        tracing::info!(by = wish.by.name(), "reloading the configuration");
        systemd::reloading();
        let cancel = Cancel::default();
        let job = Job {
            reloader: self.reloader.clone(),
            source: self.source.clone(),
            cancel: cancel.clone(),
            watches: self.watch.is_some(),
            report: Report { source: self.source.clone(), events: Some(self.events.clone()) },
        };
        self.running = Some(Running { wish, cancel, begun: Instant::now(), turn });
        // Its report says that it has not run, if the thread cannot be started.
        let _ = std::thread::Builder::new().name("reload".to_owned()).spawn(move || job.run());
    }

    fn ended(&mut self, Ended { source, result }: Ended) {
        let Some(Running { wish, begun, turn, .. }) = self.running.take() else { return };
        // Before anything is told: who hears it may ask for another process.
        drop(turn);
        let (by, took) = (wish.by, begun.elapsed());
        self.source = source;
        let has_panicked = matches!(result, Err(ServeError::ReloadEnded));
        if has_panicked {
            // The source of the last reload; its files are not those that were read now.
            self.source.look_again();
        }
        if let Some(watch) = &mut self.watch {
            watch.has_read(self.source.look().clone());
        }
        let outcome = match result {
            Ok(Served { reloaded, watches }) => {
                self.status.succeeded(by, took, &reloaded, self.source.digest());
                let watched = || Watch::new(self.times, self.source.look().clone());
                self.watch = watches.then(watched);
                Outcome::Done(reloaded)
            }
            // By a change of files, if nobody waits: the watch has them read again.
            Err(ServeError::Cancelled) if self.next.is_some() || self.watch.is_some() => {
                self.status.cancelled();
                if let Some(watch) = self.watch.as_mut().filter(|_| self.next.is_none()) {
                    watch.owe(Instant::now());
                }
                tracing::info!(by = by.name(), "the reload was cancelled by a newer one");
                Outcome::Cancelled
            }
            Err(error) => {
                let failure = Failure { by, took, error: error.to_string() };
                let outcome = Outcome::Refused(failure.error.clone());
                match &mut self.watch {
                    Some(watch) if by == By::Watch && !has_panicked => {
                        let (error, wait) = (&failure.error, self.times.patience);
                        tracing::info!("not reloaded yet, in case that files change again within {wait:?}: {error}");
                        self.status.pends(error);
                        watch.hold(failure, Instant::now());
                    }
                    _ => self.fail(&failure),
                }
                outcome
            }
        };
        systemd::ready(&format!("serving generation {}", self.status.number()));
        wish.answer(&outcome);
        self.begin();
    }

    fn stop(self) {
        if let Some(Running { wish, cancel, .. }) = self.running {
            cancel.cancel();
            wish.answer(&Outcome::Stopping);
        }
        if let Some(wish) = self.next {
            wish.answer(&Outcome::Stopping);
        }
    }
}

impl Wish {
    fn answer(self, outcome: &Outcome) {
        for waiting in self.waiting {
            // Who does not wait any more has closed its connection.
            let _ = waiting.send(outcome.clone());
        }
    }
}

/// One reload, on a thread of its own.
struct Job<R> {
    reloader: R,
    source: Source,
    cancel: Cancel,
    /// Whether a change of its files ends it.
    watches: bool,
    report: Report,
}

/// The report of a reload, sent once: by [`Report::send`], or else by its end.
struct Report {
    source: Source,
    events: Option<Sender<Event>>,
}

impl<R: Reload> Job<R> {
    fn run(mut self) {
        let result = self.reload();
        self.report.source = self.source;
        self.report.send(result);
    }

    fn reload(&mut self) -> Result<Served, ServeError> {
        let config = self.source.read()?;
        if self.watches {
            let look = self.source.look().clone();
            self.cancel.also_unless(move || look.is_as_it_was());
        }
        let watches = config.watch;
        let reloaded = self.reloader.reload(config, &self.cancel)?;
        Ok(Served { reloaded, watches })
    }
}

impl Report {
    fn send(&mut self, result: Result<Served, ServeError>) {
        if let Some(events) = self.events.take() {
            // Nobody listens once the gateway stops.
            let _ = events.send(Event::Ended(Box::new(Ended { source: self.source.clone(), result })));
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.send(Err(ServeError::ReloadEnded));
    }
}
