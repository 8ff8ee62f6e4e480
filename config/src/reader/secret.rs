//! Values that stand elsewhere: `{file: PATH}`, `{env: NAME}`, `{credential: NAME}`.
//!
//! Each is read once while a document is read, so that one configuration has one value of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use portcullis::input::read_file;

use super::document::Read;
use super::files;
use super::key::{Key, Section, Type};
pub use super::known::Secret;
use super::value::{Kind, Value};

const FILE: Key = Key::new(
    "file",
    Type::Name,
    "A file, found from the working directory or beside the configuration; a line end at its end is left out.",
);
const ENV: Key = Key::new("env", Type::Name, "An environment variable of the process.");
const CREDENTIAL: Key = Key::new(
    "credential",
    Type::Form("a file name", "^[^/]+$"),
    "A credential that systemd passes (`LoadCredential=`): a file of this name in `$CREDENTIALS_DIRECTORY`.",
);

/// The keys of a value that stands elsewhere.
pub static SECRET: Section = Section::new(
    "secret",
    "configuration (anywhere in it), environment_variables.key_values, admin.token_file, tls",
    "A value that stands elsewhere; one of the keys. It is read again at each reload, and shown nowhere.",
    &[FILE, ENV, CREDENTIAL],
)
.page("operations.md");

/// The most bytes of one value.
const LARGEST: u64 = 1 << 20;

/// The most bytes of all values of one configuration.
const LARGEST_OF_ALL: usize = 16 << 20;

/// Where systemd passes credentials.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Returns whether a part of a configuration that may be anything stands for a value elsewhere: a mapping with one of the keys alone,
/// and text behind it.
pub fn is_reference(value: &Value<'_>) -> bool {
    let has = |key: Key| value.member(key.name).is_some_and(|value| matches!(value.kind(), Kind::String(_)));
    value.entry_count() == Some(1) && SECRET.keys.iter().any(|key| has(*key))
}

/// Reads the value that a mapping refers to.
pub fn read(value: &Value<'_>) -> Read<Rc<Secret>> {
    let mapping = value.mapping(&SECRET)?;
    match mapping.at_most_one(SECRET.keys)? {
        Some(("env", name)) => {
            let name = name.name()?;
            known(value, &format!("the environment variable {name}"), Place::Variable(&name))
        }
        Some(("credential", name)) => {
            let path = credential(name, std::env::var_os(CREDENTIALS_DIRECTORY))?;
            known(value, &format!("the credential {}", name.name()?), Place::File(path))
        }
        Some((_, path)) => {
            let path = files::existing(path, NO_FILE)?;
            known(value, &format!("the file {}", path.display()), Place::File(path))
        }
        None => Err(value.fail("no value is referred to", "write `file: PATH`, `env: NAME` or `credential: NAME`")),
    }
}

/// Reads the value that is in the file of this path. `help` is the remedy if it is not there.
pub fn of_path(value: &Value<'_>, help: &str) -> Read<Rc<Secret>> {
    let path = files::existing(value, help)?;
    known(value, &format!("the file {}", path.display()), Place::File(path))
}

/// Reads the path of a file that has to exist: the path itself, or `{file: PATH}` or `{credential: NAME}`. `help` is the remedy if it does
/// not.
pub fn path(value: &Value<'_>, help: &str) -> Read<PathBuf> {
    let Kind::Mapping = value.kind() else { return files::existing(value, help) };
    let mapping = value.mapping(&SECRET)?;
    match mapping.at_most_one(SECRET.keys)? {
        Some(("env", name)) => {
            Err(name.fail("an environment variable is no file", "write `file: PATH` or `credential: NAME`"))
        }
        Some(("credential", name)) => credential(name, std::env::var_os(CREDENTIALS_DIRECTORY)),
        Some((_, path)) => files::existing(path, help),
        None => Err(value.fail("no file is referred to", "write `file: PATH` or `credential: NAME`")),
    }
}

const NO_FILE: &str = "correct the path; a plugin that is to have this mapping itself gets its configuration as `value`, beside \
                       `\"@type\": google.protobuf.Struct`";
const NO_VARIABLE: &str = "set it where the process is started, or correct the name; a plugin that is to have this mapping itself gets its \
                           configuration as `value`, beside `\"@type\": google.protobuf.Struct`";

/// Returns the file of a credential.
fn credential(value: &Value<'_>, directory: Option<OsString>) -> Read<PathBuf> {
    let name = value.name()?;
    if name.contains(['/', '\0']) || name == "." || name == ".." {
        return Err(value.expected("the name of a credential", "write it as in `LoadCredential=NAME:PATH`"));
    }
    let Some(directory) = directory.filter(|directory| !directory.is_empty()) else {
        let help = "add `LoadCredential=NAME:PATH` to the unit of the service, or write `file: PATH`";
        return Err(value.fail(format!("there are no credentials: {CREDENTIALS_DIRECTORY} is not set"), help));
    };
    let path = Path::new(&directory).join(&name);
    value.document.name_file(&path);
    match path.is_file() {
        true => Ok(path),
        false => {
            let message = format!("there is no credential {name:?} in {}", Path::new(&directory).display());
            Err(value.fail(message, "correct the name, or add `LoadCredential=NAME:PATH` to the unit of the service"))
        }
    }
}

/// The place of a value.
enum Place<'a> {
    File(PathBuf),
    Variable(&'a str),
}

/// Returns a value, which is read if the document has not read it yet.
fn known(value: &Value<'_>, place: &str, from: Place<'_>) -> Read<Rc<Secret>> {
    let mut known = value.document.secrets.borrow_mut();
    if let Some(secret) = known.by_place.get(place) {
        return Ok(Rc::clone(secret));
    }
    let (text, file) = match from {
        Place::File(file) => (of_file(&file), Some(file)),
        Place::Variable(name) => (of_variable(name), None),
    };
    let text = text.map_err(|(message, help)| value.fail(format!("{place} {message}"), help))?;
    known.bytes += text.len();
    if known.bytes > LARGEST_OF_ALL {
        let message = format!("all values that stand elsewhere have more than {LARGEST_OF_ALL} bytes");
        return Err(value.fail(message, "refer to secrets alone, and write other values here"));
    }
    let secret = Rc::new(Secret { text, file, place: place.to_owned() });
    known.by_place.insert(place.to_owned(), Rc::clone(&secret));
    Ok(secret)
}

/// Message and remedy.
type Fault = (String, &'static str);

const EMPTY: &str = "write the value there";

fn of_file(path: &Path) -> Result<String, Fault> {
    let bytes = read_file(path, LARGEST)
        .map_err(|error| (format!("cannot be read: {error}"), "correct the path, or let this user read it"))?;
    let text = String::from_utf8(bytes).map_err(|_| ("is not valid UTF-8".to_owned(), "save it as UTF-8"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(("is empty".to_owned(), EMPTY)) } else { Ok(text.to_owned()) }
}

fn of_variable(name: &str) -> Result<String, Fault> {
    // The system's function panics at these.
    if name.contains(['=', '\0']) {
        return Err(("cannot be set".to_owned(), "use letters, digits and _"));
    }
    match std::env::var(name) {
        Ok(text) if text.is_empty() => Err(("is empty".to_owned(), EMPTY)),
        Ok(text) if text.len() as u64 > LARGEST => {
            Err((format!("has more than {LARGEST} bytes"), "put the value into a file"))
        }
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => Err(("is not set".to_owned(), NO_VARIABLE)),
        Err(std::env::VarError::NotUnicode(_)) => Err(("is not valid UTF-8".to_owned(), "change its value")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::reader::Document;

    /// The path of a credential in a directory, and the files that were looked for.
    fn found(name: &str, directory: Option<&Path>) -> (Result<PathBuf, String>, Vec<PathBuf>) {
        let text = format!("{name:?}");
        let document = Document::parse("test.yaml", &text, "an example").unwrap();
        let result = credential(&document.root(), directory.map(|directory| directory.as_os_str().to_owned()));
        let files = document.files();
        (document.finish(result).map(|(path, _)| path).map_err(|error| error.to_string()), files)
    }

    #[test]
    fn a_credential_is_a_file_in_the_directory_of_systemd() {
        let folder = std::env::temp_dir().join(format!("portcullis-credentials-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("folder")).unwrap();
        std::fs::write(folder.join("key"), "k").unwrap();
        assert_eq!(found("key", Some(&folder)), (Ok(folder.join("key")), vec![folder.join("key")]));
        for (name, directory, expected) in [
            ("key", None, "there are no credentials: CREDENTIALS_DIRECTORY is not set; add `LoadCredential=NAME:PATH`"),
            ("key", Some(Path::new("")), "CREDENTIALS_DIRECTORY is not set"),
            ("other", Some(&*folder), "there is no credential \"other\" in "),
            ("folder", Some(&folder), "there is no credential \"folder\" in "),
            ("..", Some(&folder), "expected the name of a credential"),
            ("a/b", Some(&folder), "expected the name of a credential"),
            ("../key", Some(&folder), "expected the name of a credential"),
            ("", Some(&folder), "expected a name"),
        ] {
            let error = found(name, directory).0.unwrap_err();
            assert!(error.contains(expected), "{name}: {error}");
        }
        // It may come.
        assert_eq!(found("other", Some(&folder)).1, [folder.join("other")]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
