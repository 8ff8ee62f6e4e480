//! Usage of plugins: time of a CPU, calls and memory, and the clock that they are measured with.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use portcullis::vm::{CoarseClock, Usage, Used};

/// Resolution of the clock that callbacks are measured with.
const STEP: Duration = Duration::from_millis(4);

/// All plugins of the process that are measured, by name: those of one name count together, as their other metrics do.
static PLUGINS: Mutex<BTreeMap<String, Usage>> = Mutex::new(BTreeMap::new());

/// Returns the usage of plugins of this name. The first call starts the clock, which is a thread.
pub fn of(plugin: &str) -> Usage {
    let mut plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    if !plugins.contains_key(plugin) {
        // Those that reloads have taken away: nobody counts for them any more.
        plugins.retain(|_, usage| !usage.is_alone());
    }
    plugins.entry(plugin.to_owned()).or_insert_with(|| Usage::new(clock())).clone()
}

/// Returns what all plugins that are measured have used, in the order of their names.
pub fn all() -> Vec<(String, Used)> {
    let plugins = PLUGINS.lock().unwrap_or_else(PoisonError::into_inner);
    plugins.iter().map(|(plugin, usage)| (plugin.clone(), usage.used())).collect()
}

/// Returns the clock of the process, which a thread advances; without the thread it stops, and callbacks take no time.
fn clock() -> CoarseClock {
    static CLOCK: OnceLock<CoarseClock> = OnceLock::new();
    let start = || {
        let clock = CoarseClock::default();
        let (moved, begun) = (clock.clone(), Instant::now());
        let run = move || {
            loop {
                std::thread::sleep(STEP);
                moved.set(begun.elapsed());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("clock".to_owned()).spawn(run) {
            tracing::warn!(
                "cannot start the thread that measures plugins: {error}; their usage is not measured and limits.cpu is not enforced: raise \
                 the limit of threads (`ulimit -u`; systemd: TasksMax), and start the gateway again"
            );
        }
        clock
    };
    CLOCK.get_or_init(start).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_that_nobody_counts_for_are_forgotten() {
        let kept = of("kept");
        let shard = of("its worker").shard();
        (0..1377).for_each(|number| drop(of(&format!("gone {number}"))));
        let names: Vec<_> = all().into_iter().map(|(name, _)| name).filter(|name| !name.starts_with("usage")).collect();
        assert_eq!(names, ["gone 1376", "its worker", "kept"]);
        drop((kept, shard));
    }
}
