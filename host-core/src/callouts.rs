use std::collections::HashMap;

use crate::action::CallId;
use crate::context::ContextId;
use crate::limits::Limits;

/// HTTP callouts in flight.
#[derive(Debug, Default)]
pub(crate) struct Callouts {
    next: u32,
    live: HashMap<CallId, (ContextId, usize)>,
    bytes: usize,
}

impl Callouts {
    /// Notes a callout of so many bytes; `None` when there are too many or they are too large.
    pub(crate) fn open(&mut self, root: ContextId, bytes: usize, limits: &Limits) -> Option<CallId> {
        if self.live.len() >= limits.callouts || self.bytes.saturating_add(bytes) > limits.buffer {
            return None;
        }
        loop {
            // Ids of HTTP callouts are multiples of 4, as in deployed hosts; 0 is never one.
            self.next = self.next.wrapping_add(4);
            let id = CallId(self.next);
            if self.next != 0 && !self.live.contains_key(&id) {
                self.live.insert(id, (root, bytes));
                self.bytes += bytes;
                return Some(id);
            }
        }
    }

    /// Ends a callout; says whose it was.
    pub(crate) fn close(&mut self, id: CallId) -> Option<ContextId> {
        let (root, bytes) = self.live.remove(&id)?;
        self.bytes -= bytes;
        Some(root)
    }
}
