//! Files and standard output, with errors that name them.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

pub(crate) fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

pub(crate) fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Opens a file to write behind what is there; makes it if it is not there.
pub(crate) fn append(file: &Path) -> Result<fs::File, String> {
    fs::OpenOptions::new().append(true).create(true).open(file).map_err(|error| format!("{}: {error}", file.display()))
}

pub(crate) fn say(text: &str) -> Result<(), String> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}
