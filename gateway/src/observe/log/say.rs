//! Logging of lines of plugins, and of the host's lines about them.

use std::sync::OnceLock;

use portcullis::abi::LogLevel;
use portcullis::model::Plugin;
use portcullis::resources::LogRecord;
use tracing::Level;
use tracing::metadata::Kind;

use crate::observe::log::buffer::{Of, Waiting};
use crate::observe::log::line;
use crate::observe::log::targets::{PLUGIN, VM};

/// Destination of lines that bypass `tracing`, which cost as much as they do: a log that is text, and no terminal's.
pub(super) static LINES: OnceLock<Waiting> = OnceLock::new();

/// Calls a macro with the level and the target of a line, of which `tracing` wants constants.
macro_rules! by_level {
    ($record:expr, $line:ident) => {
        match ($record.from_host, $record.level) {
            (true, LogLevel::Error | LogLevel::Critical) => $line!(ERROR, VM),
            (true, LogLevel::Info) => $line!(INFO, VM),
            (true, _) => $line!(WARN, VM),
            (false, LogLevel::Trace) => $line!(TRACE, PLUGIN),
            (false, LogLevel::Debug) => $line!(DEBUG, PLUGIN),
            (false, LogLevel::Info) => $line!(INFO, PLUGIN),
            (false, LogLevel::Warn) => $line!(WARN, PLUGIN),
            (false, LogLevel::Error | LogLevel::Critical) => $line!(ERROR, PLUGIN),
        }
    };
}

/// Logs a line of worker `worker`, if one runs; `buffer` is room that is used again.
pub(crate) fn say(record: &LogRecord<'_>, worker: Option<usize>, buffer: &mut Vec<u8>) {
    let Some(lines) = LINES.get() else { return event(record, worker) };
    let of = if record.from_host { Of::Gateway } else { Of::Plugin };
    macro_rules! line {
        ($level:ident, $target:ident) => {
            if tracing::enabled!(
                kind: Kind::EVENT, target: $target, Level::$level, message, plugin, root, vm, context, stream, worker
            ) {
                buffer.clear();
                line::push(buffer, Level::$level, $target, record, worker);
                lines.push(buffer, of);
            }
        };
    }
    by_level!(record, line);
}

/// Logs it as an event of `tracing`.
pub(super) fn event(record: &LogRecord<'_>, worker: Option<usize>) {
    let text = line::text(record.message);
    // Fields that are empty are left out, but for the VM's.
    let field = |of: fn(&Plugin) -> &str| record.plugin.map(of).filter(|text| !text.is_empty());
    let (plugin, root, vm) = (field(|p| &p.name), field(|p| &p.root_id), record.plugin.map(|plugin| &*plugin.vm_id));
    let (context, stream) = (record.context.number(), Some(record.stream).filter(|stream| *stream != 0));
    macro_rules! line {
        ($level:ident, $target:ident) => {
            tracing::event!(target: $target, Level::$level, plugin, root, vm, context, stream, worker, "{text}")
        };
    }
    by_level!(record, line);
}
