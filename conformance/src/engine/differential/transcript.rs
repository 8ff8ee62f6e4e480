use portcullis::engine::AnyEngine;

use super::event::Event;
use super::stage::Stage;
use super::witness::{Witness, without_stack};

/// All that was seen of a guest on one engine.
pub(super) struct Transcript {
    engine: &'static str,
    lines: Vec<String>,
    pub(super) has_started: bool,
    /// The guest ran out of what no two engines have the same of.
    pub(super) is_void: bool,
}

impl Transcript {
    pub(super) fn of(engine: &dyn AnyEngine, wasm: &[u8], events: &[Event]) -> Self {
        let witness = Witness::default();
        let started = Stage::set(engine, wasm, &witness);
        let has_started = started.is_ok();
        match started {
            Ok(mut stage) => {
                for event in events {
                    witness.write(format!("{event:?}"));
                    stage.play(*event);
                    stage.drain();
                }
                stage.close();
            }
            Err(error) => {
                if error.contains("stack: ") || error.contains("deadline: ") {
                    witness.give_up();
                }
                witness.write(without_stack(&error).to_owned());
            }
        }
        let (lines, is_void) = witness.finish();
        Self { engine: engine.name(), lines, has_started, is_void }
    }

    /// Returns the first difference, with what came before it.
    pub(super) fn difference(&self, other: &Self) -> Option<String> {
        const BEFORE: usize = 8;
        let end = "(nothing more)".to_owned();
        let line = |of: &Self, at: usize| of.lines.get(at).unwrap_or(&end).clone();
        let at = (0..self.lines.len().max(other.lines.len())).find(|at| line(self, *at) != line(other, *at))?;
        let before = self.lines.get(at.saturating_sub(BEFORE)..at).unwrap_or_default().join("\n");
        let (one, another) = (line(self, at), line(other, at));
        Some(format!("{before}\n--- {}:\n{one}\n--- {}:\n{another}", self.engine, other.engine))
    }
}
