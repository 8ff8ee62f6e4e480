//! A reload that does nothing, and a file to read again.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use crate::config::{Config, ConfigError, Diagnostic};
use crate::error::ServeError;
use crate::serve::generation::{Cancel, Held, Reload, Reloaded};
use crate::serve::server::Gateway;

/// The time after which an event is taken never to happen.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A reload that waits until it may end, or is cancelled.
#[derive(Clone, Default)]
pub(super) struct Fake(Arc<(Mutex<State>, Condvar)>);

/// Shows a configuration.
type Show = dyn Fn(&Config) + Send;

#[derive(Default)]
pub(super) struct State {
    /// The workers of each configuration that was asked for.
    pub(super) asked: Vec<usize>,
    pub(super) generation: u64,
    /// How many reloads may still end.
    pub(super) may_end: usize,
    pub(super) refusals: usize,
    /// How many reloads end as if files had changed and were as before again.
    pub(super) cancels: usize,
    pub(super) deaf: bool,
    /// Whether it judges the configuration as a start does.
    pub(super) judges: bool,
    /// Called with each configuration that is served.
    pub(super) show: Option<Box<Show>>,
    /// The workers of those.
    pub(super) shown: Vec<usize>,
}

impl Fake {
    /// All reloads end at once.
    pub(super) fn free() -> Self {
        let fake = Self::default();
        fake.change(|state| state.may_end = usize::MAX);
        fake
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.1.notify_all();
    }

    /// Waits until a number of reloads have begun.
    pub(super) fn until_asked(&self, times: usize) {
        let (_state, timeout) =
            self.0.1.wait_timeout_while(self.lock(), LIMIT, |state| state.asked.len() < times).unwrap();
        assert!(!timeout.timed_out());
    }

    pub(super) fn shown(&self) -> Vec<usize> {
        self.lock().shown.clone()
    }

    pub(super) fn asked(&self) -> Vec<usize> {
        self.lock().asked.clone()
    }
}

impl Reload for Fake {
    fn reload(&self, config: Config, cancel: &Cancel) -> Result<Reloaded, ServeError> {
        let mut state = self.lock();
        state.asked.push(config.workers);
        self.0.1.notify_all();
        if state.cancels > 0 {
            state.cancels -= 1;
            return Err(ServeError::Cancelled);
        }
        while state.may_end == 0 {
            if cancel.is_cancelled() && !state.deaf {
                return Err(ServeError::Cancelled);
            }
            // A cancel tells nobody: it is looked for.
            (state, _) = self.0.1.wait_timeout(state, Duration::from_millis(1)).unwrap();
        }
        state.may_end -= 1;
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(ConfigError::from(Diagnostic::of_file("gateway.yaml", "it traps", "mend it")).into());
        }
        if state.judges {
            Gateway::prepare(config.clone())?;
        }
        state.shown.push(config.workers);
        if let Some(show) = &state.show {
            show(&config);
        }
        state.generation = state.generation.max(1) + 1;
        Ok(Reloaded { generation: state.generation, started: 2, stayed: 3, ended: 1 })
    }

    fn generations(&self) -> Vec<Held> {
        let number = self.lock().generation.max(1);
        vec![Held { number, since: SystemTime::UNIX_EPOCH, requests: 4, connections: 5, plugins: 6 }]
    }
}

/// A configuration in a folder of its own.
pub(super) struct File(pub(super) PathBuf);

impl File {
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-control-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let file = Self(folder);
        file.write(1, "");
        file
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.join("gateway.yaml")
    }

    pub(super) fn write(&self, workers: usize, more: &str) {
        let text = format!(
            "workers: {workers}\nlisteners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}]}}]\nclusters: [{{name: e, echo: {{}}}}]\n{more}"
        );
        std::fs::write(self.path(), text).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
