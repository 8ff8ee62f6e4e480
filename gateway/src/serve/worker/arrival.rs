//! The connection that a request arrived on.

use std::rc::Rc;

use crate::net::io::ConnectionInfo;
use crate::serve::worker::deadline::Deadlines;
use crate::serve::worker::generation::Stay;

/// The connection that a request arrived on.
pub(super) struct Arrival {
    pub(super) client: Rc<ConnectionInfo>,
    pub(super) deadlines: Rc<Deadlines>,
    pub(super) connection: u64,
    /// The listener, of the generation that the request belongs to.
    pub(super) listener: Stay,
}
