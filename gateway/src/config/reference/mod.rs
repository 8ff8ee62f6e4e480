//! The reference of the configuration, made of the keys that the reader takes: a JSON Schema, and a page of documentation.

mod durations;
mod page;
mod schema;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests;

pub use page::page;
pub use schema::schema;

use portcullis_config::reader::{Section, Type};

use super::file::FILE;

/// Returns every section once, each before the sections in it.
fn sections() -> Vec<&'static Section> {
    let mut found: Vec<&'static Section> = vec![&FILE];
    let mut next = 0;
    while let Some(section) = found.get(next).copied() {
        next += 1;
        for key in section.keys {
            collect(key.values, &mut found);
        }
    }
    found
}

/// Adds the sections of a type that are not there yet.
fn collect(values: Type, found: &mut Vec<&'static Section>) {
    match values {
        Type::Section(section) if !found.iter().any(|known| known.name == section.name) => found.push(section),
        Type::List(item) | Type::Map(item) => collect(*item, found),
        Type::Either(types) => types.iter().for_each(|one| collect(*one, found)),
        _ => {}
    }
}
