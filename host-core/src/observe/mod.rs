//! Observers of each call of a VM: transcripts and profiles.

mod guest;
pub(crate) mod observer;
pub mod profile;
pub mod transcript;
