//! The gateway's log: what is written, how, and by whom.

mod buffer;
mod dropped;
mod filter;
mod line;
mod say;
mod stamp;
mod targets;
mod writer;

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;

use buffer::Waiting;
pub use buffer::WhenFull;
pub(crate) use dropped::Dropped;
pub use line::escaped;
use say::LINES;
pub(crate) use say::say;
pub use writer::LogThread;

/// The log of the process, if it has been started.
static LOG: OnceLock<Waiting> = OnceLock::new();

/// Set where each line is an object.
static IS_JSON: OnceLock<()> = OnceLock::new();

/// Starts the log on standard error. `filter` is what is logged, as in `info,plugin=debug`; without one, the environment
/// variable `RUST_LOG` has it, or it is `info`. Engines log at the level of `engines=LEVEL`, and only warnings without it.
/// `json` makes each line an object. `when_full` is the treatment of lines of plugins while nobody reads the log.
///
/// Lines that are still to be written when the answer is dropped are written then.
///
/// # Errors
/// The thread that writes cannot be started.
pub fn start(filter: Option<&str>, json: bool, when_full: WhenFull) -> std::io::Result<LogThread> {
    let filter = match filter {
        Some(filter) => EnvFilter::new(filter::with_engines(filter)),
        None => {
            let filter = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
            let filter = filter.and_then(|filter| EnvFilter::try_new(filter::with_engines(&filter)).ok());
            filter.unwrap_or_else(|| EnvFilter::new("info"))
        }
    };
    let waiting = Waiting::new(when_full);
    let thread = LogThread::start(waiting.clone(), std::io::stderr(), Dropped::tell)?;
    LOG.get_or_init(|| waiting.clone());
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(waiting.clone()).with_ansi(is_terminal);
    if json {
        IS_JSON.get_or_init(|| ());
        log.json().init();
    } else {
        log.init();
        if !is_terminal {
            LINES.get_or_init(|| waiting);
        }
    }
    Ok(thread)
}

/// Returns the arguments that make another process of this program log its engines as this one does; none where they log no more than
/// warnings.
pub(crate) fn engines_arguments() -> Vec<String> {
    let level = if tracing::enabled!(target: "cranelift", tracing::Level::TRACE) {
        "trace"
    } else if tracing::enabled!(target: "cranelift", tracing::Level::DEBUG) {
        "debug"
    } else {
        return Vec::new();
    };
    let mut arguments = vec!["--log".to_owned(), format!("off,engines={level}")];
    arguments.extend(IS_JSON.get().is_some().then(|| "--log-json".to_owned()));
    arguments
}

/// Ends all waiting for the reader of the log, because the process stops.
pub(crate) fn hurry() {
    LOG.get().into_iter().for_each(Waiting::hurry);
}

/// Returns the number of dropped lines.
pub(crate) fn dropped() -> Dropped {
    LOG.get().map(Waiting::dropped).unwrap_or_default()
}

/// Returns true if workers have been waiting for the reader of the log for a second.
pub(crate) fn holds_workers_up() -> bool {
    LOG.get().is_some_and(Waiting::holds_workers_up)
}
