//! Standard output and standard error of guests, line by line.

use crate::abi::LogLevel;

/// Output of a guest that has not ended with a newline yet. Runtimes (Go's, say) write a line in
/// many pieces.
#[derive(Debug, Default)]
pub(crate) struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

impl OutputStream {
    /// Logs standard output at info, standard error at error.
    pub(crate) fn level(self) -> LogLevel {
        match self {
            Self::Stdout => LogLevel::Info,
            Self::Stderr => LogLevel::Error,
        }
    }
}

impl Output {
    /// Bytes of a line that is kept; what would exceed them begins another.
    pub(crate) const MAX_LINE: usize = 64 << 10;

    /// Takes what a guest writes; hands on what is complete, up to its last newline and without it.
    pub(crate) fn write(&mut self, stream: OutputStream, bytes: &[u8], mut log: impl FnMut(&[u8])) {
        let line = self.line(stream);
        let mut rest = bytes;
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            let (whole, after) = bytes.split_at(end);
            rest = after.get(1..).unwrap_or_default();
            if line.is_empty() {
                log(whole);
            } else {
                line.extend_from_slice(whole);
                log(line);
                line.clear();
            }
        }
        if line.len().saturating_add(rest.len()) > Self::MAX_LINE {
            log(line);
            line.clear();
        }
        line.extend_from_slice(rest);
    }

    /// Takes the line that has no end.
    pub(crate) fn take(&mut self, stream: OutputStream) -> Vec<u8> {
        std::mem::take(self.line(stream))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stdout.is_empty() && self.stderr.is_empty()
    }

    fn line(&mut self, stream: OutputStream) -> &mut Vec<u8> {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OutputStream::{Stderr, Stdout};
    use super::*;

    fn write(output: &mut Output, stream: OutputStream, bytes: &str) -> Vec<String> {
        let mut lines = Vec::new();
        output.write(stream, bytes.as_bytes(), |line| lines.push(String::from_utf8_lossy(line).into_owned()));
        lines
    }

    #[test]
    fn pieces_are_one_line() {
        let mut output = Output::default();
        assert_eq!(write(&mut output, Stderr, "goroutine "), [""; 0]);
        assert_eq!(write(&mut output, Stdout, "whole\nwith two\n"), ["whole\nwith two"]);
        assert_eq!(write(&mut output, Stderr, "1 [running]:\nmain"), ["goroutine 1 [running]:"]);
        assert_eq!((output.take(Stderr), output.take(Stdout)), (b"main".to_vec(), Vec::new()));
        assert!(output.is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut output = Output::default();
        let long = "x".repeat(Output::MAX_LINE);
        assert_eq!(write(&mut output, Stdout, &long), [""; 0]);
        assert_eq!(write(&mut output, Stdout, "y"), [long]);
        assert_eq!(output.take(Stdout), b"y");
    }
}
