//! Events of gRPC callouts.

use super::{Vm, VmFailed};
use crate::abi::MapType;
use crate::abi::callback::CallbackId;
use crate::model::context::ContextId;
use crate::resources::grpc::{GrpcEvent, GrpcId, Received};
use crate::vm::checked;

impl Vm {
    /// Tells a root of an event of a gRPC callout. An id that is not in flight is ignored; a call is over with its
    /// first event, a stream with its close.
    ///
    /// # Errors
    /// The VM has failed.
    pub fn on_grpc(&mut self, id: GrpcId, event: GrpcEvent) -> Result<(), VmFailed> {
        let ends = id.is_call() || matches!(event, GrpcEvent::Close { .. });
        let calls = &mut self.state().grpc;
        let Some(owner) = (if ends { calls.close(id) } else { calls.owner(id) }) else { return Ok(()) };
        let Some(root) = self.state().acts_for(owner) else { return Ok(()) };
        let Some(context) = self.state().contexts.root_mut(root) else { return Ok(()) };
        let as_arg = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
        let (to, call) = (root.as_arg(), id.0.cast_signed());
        let result = match event {
            GrpcEvent::InitialMetadata(headers) => {
                context.grpc.initial_metadata = Some(headers);
                let count = self.metadata_len(root, MapType::GrpcReceiveInitialMetadata);
                self.call(root, CallbackId::on_grpc_receive_initial_metadata, |guest| {
                    checked::on_grpc_receive_initial_metadata(guest, to, call, count)
                })
            }
            GrpcEvent::Message(message) => {
                let len = as_arg(message.len());
                context.grpc.message = Some(message);
                self.call(root, CallbackId::on_grpc_receive, |guest| checked::on_grpc_receive(guest, to, call, len))
            }
            GrpcEvent::TrailingMetadata(trailers) => {
                context.grpc.trailing_metadata = Some(trailers);
                let count = self.metadata_len(root, MapType::GrpcReceiveTrailingMetadata);
                self.call(root, CallbackId::on_grpc_receive_trailing_metadata, |guest| {
                    checked::on_grpc_receive_trailing_metadata(guest, to, call, count)
                })
            }
            GrpcEvent::Close { status, message } => {
                context.status = (status, message.into_bytes());
                self.call(root, CallbackId::on_grpc_close, |guest| {
                    checked::on_grpc_close(guest, to, call, status.cast_signed())
                })
            }
        };
        if let Some(context) = self.state().contexts.root_mut(root) {
            context.grpc = Received::default();
            // Deployed hosts forget the message and keep the code.
            context.status.1.clear();
        }
        result.map(drop)
    }

    fn metadata_len(&mut self, root: ContextId, map: MapType) -> i32 {
        let contexts = &self.state().contexts;
        let received = contexts.root(root).map(|context| &context.grpc);
        let headers = received.and_then(|received| match map {
            MapType::GrpcReceiveInitialMetadata => received.initial_metadata.as_ref(),
            _ => received.trailing_metadata.as_ref(),
        });
        let len = headers.map_or(0, |headers| contexts.visible(root, map, headers).len());
        i32::try_from(len).unwrap_or(i32::MAX)
    }

    /// Returns whether a gRPC callout is in flight, or was given up and the action that says so has not been taken.
    pub fn has_grpc(&mut self, id: GrpcId) -> bool {
        self.state().grpc.contains(id)
    }
}
