use std::sync::Arc;

use super::ContextId;
use crate::abi::{MapType, StreamType};
use crate::hostcall::Unseen;
use crate::model::body::Body;
use crate::model::headers::Headers;
use crate::model::plugin::Plugin;
use crate::model::shared_stream_info::SharedStreamInfo;

/// One direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// The kind of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Http,
    Tcp,
}

impl Direction {
    /// Returns the direction that a half of a stream has.
    pub const fn of(stream: StreamType) -> Self {
        match stream {
            StreamType::Request | StreamType::Downstream => Self::Request,
            StreamType::Response | StreamType::Upstream => Self::Response,
        }
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Request => 0,
            Self::Response => 1,
        }
    }
}

/// The context of a plugin for one stream. What the plugin may see is lent to it by the embedder,
/// by callback, and taken back when it has passed on.
#[derive(Debug)]
pub struct StreamContext {
    pub(crate) root: ContextId,
    /// The plugin of the root; none for a root that there is not.
    pub(crate) plugin: Option<Arc<Plugin>>,
    pub(crate) kind: StreamKind,
    pub(crate) info: SharedStreamInfo,
    /// [`StreamInfo::id`](crate::model::StreamInfo::id), which log lines want without a lock.
    pub(crate) id: u64,
    pub(crate) halves: [Half; 2],
    pub(crate) local_response: bool,
    pub(crate) closed: bool,
    /// An action waits that has its route chosen anew.
    pub(crate) route_cleared: bool,
}

/// The parts of one direction that are lent.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) headers: Slot,
    pub(crate) trailers: Slot,
    pub(crate) body: Option<Body>,
    /// The guest has continued this direction; it no longer sees what is lent of it.
    pub(crate) continued: bool,
    /// An [`Action::Continue`](crate::model::Action::Continue) waits to be drained.
    pub(crate) continue_queued: bool,
    /// The guest has closed this side of a TCP stream.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) map: Option<Headers>,
    pub(crate) access: Access,
    /// Entries that the guest has added and does not see.
    pub(crate) unseen: Option<Box<Unseen>>,
}

/// The access that a guest has to a map now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Neither read nor write.
    #[default]
    None,
    /// Read it.
    Read,
    /// Read and write it; if it does not exist, a write creates it.
    Write,
}

impl StreamContext {
    pub(crate) fn new(root: ContextId, plugin: Option<Arc<Plugin>>, info: SharedStreamInfo, kind: StreamKind) -> Self {
        let id = info.with(|info| info.id);
        Self {
            root,
            plugin,
            kind,
            info,
            id,
            halves: Default::default(),
            local_response: false,
            closed: false,
            route_cleared: false,
        }
    }

    /// Lends headers.
    pub fn lend_headers(&mut self, direction: Direction, headers: Headers, access: Access) {
        self.half(direction).headers = Slot { map: Some(headers), access, unseen: None };
    }

    /// Takes headers back.
    pub fn take_headers(&mut self, direction: Direction) -> Option<Headers> {
        std::mem::take(&mut self.half(direction).headers).map
    }

    /// Lends trailers; none with [`Access::Write`] are trailers that a write creates.
    pub fn lend_trailers(&mut self, direction: Direction, trailers: Option<Headers>, access: Access) {
        self.half(direction).trailers = Slot { map: trailers, access, unseen: None };
    }

    /// Takes trailers back.
    pub fn take_trailers(&mut self, direction: Direction) -> Option<Headers> {
        std::mem::take(&mut self.half(direction).trailers).map
    }

    /// Lends body bytes, behind those that are lent already.
    pub fn lend_body(&mut self, direction: Direction, body: Body) {
        match &mut self.half(direction).body {
            Some(lent) => lent.append(body),
            slot @ None => *slot = Some(body),
        }
    }

    /// Takes the body bytes back.
    pub fn take_body(&mut self, direction: Direction) -> Option<Body> {
        self.half(direction).body.take()
    }

    /// Counts the values of the lent headers.
    pub fn headers_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).headers.map.as_ref().map_or(0, Headers::len)
    }

    /// Counts the values of the lent trailers.
    pub fn trailers_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).trailers.map.as_ref().map_or(0, Headers::len)
    }

    /// Counts the body bytes that are lent.
    pub fn body_len(&self, direction: Direction) -> usize {
        self.half_ref(direction).body.as_ref().map_or(0, Body::len)
    }

    /// Makes what is lent of a direction visible, for a new callback.
    pub(crate) fn show(&mut self, direction: Direction) {
        self.half(direction).continued = false;
    }

    /// Returns the slot of one of the four maps of a stream, if the guest may see it.
    pub(crate) fn slot(&self, map: MapType) -> Option<&Slot> {
        let half = self.half_ref(direction_of(map)?);
        if half.continued {
            return None;
        }
        Some(if is_trailers(map) { &half.trailers } else { &half.headers })
    }

    pub(crate) fn slot_mut(&mut self, map: MapType) -> Option<&mut Slot> {
        let half = self.half(direction_of(map)?);
        if half.continued {
            return None;
        }
        Some(if is_trailers(map) { &mut half.trailers } else { &mut half.headers })
    }

    #[expect(clippy::indexing_slicing, reason = "an index of two, into two")]
    pub(crate) fn half(&mut self, direction: Direction) -> &mut Half {
        &mut self.halves[direction.index()]
    }

    #[expect(clippy::indexing_slicing, reason = "an index of two, into two")]
    pub(crate) fn half_ref(&self, direction: Direction) -> &Half {
        &self.halves[direction.index()]
    }
}

const fn direction_of(map: MapType) -> Option<Direction> {
    match map {
        MapType::RequestHeaders | MapType::RequestTrailers => Some(Direction::Request),
        MapType::ResponseHeaders | MapType::ResponseTrailers => Some(Direction::Response),
        _ => None,
    }
}

const fn is_trailers(map: MapType) -> bool {
    matches!(map, MapType::RequestTrailers | MapType::ResponseTrailers)
}
