//! Events of `tracing`, in which the crates beneath say what they have to say, as lines of the log.

use std::fmt::{self, Write};
use std::sync::Arc;

use portcullis::abi::LogLevel;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::envoy::Log;

/// Passes events on to a log, from now on and for the whole module.
pub(crate) fn install(log: Arc<dyn Log>) {
    // Only the module's own code uses this copy of `tracing`; a second call finds the first.
    let _ = tracing::subscriber::set_global_default(ToLog(log));
}

/// Writes events to a log. Spans are not shown.
struct ToLog(Arc<dyn Log>);

impl Subscriber for ToLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && is_ours(metadata.target()) && self.0.is_enabled(level(metadata.level()))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line("portcullis: ".to_owned());
        event.record(&mut line);
        self.0.write(level(event.metadata().level()), line.0.as_bytes());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns whether an event is of this project: those of compilers are thousands.
fn is_ours(target: &str) -> bool {
    target.starts_with("portcullis")
}

fn level(level: &Level) -> LogLevel {
    match *level {
        Level::TRACE => LogLevel::Trace,
        Level::DEBUG => LogLevel::Debug,
        Level::INFO => LogLevel::Info,
        Level::WARN => LogLevel::Warn,
        Level::ERROR => LogLevel::Error,
    }
}

/// The message of an event, and its fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A string takes all.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Lines;

    #[test]
    fn events_are_lines() {
        let lines = Lines::default();
        tracing::subscriber::with_default(ToLog(Arc::new(lines.clone())), || {
            tracing::warn!(plugin = "p", count = 2, "something is {}", "odd");
            tracing::debug!("not at this level");
            tracing::warn!(target: "cranelift_codegen", "of somebody else");
        });
        assert_eq!(lines.all(), ["Warn portcullis: something is odd plugin=\"p\" count=2"]);
    }
}
