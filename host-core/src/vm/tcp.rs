//! TCP streams.

use super::{Vm, VmFailed};
use crate::abi::PeerType;
use crate::abi::callback::CallbackId;
use crate::abi::filter_status::FilterStatus;
use crate::model::context::{ContextId, Direction, StreamKind};
use crate::model::shared_stream_info::SharedStreamInfo;
use crate::vm::checked;

/// [`Direction::Request`] is downstream data, from the client; [`Direction::Response`] is upstream data. Data are lent
/// as bodies are. The end of a stream is told as that of an HTTP stream is; deployed hosts call
/// [`Vm::on_done`] before [`Vm::on_log`] here.
impl Vm {
    /// Creates the context of a TCP stream.
    ///
    /// # Errors
    /// The VM has failed, or has no such root.
    pub fn create_tcp_stream(&mut self, root: ContextId, info: SharedStreamInfo) -> Result<ContextId, VmFailed> {
        self.create(root, info, StreamKind::Tcp)
    }

    /// Tells the plugin that a client has connected.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_new_connection(&mut self, stream: ContextId) -> Result<FilterStatus, VmFailed> {
        let returned = self
            .ask(stream, CallbackId::on_new_connection, |guest| checked::on_new_connection(guest, stream.as_arg()))?;
        Ok(FilterStatus::from_guest(returned.unwrap_or(0)))
    }

    /// Feeds data; all that the plugin may see are lent. `end` says that nothing follows.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_data(&mut self, stream: ContextId, direction: Direction, end: bool) -> Result<FilterStatus, VmFailed> {
        let (len, id, end) = (self.show(stream, direction).1, stream.as_arg(), i32::from(end));
        let returned = match direction {
            Direction::Request => self
                .ask(stream, CallbackId::on_downstream_data, |guest| checked::on_downstream_data(guest, id, len, end)),
            Direction::Response => {
                self.ask(stream, CallbackId::on_upstream_data, |guest| checked::on_upstream_data(guest, id, len, end))
            }
        }?;
        Ok(FilterStatus::from_guest(returned.unwrap_or(0)))
    }

    /// Tells the plugin which side closed the connection with the client ([`Direction::Request`]) or with the upstream.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_connection_close(
        &mut self,
        stream: ContextId,
        direction: Direction,
        peer: PeerType,
    ) -> Result<(), VmFailed> {
        let (id, peer) = (stream.as_arg(), peer as i32);
        match direction {
            Direction::Request => self.call(stream, CallbackId::on_downstream_connection_close, |guest| {
                checked::on_downstream_connection_close(guest, id, peer)
            }),
            Direction::Response => self.call(stream, CallbackId::on_upstream_connection_close, |guest| {
                checked::on_upstream_connection_close(guest, id, peer)
            }),
        }
        .map(drop)
    }
}
