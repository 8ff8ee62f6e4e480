//! The names of things in a worker, each kind a type of its own.

/// The id of a stream in its worker, from [`Worker::open`](crate::Worker::open) to
/// [`Worker::finish`](crate::Worker::finish). The id of a stream that is over does nothing: no later stream has the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(Slot);

/// The id of a TCP stream in its worker, from [`Worker::connect`](crate::Worker::connect) to
/// [`Worker::finish_connection`](crate::Worker::finish_connection). The id of one that is over does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(Slot);

/// The id of a stream of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum AnyStreamId {
    /// An HTTP stream.
    Http(StreamId),
    /// A TCP stream.
    Tcp(ConnectionId),
}

/// The id of a callout, HTTP or gRPC, or a lookup, in its worker. None is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CalloutId(u64);

/// The id of a VM in its worker. None is given twice, and a younger VM has a greater one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct VmId(usize);

/// The id of a plugin in its worker. One that has been unloaded has none that a later one gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PluginId(Slot);

/// A place in an [`Arena`](crate::arena::Arena), and which of those is meant that have had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) index: usize,
    pub(crate) generation: u32,
}

/// Names things that an [`Arena`](crate::arena::Arena) has.
pub(crate) trait Key: Copy {
    /// Names what is in a slot.
    fn of(slot: Slot) -> Self;

    /// Returns the slot.
    fn slot(self) -> Slot;
}

impl Key for StreamId {
    fn of(slot: Slot) -> Self {
        Self(slot)
    }

    fn slot(self) -> Slot {
        self.0
    }
}

impl Key for ConnectionId {
    fn of(slot: Slot) -> Self {
        Self(slot)
    }

    fn slot(self) -> Slot {
        self.0
    }
}

impl Key for PluginId {
    fn of(slot: Slot) -> Self {
        Self(slot)
    }

    fn slot(self) -> Slot {
        self.0
    }
}

impl CalloutId {
    /// Returns the id before the first.
    pub(crate) const NONE: Self = Self(0);

    /// Returns the id after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl VmId {
    /// Less than the id of any VM.
    pub(crate) const NONE: Self = Self(0);

    /// Greater than the id of any VM.
    pub(crate) const LAST: Self = Self(usize::MAX);

    /// Returns the id after this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}
