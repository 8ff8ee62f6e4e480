//! `reload`: how long streams keep a configuration that has been replaced.

use std::time::Duration;

use portcullis_config::reader::{Key, Mapping, Read, Section, Type, duration};
use serde_json::{Value as Json, json};

/// How long requests and streams keep the generation that they began in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadLimits {
    /// How many generations live at once, the current one included; from 2 to 64. Requests and streams of the oldest are cut when there
    /// would be more.
    pub max_generations: usize,
    /// How long a TCP stream goes on when its generation has been replaced; zero for no limit.
    pub linger: Duration,
}

impl Default for ReloadLimits {
    fn default() -> Self {
        Self { max_generations: 4, linger: Duration::from_secs(600) }
    }
}

const MAX_GENERATIONS: Key = Key::new(
    "max_generations",
    Type::Integer(2, 64),
    "The most configurations that have requests or streams at once; those of the oldest are cut for another.",
)
.default("4");
const LINGER: Key = Key::new(
    "linger",
    Type::Duration,
    "How long a TCP stream goes on when its configuration has been replaced; `0s` for no limit.",
)
.default("10m");

pub(super) static SECTION: Section = Section::new(
    "reload",
    "reload",
    "How long streams keep a configuration that has been replaced.",
    &[MAX_GENERATIONS, LINGER],
)
.page("operations.md");

pub(super) const RELOAD: Key =
    Key::new("reload", Type::Section(&SECTION), "Limits of configurations that were replaced.");

/// Reads the block, if it is there.
pub(super) fn read(file: &Mapping<'_>) -> Read<ReloadLimits> {
    let default = ReloadLimits::default();
    file.or(RELOAD, default, |value| {
        let mapping = value.mapping(&SECTION)?;
        let max_generations = mapping
            .or(MAX_GENERATIONS, default.max_generations as u64, |number| number.integer(MAX_GENERATIONS.range()));
        let linger = mapping.or(LINGER, default.linger, duration::read);
        Ok(ReloadLimits { max_generations: max_generations? as usize, linger: linger? })
    })
}

pub(super) fn to_json(limits: &ReloadLimits) -> Json {
    json!({ "max_generations": limits.max_generations, "linger": duration::format(limits.linger) })
}
