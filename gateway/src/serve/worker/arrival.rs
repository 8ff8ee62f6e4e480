//! Where a request arrived.

use std::rc::Rc;

use crate::net::io::ConnectionInfo;
use crate::serve::worker::deadline::Deadlines;

/// Where a request arrived.
pub(super) struct Arrival {
    pub(super) client: Rc<ConnectionInfo>,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) connection: u64,
    pub(super) listener: usize,
}
