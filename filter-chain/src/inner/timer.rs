//! The driver's timer of ticks.

use std::time::Duration;

use super::Inner;
use crate::effect::Effect;

/// The time that a driver's timer was set to, as far as the worker has told.
#[derive(Debug, Default)]
pub(super) struct Timer {
    /// When the next tick was due, as the driver was told last.
    due: Option<Duration>,
    /// The driver has called for a tick since, so that its timer has to be set even if nothing was ticked.
    has_expired: bool,
}

impl Inner {
    /// Notes that the driver has called for a tick.
    pub(super) fn note_expired(&mut self) {
        self.timer.has_expired = true;
    }

    /// Has the driver set its timer, if that is not to be as it was told last.
    pub(super) fn set_timer(&mut self) -> Option<Effect> {
        // A plugin's period changes in few of its calls.
        let has_changed = self.vms.take_due_changed();
        if !has_changed && !self.timer.has_expired {
            return None;
        }
        let due = self.next_due();
        let has_expired = std::mem::take(&mut self.timer.has_expired);
        if std::mem::replace(&mut self.timer.due, due) == due && !(has_expired && due.is_some()) {
            return None;
        }
        Some(Effect::Tick { after: self.time_to_tick() })
    }
}
