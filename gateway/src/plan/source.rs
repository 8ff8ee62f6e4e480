//! Where the connections of a listener come from.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::serve::seats::Seat;

/// Where the connections of a listener come from.
pub(crate) enum ConnectionSource {
    /// From clients; some go on to the worker that records.
    Socket(TcpListener, Option<Sample>),
    /// From other workers, until all of them have stopped.
    Handed(mpsc::Receiver<Handed>),
}

/// Where sampled connections of a listener go: to the worker whose VMs are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    every: u64,
    /// How many connections there were, on all workers and listeners.
    count: Arc<AtomicU64>,
    to: mpsc::Sender<Handed>,
}

/// A connection on its way to another worker, with its seat.
pub(crate) type Handed = (std::net::TcpStream, Seat);

/// How many connections may wait for the recording worker. What finds no place is served unrecorded.
const WAITING: usize = 256;

impl Sample {
    /// For each listener where its connections go, one of `every`, and where they come from.
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
            Err(error) => tracing::debug!(%error, "a connection is lost"),
        }
        None
    }
}
