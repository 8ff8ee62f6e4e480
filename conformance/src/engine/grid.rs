//! The grid of phases as an engine has it.

use portcullis::abi::CallbackId;
use portcullis::engine::AnyEngine;

use crate::check::{Sees, plain};
use crate::engine::host::{EngineHost, Probes};
use crate::kit;
use crate::phases::{PHASES, lines};

/// Returns the grid as an engine has it, to be compared with the one that is kept.
pub fn grid(engine: &dyn AnyEngine) -> String {
    let probes = Probes::new(engine);
    let mut text = String::new();
    for line in lines() {
        let cell = |(phase, cell): (&CallbackId, &&str)| {
            let task = plain(*phase, line.script);
            let seen = kit::observe(&mut EngineHost::new(&probes), &task, 0, probes.starts());
            if *cell == "." {
                ".".to_owned()
            } else {
                seen.map_or_else(|trouble| format!("{trouble:?}"), |seen| Sees::Everything.of(&seen))
            }
        };
        let cells: Vec<_> = PHASES.iter().zip(&line.cells).map(cell).collect();
        text.push_str(&format!("{} | {}\n", line.script, cells.join(" ")));
    }
    text
}
