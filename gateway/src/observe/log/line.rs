//! The format of lines that plugins log, or the host about them.
//!
//! As `tracing_subscriber` writes it. Such lines are nearly all of a log and are written while requests wait, so they take
//! a way of their own, on which what needs no escape is copied. And each stays one line: a newline in it, with which a plugin
//! could write lines that look like the gateway's, is written as `\n`.

use std::borrow::Cow;

use portcullis::model::Plugin;
use portcullis::resources::LogRecord;
use tracing::Level;

use crate::observe::log::stamp;

/// Adds a line.
pub(super) fn push(line: &mut Vec<u8>, level: Level, target: &str, record: &LogRecord<'_>, worker: Option<usize>) {
    stamp::push_now(line);
    push_said(line, level, target, record);
    push_number(line, " context=", record.context.number());
    if record.stream != 0 {
        push_number(line, " stream=", record.stream);
    }
    if let Some(worker) = worker {
        push_number(line, " worker=", worker);
    }
    line.push(b'\n');
}

/// Returns a message as text.
pub(super) fn text(message: &[u8]) -> Cow<'_, str> {
    match within(message) {
        (whole, false) => String::from_utf8_lossy(whole),
        (start, true) => format!("{}{CUT}", String::from_utf8_lossy(start)).into(),
    }
}

/// The most bytes of one message; a longer one is cut, and marked as cut.
const MAX: usize = 16 << 10;
const CUT: &str = " [cut]";

/// Returns the part of a message that is logged, and whether there is more.
fn within(message: &[u8]) -> (&[u8], bool) {
    message.get(..MAX).map_or((message, false), |start| (start, message.len() > MAX))
}

/// Appends everything between the time and the numbers.
fn push_said(line: &mut Vec<u8>, level: Level, target: &str, record: &LogRecord<'_>) {
    line.extend_from_slice(match level {
        Level::ERROR => b" ERROR ",
        Level::WARN => b"  WARN ",
        Level::INFO => b"  INFO ",
        Level::DEBUG => b" DEBUG ",
        Level::TRACE => b" TRACE ",
    });
    line.extend_from_slice(target.as_bytes());
    line.extend_from_slice(b": ");
    let (message, is_cut) = within(record.message);
    push_message(line, message);
    if is_cut {
        line.extend_from_slice(CUT.as_bytes());
    }
    if let Some(Plugin { name, root_id, vm_id, .. }) = record.plugin {
        for (field, text) in [("plugin", name), ("root", root_id)] {
            if !text.is_empty() {
                push_field(line, field, text);
            }
        }
        push_field(line, "vm", vm_id);
    }
}

fn push_number(line: &mut Vec<u8>, field: &str, number: impl itoa::Integer) {
    line.extend_from_slice(field.as_bytes());
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

// Bytes are looked at by `fold` and not by `all`: it has no branches, and takes many at once.

/// Adds a field.
fn push_field(line: &mut Vec<u8>, field: &str, text: &str) {
    line.push(b' ');
    line.extend_from_slice(field.as_bytes());
    line.push(b'=');
    if text.bytes().fold(true, |plain, byte| plain & is_plain(byte) & (byte != b'"') & (byte != b'\\')) {
        line.push(b'"');
        line.extend_from_slice(text.as_bytes());
        line.push(b'"');
    } else {
        line.extend_from_slice(format!("{text:?}").as_bytes());
    }
}

/// Adds text without what moves a terminal's cursor, colours it, or begins another line.
fn push_message(line: &mut Vec<u8>, message: &[u8]) {
    if message.iter().fold(true, |plain, byte| plain & is_plain(*byte)) {
        return line.extend_from_slice(message);
    }
    for char in String::from_utf8_lossy(message).chars() {
        push_char(line, char);
    }
}

/// Adds a character, or the number of one that is not to be seen by a terminal; a tab is.
fn push_char(line: &mut Vec<u8>, char: char) {
    match char {
        '\n' => line.extend_from_slice(b"\\n"),
        '\r' => line.extend_from_slice(b"\\r"),
        '\0'..='\x08' | '\x0b'..='\x1f' | '\x7f' => {
            line.extend_from_slice(format!("\\x{:02x}", u32::from(char)).as_bytes());
        }
        '\u{80}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
            line.extend_from_slice(format!("\\u{{{:x}}}", u32::from(char)).as_bytes());
        }
        _ => line.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Returns a text of several lines, in which names of plugins may be, without what a terminal acts on.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if text.bytes().fold(true, |plain, byte| plain & (is_plain(byte) | (byte == b'\n'))) {
        return text.into();
    }
    let mut escaped = Vec::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => escaped.push(b'\n'),
            char => push_char(&mut escaped, char),
        }
    }
    String::from_utf8_lossy(&escaped).into_owned().into()
}

/// Bytes of lines that are written for a log, and that `tracing_subscriber` leaves as they are, by their numbers; it escapes what begins
/// a sequence for terminals, and writes such of its own.
pub(super) fn without_control(lines: &[u8]) -> Cow<'_, [u8]> {
    let is_control = |byte: u8| byte == 0x7f || byte < b' ' && !matches!(byte, b'\n' | b'\t' | 0x1b);
    if lines.iter().fold(true, |plain, byte| plain & !is_control(*byte)) {
        return lines.into();
    }
    let mut escaped = Vec::with_capacity(lines.len() + 16);
    for byte in lines {
        match *byte {
            byte if is_control(byte) => push_char(&mut escaped, char::from(byte)),
            byte => escaped.push(byte),
        }
    }
    escaped.into()
}

/// Returns true for a byte of text that is written as it is, everywhere.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use portcullis::abi::LogLevel;
    use portcullis::model::ContextId;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::observe::log::say::event;
    use crate::observe::log::targets::PLUGIN;

    #[derive(Clone, Debug, Default)]
    struct Text(Arc<Mutex<Vec<u8>>>);

    impl Write for Text {
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

    /// A line as it is written here, and as `tracing_subscriber` writes it, without the time.
    fn written(message: &[u8], plugin: Option<&Plugin>) -> [String; 2] {
        written_by(message, plugin, 0, None)
    }

    fn written_by(message: &[u8], plugin: Option<&Plugin>, stream: u64, worker: Option<usize>) -> [String; 2] {
        let (level, context) = (LogLevel::Warn, ContextId::VM);
        let record = LogRecord::new(level, message)
            .with_plugin(plugin)
            .with_context(context)
            .with_stream(stream)
            .with_from_host(false);
        let mut ours = Vec::new();
        push(&mut ours, Level::WARN, PLUGIN, &record, worker);
        let standard = Text::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(standard.clone()).finish();
        tracing::subscriber::with_default(subscriber, || event(&record, worker));
        let standard = standard.0.lock().expect("no panic").clone();
        [ours, standard].map(|text| {
            let text = String::from_utf8(text).expect("the log is text");
            let (time, rest) = text.split_once(' ').expect("a line begins with the time");
            assert_eq!(time.len(), "2026-01-01T00:00:00.000000Z".len(), "{time}");
            assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
            rest.to_owned()
        })
    }

    #[test]
    fn a_plugins_line_looks_as_the_standard_has_it() {
        let long = "x".repeat(MAX + 1);
        let messages: [&[u8]; 9] = [
            b"on_request",
            b"",
            b"with \"quotes\" and \\",
            b"tab\there",
            "\u{e4}\u{f6}\u{fc} \u{20ac} \u{1f600}".as_bytes(),
            b"\x1b[31mred\x07\x7f",
            "\u{9b}31m".as_bytes(),
            b"not \xff text",
            long.as_bytes(),
        ];
        for message in messages {
            assert_eq!(written(message, None)[0], written(message, None)[1]);
            for name in ["tour", "", "a \"b\"", "back\\slash", "new\nline", "\u{e4}"] {
                let mut plugin = Plugin::new(name);
                for (root, vm) in [("", ""), ("root", name)] {
                    (plugin.root_id, plugin.vm_id) = (root.to_owned(), vm.to_owned());
                    let [ours, standard] = written(message, Some(&plugin));
                    assert_eq!(ours, standard);
                }
            }
        }
    }

    #[test]
    fn numbers_look_as_the_standard_has_them() {
        for (stream, worker) in [(0, Some(0)), (7, None), (u64::MAX, Some(12))] {
            let [ours, standard] = written_by(b"text", Some(&Plugin::new("tour")), stream, worker);
            assert_eq!(ours, standard);
            assert_eq!(ours.contains(&format!(" stream={stream}")), stream != 0, "{ours}");
            assert!(ours.contains(r#" vm="" context=0"#), "{ours}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_cut_and_says_so() {
        let [ours, _] = written("x".repeat(MAX + 1).as_bytes(), None);
        assert!(ours.ends_with("x [cut] context=0\n"), "{}", ours.len());
        let [ours, _] = written("x".repeat(MAX).as_bytes(), None);
        assert!(ours.ends_with("x context=0\n"));
    }

    #[test]
    fn control_characters_are_written_as_numbers() {
        let all: String = (0..=0x9f).filter_map(char::from_u32).filter(|char| *char != '\t').collect();
        let mut plugin = Plugin::new(&all);
        plugin.vm_id.clone_from(&all);
        let [ours, _] = written(all.as_bytes(), Some(&plugin));
        let (text, end) = ours.split_at(ours.len() - 1);
        assert_eq!((text.chars().filter(|char| char.is_control()).count(), end), (0, "\n"), "{ours:?}");
        assert!(
            text.contains(" plugin: \\x00\\x01") && text.contains("\\x1a\\x1b\\x1c") && text.contains("\\u{9f}"),
            "{ours:?}"
        );
    }

    #[test]
    fn text_for_a_person_keeps_its_lines_and_nothing_else_that_a_terminal_acts_on() {
        assert_eq!(escaped("two\nlines\tand \u{e4}"), "two\nlines\tand \u{e4}");
        assert_eq!(escaped("\0\r\x1b[2J\u{9b}\u{2028}\n"), "\\x00\\r\\x1b[2J\\u{9b}\\u{2028}\n");
    }

    #[test]
    fn lines_of_others_keep_their_colours_alone() {
        assert_eq!(&*without_control(b"\x1b[1m a\tb \xc3\xa4\n"), b"\x1b[1m a\tb \xc3\xa4\n");
        assert_eq!(&*without_control(b"\x1b[1m\0a\rb\x7f\n"), b"\x1b[1m\\x00a\\rb\\x7f\n");
    }

    #[test]
    fn a_plugin_cannot_begin_another_line() {
        for end in ["\n", "\r\n", "\r", "\x0b", "\u{85}", "\u{2028}"] {
            let message = format!("harmless{end}2026-01-01T00:00:00.000000Z ERROR portcullis: all is lost");
            let [ours, _] = written(message.as_bytes(), None);
            assert_eq!(ours.chars().filter(|char| char.is_control() || *char == '\u{2028}').count(), 1, "{ours:?}");
            assert!(ours.ends_with("all is lost context=0\n"));
        }
    }
}
