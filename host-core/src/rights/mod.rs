//! Rights of plugins: capabilities, rules for their arguments, and denials.

mod denial;
mod likeness;
mod on_denial;
mod pattern;
mod presets;
pub(crate) mod rate;
mod reflection;
mod rules;
mod set;

pub use denial::Denial;
pub(crate) use denial::DenialLog;
pub(crate) use likeness::Likeness;
pub use on_denial::OnDenial;
pub use presets::Preset;
pub use rules::{Beyond, Learned, RuleError, RuleTexts, Rules};
pub(crate) use rules::{Family, Key, Rule};
pub use set::{Capabilities, UnknownCapability};
