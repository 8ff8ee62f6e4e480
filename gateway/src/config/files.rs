//! Files that the configuration names.

use std::path::{Path, PathBuf};

use super::document::Read;
use super::value::{Value, quote};

/// Reads the path of a file that has to exist. A relative path is looked up in the working directory and then beside the
/// configuration. `help` says what to do if it is in neither.
pub(super) fn existing(value: &Value<'_>, help: &str) -> Read<PathBuf> {
    let path = value.name()?;
    if let Some(found) = value.document.find(&path) {
        return Ok(found);
    }
    let named = quote(&path);
    if Path::new(&path).is_dir() {
        return Err(value.fail(format!("{named} is a directory"), "name the file in it"));
    }
    let message = match Path::new(&path).is_absolute() {
        true => format!("there is no file {named}"),
        false => {
            format!("there is no file {named}, neither in the working directory{} nor beside this file", working())
        }
    };
    Err(value.fail(message, help))
}

fn working() -> String {
    std::env::current_dir().map_or(String::new(), |path| format!(" ({})", path.display()))
}
