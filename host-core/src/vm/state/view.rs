//! Views of the state: maps, buffers and queues that hostcalls may see.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::VmState;
use crate::abi::callback::CallbackId;
use crate::abi::{BufferType, MapType, Status};
use crate::hostcall::Source;
use crate::model::body::Body;
use crate::model::context::{Access, CallResponse, ContextId, Direction, RootContext, Slot, StreamKind};
use crate::model::headers::Headers;
use crate::model::visible::Visible;
use crate::resources::grpc::Received;
use crate::resources::shared::Queue;
use crate::rights::Family;

impl VmState {
    /// Returns a map that the guest may read now.
    #[inline]
    pub(crate) fn map(&self, map: MapType) -> Option<&Headers> {
        match map {
            MapType::HttpCallResponseHeaders => self.call_response().map(|response| &response.headers),
            MapType::HttpCallResponseTrailers => self.call_response().map(|response| &response.trailers),
            MapType::GrpcReceiveInitialMetadata => self.received()?.initial_metadata.as_ref(),
            MapType::GrpcReceiveTrailingMetadata => self.received()?.trailing_metadata.as_ref(),
            _ => {
                let slot = self.acting_stream()?.slot(map)?;
                slot.map.as_ref().filter(|_| slot.access != Access::None)
            }
        }
    }

    /// Returns the map that the guest may read, as far as the rules of the plugin let it see it.
    pub(crate) fn visible(&self, map: MapType) -> Option<Visible<'_>> {
        Some(Visible { headers: self.map(map)?, map, rule: self.rule(Family::ReadHeaders) })
    }

    /// Returns the slot of a map that the guest may write now.
    pub(crate) fn writable_slot(&mut self, map: MapType) -> Result<&mut Slot, Status> {
        let slot = self.acting_stream_mut().and_then(|stream| stream.slot_mut(map));
        slot.filter(|slot| slot.access == Access::Write).ok_or(Status::BadArgument)
    }

    /// Returns a buffer that the guest may read now.
    pub(crate) fn buffer(&self, buffer: BufferType) -> Buffer<'_> {
        match buffer {
            BufferType::HttpRequestBody => self.stream_data(StreamKind::Http, Direction::Request),
            BufferType::HttpResponseBody => self.stream_data(StreamKind::Http, Direction::Response),
            BufferType::DownstreamData => self.stream_data(StreamKind::Tcp, Direction::Request),
            BufferType::UpstreamData => self.stream_data(StreamKind::Tcp, Direction::Response),
            BufferType::GrpcReceiveBuffer => self
                .received()
                .and_then(|received| received.message.as_ref())
                .map_or_else(|| self.absent(), Buffer::Bytes),
            BufferType::HttpCallResponseBody => self.call_response_body().map_or(Buffer::Unavailable, Buffer::Body),
            BufferType::VmConfiguration => Buffer::Bytes(&self.config.vm.configuration),
            BufferType::PluginConfiguration => match (self.callback(), self.plugin()) {
                (Some(CallbackId::on_configure | CallbackId::on_context_create), Some(plugin))
                    if self.contexts.root(self.acting()).is_some() =>
                {
                    Buffer::Bytes(&plugin.configuration)
                }
                _ => Buffer::Unavailable,
            },
            BufferType::CallData => self.call_data.as_ref().map_or(Buffer::Unavailable, Buffer::Bytes),
        }
    }

    /// Returns how many bytes a source has.
    pub(crate) fn source_len(&self, source: Source) -> usize {
        match source {
            Source::Reply => self.reply.len(),
            Source::Item => self.item.as_ref().map_or(0, |(_, item)| item.len()),
            Source::Pairs(map) => self.visible(map).map_or(0, |visible| visible.serialized_len()),
            Source::Buffer { len, .. } => len,
        }
    }

    /// Copies a source into guest memory of its size; says whether it fitted.
    pub(crate) fn copy_source(&self, source: Source, out: &mut [u8]) -> bool {
        match source {
            Source::Reply => copy_whole(&self.reply, out),
            Source::Item => self.item.as_ref().is_some_and(|(_, item)| copy_whole(item, out)),
            Source::Pairs(map) => self.visible(map).is_some_and(|visible| visible.encode_into(out)),
            Source::Buffer { buffer, start, .. } => self.buffer(buffer).copy_to(start, out),
        }
    }

    fn call_response(&self) -> Option<&CallResponse> {
        self.contexts.root(self.acting_root()?)?.call_response.as_ref()
    }

    /// Returns the body of the answer to a callout; none of one that was reset.
    fn call_response_body(&self) -> Option<&Body> {
        let root = self.contexts.root(self.acting_root()?).filter(|root| !root.call_was_reset)?;
        root.call_response.as_ref().map(|response| &response.body)
    }

    fn received(&self) -> Option<&Received> {
        Some(&self.contexts.root(self.acting_root()?)?.grpc)
    }

    fn stream_data(&self, kind: StreamKind, direction: Direction) -> Buffer<'_> {
        let stream = self.acting_stream().filter(|stream| stream.kind == kind);
        let half = stream.map(|stream| stream.half_ref(direction));
        let body = half.filter(|half| !half.continued).and_then(|half| half.body.as_ref());
        body.map_or_else(|| self.absent(), Buffer::Body)
    }

    /// Returns what a buffer is at times when there is none.
    fn absent(&self) -> Buffer<'_> {
        if self.keeps_to_spec() { Buffer::Unavailable } else { Buffer::Empty }
    }

    /// Returns a queue that this VM may know: one of its own id, or one that it has asked for by name.
    pub(crate) fn queue(&self, id: u32) -> Option<Arc<Queue>> {
        let resolved = self.resolved_queues.get(&id).and_then(Weak::upgrade);
        resolved.or_else(|| self.store.queue(id))
    }

    /// Lets this VM know a queue by its id.
    pub(crate) fn know(&mut self, queue: &Arc<Queue>) -> Result<(), Status> {
        /// As many as a plugin could name one by one.
        const MOST: usize = 1000;
        if self.resolved_queues.len() >= MOST && !self.resolved_queues.contains_key(&queue.id()) {
            self.resolved_queues.retain(|_, queue| queue.strong_count() > 0);
            if self.resolved_queues.len() >= MOST {
                return Err(Status::InternalFailure);
            }
        }
        self.resolved_queues.insert(queue.id(), Arc::downgrade(queue));
        Ok(())
    }

    pub(crate) fn root_mut(&mut self) -> Option<(ContextId, &mut RootContext)> {
        let id = self.acting_root()?;
        Some((id, self.contexts.root_mut(id)?))
    }
}

fn copy_whole(bytes: &[u8], out: &mut [u8]) -> bool {
    let fits = bytes.len() == out.len();
    if fits {
        out.copy_from_slice(bytes);
    }
    fits
}

/// A view of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer<'a> {
    Body(&'a Body),
    Bytes(&'a Bytes),
    /// Known, and without bytes now.
    Empty,
    /// Not to be had in this callback.
    Unavailable,
}

impl Buffer<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Body(body) => body.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Empty | Self::Unavailable => 0,
        }
    }

    fn copy_to(&self, start: usize, out: &mut [u8]) -> bool {
        match self {
            Self::Body(body) => body.copy_to(start, out),
            Self::Bytes(bytes) => match bytes.get(start..start.saturating_add(out.len())) {
                Some(from) => {
                    out.copy_from_slice(from);
                    true
                }
                None => false,
            },
            Self::Empty | Self::Unavailable => out.is_empty(),
        }
    }
}
