//! The reader of YAML and JSON with places, for programs whose configuration has more than plugins.
//!
//! A [`Document`] is the tree of one file, and collects findings; a [`Value`] is a part of it with the path that leads there, and has the
//! typed ways to read it. A [`Mapping`] takes its keys apart: keys that its [`Section`] does not list are errors, with the one that they
//! resemble. What is wrong is noted where it is found, and reading goes on, so that all findings are reported at once.
//!
//! ```
//! use portcullis_config::reader::{Document, Key, Section, Type, Value};
//!
//! const NAME: Key = Key::new("name", Type::Name, "The name.").required();
//! const PORT: Key = Key::new("port", Type::Integer(1, 65535), "The port.").default("80");
//! static SERVER: Section = Section::new("server", "", "A server.", &[NAME, PORT]);
//!
//! let read = |root: &Value<'_>| {
//!     let mapping = root.mapping(&SERVER)?;
//!     let name = mapping.required(NAME, "add `name: NAME`", Value::name);
//!     let port = mapping.or(PORT, 80, |number| number.integer(PORT.range()));
//!     Ok((name?, port?))
//! };
//! let document = Document::parse("server.yaml", "name: a\nprot: 8080\n", "server.yaml")?;
//! let result = read(&document.root());
//! let error = document.finish(result).unwrap_err();
//! assert_eq!(error.to_string(), r#"server.yaml:2:1: unknown key "prot"; did you mean "port"?"#);
//! # Ok::<(), portcullis_config::ConfigError>(())
//! ```

pub mod base64;
mod depth;
mod document;
pub mod duration;
pub mod files;
mod indentation;
mod json;
mod key;
mod known;
mod lines;
mod mapping;
pub mod nearest;
pub mod percent;
pub mod secret;
pub mod size;
mod text;
mod unique;
mod value;
mod yaml;

pub use document::{Document, Read, Reported};
pub(crate) use json::as_yaml;
pub use key::{Absent, EMPTY, Key, Section, Type};
pub use lines::lines;
pub use mapping::{Entry, Mapping, Refused, snake_case};
pub use text::load;
pub use unique::Unique;
pub use value::{Kind, Value, quote};
