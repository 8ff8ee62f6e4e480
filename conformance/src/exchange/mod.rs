//! Effects of a plugin's edits on what the upstream and the client get; and the order of a stream's
//! callbacks.

mod rows;

use crate::check::{Check, plain};

/// Returns the checks.
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
