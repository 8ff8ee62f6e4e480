//! How a line of the log looks.
//!
//! As `tracing_subscriber` writes it. What plugins say, which is nearly all of a log and is written while requests wait,
//! looks the same and takes another way: text that needs no escape is copied. And it stays one line: a newline in it, with
//! which a plugin could write lines that look like the gateway's, is written as `\n`. Only a terminal gets it as it is.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::host::{PLUGIN, VM};

/// Formats lines of text.
#[derive(Debug, Default)]
pub(super) struct Lines {
    standard: Format,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let target = event.metadata().target();
        if to.has_ansi_escapes() || !(target == PLUGIN || target == VM) {
            return self.standard.format_event(context, to, event);
        }
        write!(to, "{} ", humantime::format_rfc3339_micros(SystemTime::now()))?;
        write_said(&mut to, event)
    }
}

/// All but the time.
fn write_said(to: &mut Writer<'_>, event: &Event<'_>) -> fmt::Result {
    to.write_str(match *event.metadata().level() {
        Level::ERROR => "ERROR ",
        Level::WARN => " WARN ",
        Level::INFO => " INFO ",
        Level::DEBUG => "DEBUG ",
        Level::TRACE => "TRACE ",
    })?;
    to.write_str(event.metadata().target())?;
    to.write_char(':')?;
    let mut fields = Fields { to, result: Ok(()) };
    event.record(&mut fields);
    fields.result?;
    to.write_char('\n')
}

struct Fields<'a, 'w> {
    to: &'a mut Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    fn write(&mut self, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.result = self.result.and_then(|()| write(self.to));
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(|to| {
            to.write_char(' ')?;
            to.write_str(field.name())?;
            if value.bytes().all(|byte| is_plain(byte) && byte != b'"' && byte != b'\\') {
                to.write_str("=\"")?;
                to.write_str(value)?;
                to.write_char('"')
            } else {
                write!(to, "={value:?}")
            }
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(|to| {
            to.write_char(' ')?;
            if field.name() == "message" {
                return write!(OneLine(to), "{value:?}");
            }
            write!(to, "{}={value:?}", field.name())
        });
    }
}

/// Writes text without what moves a terminal's cursor, colours it, or begins another line.
struct OneLine<'a, 'w>(&'a mut Writer<'w>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Self(to) = self;
        if text.bytes().all(is_plain) {
            return to.write_str(text);
        }
        text.chars().try_for_each(|char| match char {
            '\n' => to.write_str("\\n"),
            '\r' => to.write_str("\\r"),
            '\x07' | '\x08' | '\x0b' | '\x0c' | '\x1b' | '\x7f' => write!(to, "\\x{:02x}", u32::from(char)),
            '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => write!(to, "\\u{{{:x}}}", u32::from(char)),
            _ => to.write_char(char),
        })
    }
}

/// Whether this is a byte of text that is written as it is, everywhere.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Text {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Text {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// What is written by each formatter, without the time.
    fn written(log: impl Fn()) -> [String; 2] {
        let (ours, standard) = (Text::default(), Text::default());
        let builder = || tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
        let subscriber = builder().with_writer(ours.clone()).event_format(Lines::default()).finish();
        tracing::subscriber::with_default(subscriber, &log);
        let subscriber = builder().with_writer(standard.clone()).finish();
        tracing::subscriber::with_default(subscriber, &log);
        [ours, standard].map(|text| {
            let text = String::from_utf8(text.0.lock().expect("no panic").clone()).expect("the log is text");
            let (time, rest) = text.split_once(' ').expect("a line begins with the time");
            assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
            assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
            rest.to_owned()
        })
    }

    #[test]
    fn a_plugins_line_looks_as_the_standard_has_it() {
        for message in
            ["on_request", "", "with \"quotes\" and \\", "tab\there", "äöü € 😀", "\x1b[31mred\x07\x7f", "\u{9b}31m"]
        {
            for name in ["tour", "", "a \"b\"", "back\\slash", "new\nline", "ä"] {
                let [ours, standard] = written(|| {
                    let (plugin, vm) = (Some(name), None::<&str>);
                    tracing::warn!(target: PLUGIN, plugin, vm, context = %7, "{message}");
                });
                assert_eq!(ours, standard);
            }
        }
        let levels = || {
            tracing::trace!(target: PLUGIN, "m");
            tracing::debug!(target: VM, "m");
            tracing::info!(target: PLUGIN, number = 5, flag = true, "m");
            tracing::error!(target: VM, text = ?"debug", "m");
        };
        let [ours, standard] = written(levels);
        let without_times = |text: String| -> Vec<String> {
            text.lines().map(|line| line.split_at(line.find("m").unwrap_or_default()).1.to_owned()).collect()
        };
        assert_eq!(without_times(ours), without_times(standard));
    }

    #[test]
    fn a_plugin_cannot_begin_another_line() {
        for end in ["\n", "\r\n", "\r", "\x0b", "\u{85}", "\u{2028}"] {
            let message = format!("harmless{end}2026-01-01T00:00:00.000000Z ERROR portcullis: all is lost");
            let [ours, _] = written(|| tracing::info!(target: PLUGIN, "{message}"));
            assert_eq!(ours.chars().filter(|char| char.is_control() || *char == '\u{2028}').count(), 1, "{ours:?}");
            assert!(ours.ends_with("all is lost\n"));
        }
    }

    #[test]
    fn other_lines_are_the_standards() {
        let [ours, standard] = written(|| tracing::info!(target: "portcullis", port = 80, "listening\non"));
        assert_eq!(ours, standard);
    }
}
