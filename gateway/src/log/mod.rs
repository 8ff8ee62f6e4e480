//! The gateway's log: what is written, how, and by whom.

mod filter;
mod line;
mod say;
mod stamp;
mod writer;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

pub use line::escaped;
use say::LINES;
pub(crate) use say::say;
pub use writer::LogThread;
use writer::Waiting;

/// Starts the log on standard error. `filter` is what is logged, as in `info,plugin=debug`; without one, the environment
/// variable `RUST_LOG` says it, or it is `info`. Engines log of themselves where `engines=LEVEL` says so, and else only warnings.
/// `json` makes each line an object.
///
/// What is still to be written when the answer is dropped is written then.
///
/// # Errors
/// The thread that writes cannot be started.
pub fn start(filter: Option<&str>, json: bool) -> std::io::Result<LogThread> {
    let filter = match filter {
        Some(filter) => EnvFilter::new(filter::with_engines(filter)),
        None => {
            let filter = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
            let filter = filter.and_then(|filter| EnvFilter::try_new(filter::with_engines(&filter)).ok());
            filter.unwrap_or_else(|| EnvFilter::new("info"))
        }
    };
    let waiting = Waiting::default();
    let thread = LogThread::start(waiting.clone(), std::io::stderr())?;
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(waiting.clone()).with_ansi(is_terminal);
    if json {
        log.json().init();
    } else {
        log.init();
        if !is_terminal {
            LINES.get_or_init(|| waiting);
        }
    }
    Ok(thread)
}
