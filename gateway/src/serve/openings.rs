//! The listening sockets of a gateway that starts.
//!
//! Where another process serves until this one does, workers start without sockets: whatever keeps this process from serving would cut
//! what they had accepted. Nor does a socket of its own listen until then, because connections come into the queue of each that does.

use std::net::SocketAddr;

use crate::config::Config;
use crate::error::ServeError;
use crate::net::listen::{self, BindError, Reserved};
use crate::net::passed::{Passed, Taken};
use crate::net::sockets::{Sockets, WorkerSockets};
use crate::plan::planned::Identity;
use crate::serve::worker::Given;

/// A socket that does not listen yet, with its listener and the name of that.
pub(crate) type ReservedSocket = (Identity, String, Reserved);

/// The sockets of all listeners.
#[derive(Debug)]
pub(crate) struct Openings {
    /// For each worker, those that it starts with, in the order of the listeners.
    pub(crate) at_once: Vec<Vec<WorkerSockets>>,
    pub(crate) later: Later,
    /// The addresses of the listeners, in their order.
    pub(crate) addresses: Vec<SocketAddr>,
}

/// The sockets that workers get when no other process serves any more.
#[derive(Debug, Default)]
pub(crate) struct Later {
    /// For each worker.
    pub(crate) listening: Vec<Given>,
    /// For each worker.
    pub(crate) reserved: Vec<Vec<ReservedSocket>>,
}

impl Openings {
    /// Opens a socket for each listener of each worker, or takes those that the process was started with. With `waits` the workers get them
    /// later.
    ///
    /// # Errors
    /// A socket cannot be opened.
    pub(crate) fn open(
        config: &Config,
        identities: &[Identity],
        known: &Sockets,
        passed: &mut Passed,
        waits: bool,
    ) -> Result<Self, ServeError> {
        let workers = config.workers;
        let mut at_once: Vec<Vec<WorkerSockets>> = (0..workers).map(|_| Vec::new()).collect();
        let mut later = Later::default();
        later.listening.resize_with(workers, Vec::new);
        later.reserved.resize_with(workers, Vec::new);
        let mut addresses = Vec::with_capacity(config.listeners.len());
        for (listener, identity) in config.listeners.iter().zip(identities) {
            let taken = passed.take(&listener.name, listener.address);
            let reserved = if waits { reserve(listener.address, &taken, workers)? } else { Vec::new() };
            let opening = workers - reserved.len();
            let opened = known.open(&listener.name, listener.address, opening, taken)?;
            let address = opened.first().map(WorkerSockets::local_addr).transpose()?;
            addresses.push(address.unwrap_or(listener.address));
            for (worker, socket) in opened.into_iter().enumerate() {
                match (waits, at_once.get_mut(worker), later.listening.get_mut(worker)) {
                    (true, _, Some(later)) => later.push((*identity, socket)),
                    (_, Some(at_once), _) => at_once.push(socket),
                    _ => {}
                }
            }
            for (later, socket) in later.reserved.iter_mut().skip(opening).zip(reserved) {
                later.push((*identity, listener.name.clone(), socket));
            }
        }
        Ok(Self { at_once, later, addresses })
    }
}

/// Reserves sockets for the workers beyond those that were passed, where a process may add some. None are where it may not, and where the
/// address is any free port, which nobody knows yet.
fn reserve(address: SocketAddr, taken: &[Taken], workers: usize) -> Result<Vec<Reserved>, ServeError> {
    let at = match taken.first() {
        Some(_) if taken.iter().any(|taken| taken.is_shared) => return Ok(Vec::new()),
        Some(first) => first.socket.local_addr()?,
        None if address.port() == 0 => return Ok(Vec::new()),
        None => {
            listen::refuse_shared(address)?;
            address
        }
    };
    let reserved: Result<Vec<_>, BindError> = (taken.len()..workers).map(|_| listen::reserve(at)).collect();
    match reserved {
        // Workers share those that were passed, where one of their own cannot be had.
        Err(_) if !taken.is_empty() => Ok(Vec::new()),
        reserved => Ok(reserved?),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn nothing_new_listens_while_another_process_serves() {
        for waits in [false, true] {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let text = format!(
                "workers: 2\nlisteners: [{{address: {free}, routes: [{{direct_response: {{status: 200}}}}]}}]\n"
            );
            let config = Config::parse("gateway.yaml", &text).unwrap();
            let (identities, known) = ([Identity::only(free)], Sockets::default());
            let opened = Openings::open(&config, &identities, &known, &mut Passed::default(), waits).unwrap();
            let lens = |sockets: &[Vec<WorkerSockets>]| sockets.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!((lens(&opened.at_once), opened.addresses), (vec![usize::from(!waits); 2], vec![free]));
            assert_eq!(std::net::TcpStream::connect(free).is_ok(), !waits);
            let reserved = opened.later.reserved.iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(reserved, vec![usize::from(waits); 2]);
        }
    }
}
