//! Reader, schema and page agree.

mod docs;
mod places;
mod validate;

use std::path::{Path, PathBuf};

use portcullis_config::blocks::any;
use portcullis_config::reader::{Absent, Document, Key, Section, Type, nearest};
use serde_json::Value as Json;

use super::super::{Config, ConfigError, Diagnostic};
use super::{page, schema, sections};
use places::{PLACES, Place};
use validate::violations;

/// The remedy for a stale file.
const REMEDY: &str = "PORTCULLIS_WRITE=1 cargo test --workspace --lib -- config::reference";

/// Its place takes anything else, too, as far as the schema knows.
const FREE: &str = "typed_value";

/// Compares a committed file with what it is made of, or writes it.
fn is_committed(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("PORTCULLIS_WRITE").is_some_and(|value| !value.is_empty()) {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == text, "docs/{name} is stale; write it anew: {REMEDY}");
}

#[test]
fn the_page_is_committed() {
    is_committed("configuration.md", &page());
}

#[test]
fn the_schema_is_committed() {
    is_committed("configuration.schema.json", &schema());
}

#[test]
fn every_section_has_a_place_and_a_name_of_its_own() {
    let names: Vec<&str> = sections().iter().map(|section| section.name).filter(|name| *name != "nothing").collect();
    let placed: Vec<&str> = PLACES.iter().map(|place| place.section).collect();
    for name in &names {
        assert_eq!(placed.iter().filter(|placed| placed == &name).count(), 1, "{name}");
    }
    assert_eq!(names.len(), placed.len(), "a place is of no section");
}

#[test]
fn every_key_has_a_sentence() {
    for (section, key) in keys() {
        let path = format!("{}.{}", section.name, key.name);
        assert!(key.about.ends_with('.') && !key.about.contains(['\n', '|']), "{path}: {:?}", key.about);
        assert_eq!(section.keys.iter().filter(|other| other.name == key.name).count(), 1, "{path}");
    }
}

#[test]
fn a_place_is_right_as_it_stands() {
    for place in PLACES {
        let text = place.text(None);
        read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(violations(&json(&text)), Vec::<String>::new(), "{text}");
    }
}

/// The reader reads each key that it knows, and expects what the key says; so does the schema.
#[test]
fn a_wrong_value_is_found_behind_every_key() {
    let mut failures = Vec::new();
    for (section, key) in keys() {
        let Some((wrong, expected)) = wrong(key.values) else { continue };
        let texts = [place(section).text(Some((key.name, &wrong))), place(section).alone(section, key.name, &wrong)];
        let found = texts.iter().filter_map(|text| read(text).err());
        let found: Vec<Diagnostic> = found.flat_map(|error| error.diagnostics().to_vec()).collect();
        if !found.iter().any(|found| is_at(found, key) && found.to_string().contains(&expected)) {
            failures.push(format!("{texts:?}: expected {expected:?} at {}, found {found:#?}", key.name));
        }
        if section.name != FREE && texts.iter().any(|text| violations(&json(text)).is_empty()) {
            failures.push(format!("the schema takes {texts:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn is_at(found: &Diagnostic, key: Key) -> bool {
    let name = key.name;
    let inside = [format!("{name}["), format!("[{name:?}]")];
    found.path.ends_with(name) || inside.iter().any(|inside| found.path.contains(inside))
}

/// The described default is the one that the reader uses.
#[test]
fn writing_a_default_changes_nothing() {
    let mut count = 0;
    for (section, key) in keys() {
        let Absent::Value(default) = key.absent else { continue };
        let place = place(section);
        let without = read(&place.text(None)).unwrap();
        let text = place.text(Some((key.name, default)));
        let with = read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(with, without, "{text}");
        assert_eq!(violations(&json(&text)), Vec::<String>::new(), "{text}");
        count += 1;
    }
    assert!(count > 50, "{count} defaults");
}

#[test]
fn required_keys_are_required() {
    for (section, key) in keys().filter(|(section, key)| matches!(key.absent, Absent::Error) && section.name != FREE) {
        let text = place(section).without(key.name);
        assert!(read(&text).is_err(), "the reader takes {text}");
        assert_ne!(violations(&json(&text)), Vec::<String>::new(), "the schema takes {text}");
    }
}

/// Every word of a key is taken, and every edge of a range.
#[test]
fn every_value_that_is_named_is_taken() {
    for (section, key) in keys() {
        let named: Vec<String> = match key.values {
            Type::Words(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            Type::Integer(least, most) | Type::Size(least, most) => vec![least.to_string(), most.to_string()],
            Type::Seconds(least, most) => vec![format!("{least}s"), format!("{most}s")],
            Type::Boolean => vec!["true".to_owned(), "false".to_owned()],
            _ => continue,
        };
        for value in named {
            let text = place(section).text(Some((key.name, &value)));
            let refused = read(&text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!refused.contains("expected"), "{text}: {refused}");
            assert_eq!(violations(&json(&text)), Vec::<String>::new(), "{text}");
        }
    }
}

#[test]
fn an_unknown_key_is_refused_everywhere() {
    for place in PLACES {
        let text = place.text(Some(("nope_nope", "1")));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains("unknown key \"nope_nope\""), "{text}: {error}");
        assert!(place.section == FREE || !violations(&json(&text)).is_empty(), "the schema takes {text}");
    }
}

#[test]
fn the_examples_are_as_the_schema_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files = files.iter().filter(|file| file.extension().is_some_and(|own| own == "yaml"));
    let mut count = 0;
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(violations(&json(&text)), Vec::<String>::new(), "{}", file.display());
        count += 1;
    }
    assert!(count >= 5, "{count} examples");
}

fn keys() -> impl Iterator<Item = (&'static Section, Key)> {
    sections().into_iter().flat_map(|section| section.keys.iter().map(move |key| (section, *key)))
}

fn place(section: &Section) -> &'static Place {
    PLACES.iter().find(|place| place.section == section.name).unwrap()
}

/// Returns the configuration without what it notices.
fn read(text: &str) -> Result<Config, ConfigError> {
    Ok(Config { notices: Vec::new(), ..Config::parse("test.yaml", text)? })
}

/// Returns the text as JSON.
fn json(text: &str) -> Json {
    let document = Document::parse("test.yaml", text, "an example").unwrap();
    let bytes = any::json(&document.root()).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// Returns a value that a type has no room for, and what the reader then expects; None where anything goes.
fn wrong(values: Type) -> Option<(String, String)> {
    let pair = |value: &str, expected: &str| Some((value.to_owned(), expected.to_owned()));
    match values {
        Type::Text | Type::Name | Type::Base64 => pair("[]", "expected text"),
        Type::Form(..) => pair("''", ""),
        Type::Boolean => pair("[]", "expected true or false"),
        Type::Integer(least, most) => {
            Some((most.checked_add(1)?.to_string(), format!("expected a whole number from {least} to {most}")))
        }
        Type::Size(_, most) => Some((most.checked_add(1)?.to_string(), "expected a size".to_owned())),
        Type::Duration => pair("5", "expected a duration"),
        Type::Positive => pair("0s", "expected a duration"),
        Type::Seconds(_, most) => Some((format!("{}s", most.checked_add(1)?), "expected a duration".to_owned())),
        Type::Percent => pair("120%", "expected a percentage"),
        Type::Words(words) => Some(("nope".to_owned(), format!("expected {}", nearest::either(words)))),
        Type::Preset => None,
        Type::Capabilities => pair("[]", "expected a mapping"),
        Type::List(_) => pair("{}", "expected a list"),
        Type::Map(_) | Type::Section(_) | Type::Nothing => pair("[1]", "expected a mapping"),
        Type::Either(types) if types.iter().any(|one| matches!(one, Type::Free)) => None,
        Type::Either(_) => pair("[[]]", ""),
        Type::Free => None,
    }
}
