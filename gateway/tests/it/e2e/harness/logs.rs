//! Log lines of plugins, by the plugin's name.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

static LINES: Mutex<Option<HashMap<String, Vec<String>>>> = Mutex::new(None);

/// Starts to listen; once in the process.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    let collect = Collect.with_filter(tracing_subscriber::filter::LevelFilter::INFO);
    ONCE.call_once(|| tracing_subscriber::registry().with(collect).init());
}

/// The lines of a plugin so far; the gateway's own are under "".
pub(crate) fn of(plugin: &str) -> Vec<String> {
    LINES.lock().unwrap().as_ref().and_then(|lines| lines.get(plugin).cloned()).unwrap_or_default()
}

/// Waits until a plugin has logged such a line.
#[track_caller]
pub(crate) fn wait(plugin: &str, part: &str) -> impl Future<Output = ()> {
    super::until(move || of(plugin).iter().any(|line| line.contains(part)))
}

/// How many lines of a plugin contain a text.
pub(crate) fn count(plugin: &str, part: &str) -> usize {
    of(plugin).iter().filter(|line| line.contains(part)).count()
}

struct Collect;

#[derive(Default)]
struct Line {
    plugin: String,
    message: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "plugin" => self.plugin = format!("{value:?}"),
            "message" => self.message = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "plugin" {
            self.plugin = value.to_owned();
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = LINES.lock().unwrap();
        lines.get_or_insert_default().entry(line.plugin).or_default().push(line.message);
    }
}
