//! What looks at each call of a VM: transcripts and profiles.

pub mod profile;
pub mod tape;
pub(crate) mod witness;
