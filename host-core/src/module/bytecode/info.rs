//! Other facts about a module for its operator: size of memory, start section, toolchain.

use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

use super::error::shown;
use super::outline::PAGE;

/// Facts that can be read in a module, whether it may run or not; the verdict depends on none of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// Its first memory, if it has one of its own.
    pub memory: Option<MemoryShape>,
    /// Whether it has a start section, which runs before all start functions.
    pub start_section: bool,
    /// Whether it has a name section: traps name its functions then.
    pub names: bool,
    /// The tools that made it, as its producers section says, at most 32 of them.
    pub producers: Vec<Producer>,
}

/// The size of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryShape {
    /// Bytes at the start.
    pub min: u64,
    /// The most bytes that the module itself lets it have.
    pub max: Option<u64>,
}

/// A tool that took part in making a module, as the module says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Producer {
    /// The tool's part: `language`, `processed-by` or `sdk`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    pub version: String,
}

/// How many producers are read.
const PRODUCERS: usize = 32;

impl ModuleInfo {
    /// Reads a module up to what cannot be read.
    pub fn read(wasm: &[u8]) -> Self {
        let mut info = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            let Ok(payload) = payload else { break };
            info.add(&payload);
        }
        info
    }

    fn add(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::MemorySection(section) => {
                let memory = section.clone().into_iter().next().and_then(Result::ok);
                self.memory = memory.map(|memory| MemoryShape {
                    min: memory.initial.saturating_mul(PAGE),
                    max: memory.maximum.map(|max| max.saturating_mul(PAGE)),
                });
            }
            Payload::StartSection { .. } => self.start_section = true,
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(_) => self.names = true,
                KnownCustom::Producers(section) => self.add_producers(section),
                _ => {}
            },
            _ => {}
        }
    }

    fn add_producers(&mut self, section: ProducersSectionReader<'_>) {
        let fields = section.into_iter().map_while(Result::ok);
        let all = fields.flat_map(|field| {
            let values = field.values.into_iter().map_while(Result::ok);
            values.map(move |value| Producer {
                field: shown(field.name),
                name: shown(value.name),
                version: shown(value.version),
            })
        });
        self.producers.extend(all.take(PRODUCERS.saturating_sub(self.producers.len())));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn memory_and_start_are_read() {
        let wasm = wat::parse_str("(module (memory 2 4) (func $s) (start $s))").unwrap();
        let info = ModuleInfo::read(&wasm);
        assert_eq!(info.memory, Some(MemoryShape { min: 2 << 16, max: Some(4 << 16) }));
        assert!(info.start_section && info.names, "{info:?}");
        assert_eq!(ModuleInfo::read(&wat::parse_str("(module)").unwrap()), ModuleInfo::default());
    }

    #[test]
    fn producers_are_read_fit_for_a_terminal_and_not_without_end() {
        let wasm = wat::parse_str(r#"(module (@producers (language "Rust" "2024") (sdk "\1b[2Jx" "")))"#).unwrap();
        let producer = |field: &str, name: &str, version: &str| Producer {
            field: field.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let expected = [producer("language", "Rust", "2024"), producer("sdk", "\\u{1b}[2Jx", "")];
        assert_eq!(ModuleInfo::read(&wasm).producers, expected);
        let many: String = (0..100).map(|i| format!(r#"(processed-by "tool-{i}" "1")"#)).collect();
        let wasm = wat::parse_str(format!("(module (@producers {many}))")).unwrap();
        assert_eq!(ModuleInfo::read(&wasm).producers.len(), PRODUCERS);
    }

    #[test]
    fn bytes_that_are_no_module_are_read_as_far_as_they_go() {
        let wasm = wat::parse_str("(module (memory 1) (func $s) (start $s))").unwrap();
        assert_eq!(ModuleInfo::read(b"no module"), ModuleInfo::default());
        for end in 0..wasm.len() {
            let info = ModuleInfo::read(&wasm[..end]);
            assert!(info.memory.is_some() || !info.start_section, "{end}: {info:?}");
        }
    }
}
