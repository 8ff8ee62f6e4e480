//! Signals of the operating system.
//!
//! | signal | before requests are served | then | a second time |
//! |---|---|---|---|
//! | SIGTERM, SIGINT, SIGQUIT | ends the process | stops gracefully, after `drain_delay` | in the delay ends the delay, and so does not cut requests; after it, or for the third time, ends the process at once |
//! | SIGHUP | the configuration is read again once requests are served | the configuration is read again | the same |
//! | SIGUSR2 | another process takes over once requests are served | another process takes over | nothing while one is starting |
//! | SIGUSR1 | a line in the log | the same | the same |

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The signals of this process, which a thread waits for.
#[derive(Debug)]
pub struct Signals {
    /// Number of signals that ask the process to stop.
    stops: watch::Receiver<u32>,
    /// Number of signals that ask it to read its configuration again.
    reloads: watch::Receiver<u32>,
    /// Number of signals that ask it to have another process take over.
    upgrades: watch::Receiver<u32>,
    serving: Arc<AtomicBool>,
}

/// Signals that other servers act upon, and why this one does not. Their default would end the process.
const OTHERS: [(SignalKind, &str); 1] = [(
    SignalKind::user_defined1(),
    "SIGUSR1 does nothing: the log goes to standard error, and no file has to be opened again",
)];

impl Signals {
    /// Begins to catch signals. A second time in a process both hear them.
    ///
    /// # Errors
    /// No thread or descriptor can be had for it.
    pub fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let caught = {
            // Caught from now on, and not from when the thread runs.
            let _inside = runtime.enter();
            Caught::begin()?
        };
        let (told, stops) = watch::channel(0);
        let (told_reload, reloads) = watch::channel(0);
        let (told_upgrade, upgrades) = watch::channel(0);
        let serving = Arc::<AtomicBool>::default();
        let is_serving = Arc::clone(&serving);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(wait(caught, &told, &told_reload, &told_upgrade, &is_serving)))?;
        Ok(Self { stops, reloads, upgrades, serving })
    }

    /// Requests are served from now on: a stop lets them finish.
    pub fn serve(&self) {
        self.serving.store(true, Ordering::Relaxed);
    }

    /// Returns the number of signals that asked for a reload, which changes with each.
    pub(crate) fn reloads(&self) -> watch::Receiver<u32> {
        self.reloads.clone()
    }

    /// Returns the number of signals that asked for another process, which changes with each.
    pub(crate) fn upgrades(&self) -> watch::Receiver<u32> {
        self.upgrades.clone()
    }

    /// Waits until the process got this number of signals to stop.
    pub async fn stop(&self, times: u32) {
        if self.stops.clone().wait_for(|stops| *stops >= times).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Signals that are caught, in the order of the table.
struct Caught {
    term: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user2: Signal,
    others: [Signal; OTHERS.len()],
}

impl Caught {
    fn begin() -> io::Result<Self> {
        let [user1] = OTHERS.map(|(kind, _)| signal(kind));
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
            others: [user1?],
        })
    }

    async fn next(&mut self) -> Event {
        let [user1] = &mut self.others;
        let [(_, on_user1)] = OTHERS;
        tokio::select! {
            _ = self.term.recv() => Event::Stop(SignalKind::terminate()),
            _ = self.interrupt.recv() => Event::Stop(SignalKind::interrupt()),
            _ = self.quit.recv() => Event::Stop(SignalKind::quit()),
            _ = self.hangup.recv() => Event::Reload,
            _ = user1.recv() => Event::Nothing(on_user1),
            _ = self.user2.recv() => Event::Upgrade,
        }
    }
}

enum Event {
    Stop(SignalKind),
    Reload,
    Upgrade,
    Nothing(&'static str),
}

async fn wait(
    mut caught: Caught,
    told: &watch::Sender<u32>,
    told_reload: &watch::Sender<u32>,
    told_upgrade: &watch::Sender<u32>,
    serving: &AtomicBool,
) {
    loop {
        match caught.next().await {
            Event::Stop(kind) => stop(kind, told, serving),
            Event::Reload => told_reload.send_modify(|reloads| *reloads += 1),
            Event::Upgrade => told_upgrade.send_modify(|upgrades| *upgrades += 1),
            Event::Nothing(text) => tracing::info!("{text}"),
        }
    }
}

fn stop(kind: SignalKind, told: &watch::Sender<u32>, serving: &AtomicBool) {
    if !serving.load(Ordering::Relaxed) {
        // As a shell has it, and as if it had not been caught.
        std::process::exit(128 + kind.as_raw_value());
    }
    told.send_modify(|stops| *stops += 1);
}
