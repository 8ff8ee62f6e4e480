//! Where a request arrived.

use std::rc::Rc;

use crate::net::io::Facts;
use crate::serve::worker::deadline::Deadlines;

/// Where a request arrived.
pub(super) struct Arrival {
    pub(super) facts: Rc<Facts>,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) connection: u64,
    pub(super) listener: usize,
}
