//! WASI preview 1: waiting, which plugins cannot do, because it would block their worker.

use crate::abi::Errno;
use crate::hostcall::{Hostcall, HostcallResult, Reply};

/// The most subscriptions in one call.
const MAX: u32 = 1024;
/// Length of a subscription, and of an event.
const SUBSCRIPTION: u32 = 48;
const EVENT: u32 = 32;

/// Waits for nothing: what is ready is told, and where nothing is, time has passed at once, so that a
/// plugin that sleeps goes on. Files are always ready. Standard output and error take bytes, standard input has
/// ended.
///
/// `Inval`: no subscription, or more than 1024.
///
/// differs: cpp-host tells of no event, for which the standard libraries of Rust and C are not made.
pub(in crate::hostcall) fn poll_oneoff(
    mut call: Hostcall<'_>,
    subscriptions: i32,
    events: i32,
    count: i32,
    ret_count: i32,
) -> HostcallResult<Errno> {
    let count = count.cast_unsigned();
    if !(1..=MAX).contains(&count) {
        Err(Errno::Inval)?;
    }
    let wanted = call.memory.slice(subscriptions, (count * SUBSCRIPTION).cast_signed())?;
    // A copy: events may be written over subscriptions.
    let wanted: Vec<_> = wanted.as_chunks::<{ SUBSCRIPTION as usize }>().0.iter().map(Subscription::read).collect();
    let files = &mut call.vm.files;
    let clocks_alone = wanted.iter().all(|subscription| subscription.kind == Kind::Clock);
    let told = wanted.iter().filter(|subscription| clocks_alone || subscription.kind != Kind::Clock);
    let told = told.flat_map(|subscription| subscription.event(|fd| files.find(fd).is_some()));
    let told: Vec<u8> = told.collect();
    let len = i32::try_from(told.len()).map_err(|_| Errno::Inval)?;
    call.memory.check_u32(ret_count)?;
    call.memory.slice_mut(events, len)?.copy_from_slice(&told);
    call.memory.write_u32(ret_count, len.cast_unsigned() / EVENT)?;
    Ok(Reply::Done)
}

/// An event that a guest waits for (`__wasi_subscription_t`).
struct Subscription {
    /// The guest's own number for it.
    user_data: [u8; 8],
    tag: u8,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Clock,
    Descriptor { fd: u32, write: bool },
    Unknown,
}

impl Subscription {
    fn read(bytes: &[u8; SUBSCRIPTION as usize]) -> Self {
        let [user @ .., _, _, _, _, _, _, _, _] = bytes.first_chunk::<16>().unwrap_or(&[0; 16]);
        let tag = bytes.get(8).copied().unwrap_or(u8::MAX);
        let word = bytes.get(16..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
        let fd = u32::from_le_bytes(word);
        let kind = match tag {
            0 => Kind::Clock,
            1 | 2 => Kind::Descriptor { fd, write: tag == 2 },
            _ => Kind::Unknown,
        };
        Self { user_data: *user, tag, kind }
    }

    /// Returns the event that is reported of it (`__wasi_event_t`).
    fn event(&self, mut is_file: impl FnMut(i32) -> bool) -> [u8; EVENT as usize] {
        const ROOM: u64 = 64 << 10;
        const HANGUP: u16 = 1;
        let (errno, bytes, flags) = match self.kind {
            Kind::Clock => (Errno::Success, 0, 0),
            Kind::Descriptor { fd: 1 | 2, write: true } => (Errno::Success, ROOM, 0),
            Kind::Descriptor { fd: 0, write: false } => (Errno::Success, 0, HANGUP),
            Kind::Descriptor { fd, .. } if is_file(fd.cast_signed()) => (Errno::Success, ROOM, 0),
            Kind::Descriptor { .. } => (Errno::Badf, 0, 0),
            Kind::Unknown => (Errno::Inval, 0, 0),
        };
        let mut event = [0; EVENT as usize];
        let errno = u16::try_from(errno as i32).unwrap_or(u16::MAX);
        for (at, field) in [
            (0, &self.user_data[..]),
            (8, &errno.to_le_bytes()),
            (10, &[self.tag]),
            (16, &bytes.to_le_bytes()),
            (24, &flags.to_le_bytes()),
        ] {
            if let Some(place) = event.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
        }
        event
    }
}
