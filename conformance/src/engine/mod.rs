//! Engines: cases with guests of their own, an engine as a host of the probe, and what all engines must do the same.
//!
//! Needs the feature `engines`, which every feature that names an engine enables.

pub mod attacks;
pub mod callbacks;
mod case;
mod cases;
mod denied;
pub mod differential;
mod examine;
mod expectation;
mod folder;
pub mod grid;
mod host;
pub mod hostile;
mod own_guest;
mod prelude;
mod recorder;
mod running;
pub mod sizes;

pub use case::{Case, Topic};
pub use cases::TOPICS;
pub use denied::{Denied, denied};
pub use examine::examine_engine;
pub use expectation::{GAPS, Gap};
pub use host::{EngineHost, Probes};
pub(crate) use own_guest::{OwnGuest, own_guests};
pub use recorder::{Line, MONOTONIC, Recorder, WALL};
pub use running::{Running, Setup};
