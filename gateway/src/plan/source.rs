//! Sources of a listener's connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::net::sockets::WorkerSockets;
use crate::serve::seats::Seat;

/// The source of a listener's connections.
pub(crate) enum ConnectionSource {
    /// From clients; some are passed to the worker that records.
    Socket(WorkerSockets, Option<Sample>),
    /// From other workers, until all of them have stopped.
    Handed(mpsc::Receiver<Handed>),
}

/// Hands sampled connections of a listener to the worker whose VMs are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    every: u64,
    /// Number of connections, on all workers and listeners.
    count: Arc<AtomicU64>,
    to: mpsc::Sender<Handed>,
}

/// A connection on its way to another worker, with its seat.
pub(crate) type Handed = (std::net::TcpStream, Seat);

/// Maximum number of connections that wait for the recording worker; others are served unrecorded.
const WAITING: usize = 256;

impl Sample {
    /// Creates a channel for each listener, which takes one in `every` connections.
    pub(crate) fn channels(every: u64, listeners: usize) -> (Vec<Self>, Vec<mpsc::Receiver<Handed>>) {
        let (every, count) = (every.max(1), Arc::<AtomicU64>::default());
        let channel = |_| {
            let (to, from) = mpsc::channel(WAITING);
            (Self { every, count: Arc::clone(&count), to }, from)
        };
        (0..listeners).map(channel).unzip()
    }

    /// Hands over a connection if it is its turn; gives it back if not.
    pub(crate) fn offer(&self, connection: TcpStream, seat: Seat) -> Option<(TcpStream, Seat)> {
        if !self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every) {
            return Some((connection, seat));
        }
        let Ok(place) = self.to.try_reserve() else {
            tracing::debug!("the recording worker is busy; a connection is not recorded");
            return Some((connection, seat));
        };
        match connection.into_std() {
            Ok(connection) => place.send((connection, seat)),
            Err(error) => tracing::debug!(%error, "a connection cannot be handed over and was closed"),
        }
        None
    }
}
