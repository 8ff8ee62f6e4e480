//! The events of a request, on their way from Envoy's thread to the driver's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use portcullis::model::Headers;
use tokio::sync::mpsc;

use crate::envoy::NotStarted;

/// The most bytes of an answer that wait for a plugin's driver: as many as it takes of one answer.
const MOST_QUEUED: usize = 16 << 20;

/// Something that has come of a request.
#[derive(Debug)]
pub(crate) enum Event {
    NotStarted(NotStarted),
    Headers {
        headers: Headers,
        end: bool,
    },
    Data {
        data: Bytes,
        end: bool,
    },
    Trailers(Headers),
    Complete,
    /// The end of one that broke off, for a reason with this number in the ABI.
    Reset(u32),
    /// More of the answer has come than may wait.
    TooLarge,
}

/// The end that sends events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    sender: mpsc::UnboundedSender<Event>,
    queued: Arc<AtomicUsize>,
}

/// The end that takes them. Bytes that were taken have to be [told](Answers::taken).
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    queued: Arc<AtomicUsize>,
}

impl Answers {
    /// Notes that bytes wait no more.
    pub(super) fn taken(&self, bytes: usize) {
        self.queued.fetch_sub(bytes, Ordering::Relaxed);
    }
}

pub(super) fn channel() -> (Events, Answers) {
    let (sender, events) = mpsc::unbounded_channel();
    let queued = Arc::<AtomicUsize>::default();
    (Events { sender, queued: Arc::clone(&queued) }, Answers { events, queued })
}

impl Events {
    /// Returns whether nobody waits for events.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends an event; returns false if it does not fit, or nobody waits for it.
    pub(super) fn send(&self, event: Event) -> bool {
        if let Event::Data { data, .. } = &event {
            let queued = self.queued.fetch_add(data.len(), Ordering::Relaxed);
            if queued.saturating_add(data.len()) > MOST_QUEUED {
                let _ = self.sender.send(Event::TooLarge);
                return false;
            }
        }
        self.sender.send(event).is_ok()
    }
}
