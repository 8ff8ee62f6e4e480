//! Every engine does the same.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod differential;
mod sizes;
mod transcripts;
