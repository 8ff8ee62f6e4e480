//! The text of a configuration, from a file or from standard input.

use std::io::ErrorKind;
use std::path::Path;

use portcullis::input::{read_at_most, read_file};

use crate::error::{ConfigError, Diagnostic};

/// The most bytes of a configuration, inline code included.
const LARGEST: u64 = 64 << 20;

/// Reads a file, or standard input for `-`; returns its name in messages, and its text. `example` is a file to start from.
///
/// # Errors
/// The file cannot be read, is no regular file, has more than 64 MiB, or is not UTF-8.
pub fn load(path: &Path, example: &str) -> Result<(String, String), ConfigError> {
    let is_input = path == Path::new("-");
    let name = if is_input { "<stdin>".to_owned() } else { path.display().to_string() };
    let read = || {
        let mut bytes = Vec::new();
        read_at_most(std::io::stdin().lock(), LARGEST, &mut bytes).map(|()| bytes)
    };
    let bytes = if is_input { read() } else { read_file(path, LARGEST) };
    let bytes = bytes.map_err(|error| {
        let help = match error.kind() {
            ErrorKind::InvalidInput => "name a regular file, or pass - to read standard input".to_owned(),
            ErrorKind::FileTooLarge => "name the configuration, and put code into files of its own".to_owned(),
            _ => format!("correct the path, or start from {example}"),
        };
        Diagnostic::of_file(&name, format!("cannot read the configuration: {error}"), help)
    })?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(_) => Err(Diagnostic::of_file(&name, "the file is not valid UTF-8", "save it as UTF-8").into()),
    }
}
