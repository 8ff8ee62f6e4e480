//! `presets`: sets of rights by name.

use std::fmt::Write;

use portcullis::rights::Preset;

/// Returns every preset with the capabilities that it adds to the one before.
pub(super) fn text() -> String {
    let mut out = String::from("Each preset holds the one before it.\n");
    for preset in Preset::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{}: {}", preset.name(), preset.summary());
        for name in preset.added() {
            let _ = writeln!(out, "  {name}");
        }
    }
    out
}
