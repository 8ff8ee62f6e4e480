//! Keys at the top of a file that concern all of its plugins.

use std::path::PathBuf;

use portcullis::Worker;
use portcullis::model::Percent;
use portcullis::sandbox::Sharing;

use super::vm;
use crate::reader::{Key, Mapping, Read, Section, Type, percent};

/// Settings of all plugins of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Which part of a worker plugins get for what no stream waits for, while IO waits (`limits.tick_share`).
    pub tick_share: Percent,
    /// The folder where compiled code is kept, if it is.
    pub code_cache: Option<PathBuf>,
    /// The treatment of plugins that would share a VM and differ, where their VMs do not say it.
    pub sharing: Sharing,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tick_share: Worker::DEFAULT_TICK_SHARE, code_cache: None, sharing: Sharing::Reject }
    }
}

/// Reads [`LIMITS`], [`CODE_CACHE`] and [`SHARING`] of a mapping whose section has them.
pub fn read(mapping: &Mapping<'_>) -> Read<Settings> {
    let default = Settings::default();
    let tick_share = mapping.or(LIMITS, default.tick_share, |limits| {
        limits.mapping(&WORKER_LIMITS)?.or(TICK_SHARE, default.tick_share, percent::read)
    });
    let code_cache = mapping.optional(CODE_CACHE, |path| Ok(path.document.beside(&path.name()?)));
    let sharing = mapping.or(SHARING, default.sharing, vm::sharing);
    Ok(Settings { tick_share: tick_share?, code_cache: code_cache?, sharing: sharing? })
}

/// Limits of workers.
pub const LIMITS: Key = Key::new("limits", Type::Section(&WORKER_LIMITS), "Limits of workers.");

/// The folder of compiled code.
pub const CODE_CACHE: Key = Key::new(
    "code_cache",
    Type::Name,
    "The folder where compiled code is kept, private to the gateway's user; relative to this file; without it code is not kept.",
);

/// Treatment of plugins that would share a VM and differ.
pub const SHARING: Key = Key::new(
    "sharing",
    Type::Words(vm::SHARING_WORDS),
    "Treatment of plugins that ask for one VM and differ in rights, environment or limits: the file is refused, or each set of \
     equal ones has a VM of its own.",
)
.default("reject");

const TICK_SHARE: Key = Key::new(
    "tick_share",
    Type::Percent,
    "The part of a worker that plugins get for what no stream waits for, such as ticks, while IO waits.",
)
.default("20%");

static WORKER_LIMITS: Section =
    Section::new("worker_limits", "limits", "Shares of a worker.", &[TICK_SHARE]).page("shares.md");
