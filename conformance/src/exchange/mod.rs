//! What a plugin's edits come to: what the upstream gets, and what the client gets; and in which order a stream's
//! callbacks come.

mod rows;

use crate::check::{Check, plain};

/// The checks.
pub(crate) fn checks() -> impl Iterator<Item = Check> {
    rows::ROWS.iter().map(|(name, phase, script, sees, expected)| Check {
        topic: "exchange",
        name: (*name).to_owned(),
        task: plain(*phase, script),
        expected: (*expected).to_owned(),
        sees: *sees,
        spec: "v0.2.1#Callbacks",
    })
}
