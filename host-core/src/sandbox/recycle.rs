use std::time::Duration;

use crate::setters::setters;

/// The bounds past which another VM takes the place of one that works, since linear memory grows and never shrinks.
///
/// Without a bound, which is the default, a VM lasts as long as its worker. The new VM starts as the first did; it gets streams, ticks and
/// items of queues from then on. The old one keeps its streams, for [`linger`](Self::linger) at most.
///
/// ```
/// use std::time::Duration;
/// use portcullis_core::sandbox::Recycle;
///
/// let recycle = Recycle::default().with_memory(128 << 20).with_age(Duration::from_secs(24 * 3600));
/// assert_eq!((recycle.streams, recycle.linger), (None, Duration::from_secs(600)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Recycle {
    /// Bytes of linear memory: a VM with more is replaced. Useful below [`Limits::memory`](crate::model::Limits::memory) alone.
    pub memory: Option<usize>,
    /// The time since its start after which a VM is replaced, also if nothing comes to it. Each VM is replaced earlier by a part of its own,
    /// up to 10 %, so that VMs that started together are not replaced together.
    pub age: Option<Duration>,
    /// The number of streams that begin in a VM before it is replaced; at least 1.
    pub streams: Option<u64>,
    /// How long the streams of a VM that was replaced may go on in it. Those that are left then are answered by the failure policies of
    /// its plugins, whose roots end, and the VM is freed when these are done, or a few seconds later. Default 10 minutes.
    pub linger: Duration,
}

impl Recycle {
    setters! {
        with_memory(impl Into<Option<usize>>) -> memory;
        with_age(impl Into<Option<Duration>>) -> age;
        with_streams(impl Into<Option<u64>>) -> streams;
        with_linger(Duration) -> linger;
    }

    /// Returns true if there is a bound.
    pub fn is_bounded(&self) -> bool {
        self.memory.is_some() || self.age.is_some() || self.streams.is_some()
    }

    /// Returns each bound that there is, and then how long old VMs last, under the names that configurations give them, as text; nothing if
    /// there is no bound.
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let Self { memory, age, streams, linger } = self;
        let bounds = [
            ("memory", memory.map(|memory| memory.to_string())),
            ("age", age.map(|age| format!("{age:?}"))),
            ("streams", streams.map(|streams| streams.to_string())),
            ("linger", self.is_bounded().then(|| format!("{linger:?}"))),
        ];
        bounds.into_iter().filter_map(|(name, bound)| Some((name, bound?))).collect()
    }
}

impl Default for Recycle {
    fn default() -> Self {
        Self { memory: None, age: None, streams: None, linger: Duration::from_secs(600) }
    }
}
