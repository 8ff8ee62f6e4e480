//! Files and directories that the configuration names.

use std::path::{Path, PathBuf};

use super::document::{Read, Reported};
use super::value::{Value, quote};

/// Reads the path of a file that has to exist. A relative path is looked up in the working directory and then beside the
/// configuration. `help` says what to do if it is in neither.
pub fn existing(value: &Value<'_>, help: &str) -> Read<PathBuf> {
    let path = value.name()?;
    value.document.names_file(&path);
    if let Some(found) = value.document.find(&path, Path::is_file) {
        return Ok(found);
    }
    if let Some(found) = value.document.find(&path, Path::exists) {
        let kind = std::fs::metadata(found).ok().and_then(|found| portcullis::input::other_kind(found.file_type()));
        let help = if kind == Some("a directory") { "name the file in it" } else { "name a regular file" };
        return Err(value.fail(format!("{} is {}", quote(&path), kind.unwrap_or("no file")), help));
    }
    Err(missing(value, "file", &path, help))
}

/// Reads the path of a directory that has to exist, in the same way.
pub fn existing_directory(value: &Value<'_>, help: &str) -> Read<PathBuf> {
    let path = value.name()?;
    if let Some(found) = value.document.find(&path, Path::is_dir) {
        return Ok(found);
    }
    if value.document.find(&path, Path::is_file).is_some() {
        return Err(value.fail(format!("{} is a file", quote(&path)), "name the directory that it is in"));
    }
    Err(missing(value, "directory", &path, help))
}

fn missing(value: &Value<'_>, what: &str, path: &str, help: &str) -> Reported {
    let named = quote(path);
    let message = match Path::new(path).is_absolute() {
        true => format!("there is no {what} {named}"),
        false => {
            format!("there is no {what} {named}, neither in the working directory{} nor beside this file", working())
        }
    };
    value.fail(message, help)
}

fn working() -> String {
    std::env::current_dir().map_or(String::new(), |path| format!(" ({})", path.display()))
}
