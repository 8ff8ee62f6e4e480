//! The listening sockets of a gateway's listeners.
//!
//! Each socket has a queue of connections that the kernel has accepted and no worker has taken; closing the socket resets these. So
//! sockets that were passed ([`super::passed`]) are all used, also where they are more than workers, and each of them can be passed on to
//! another process as long as a worker has it.
//!
//! | passed | workers | the sockets of a worker |
//! |---|---|---|
//! | none | any | one of its own (`SO_REUSEPORT`) |
//! | as many or more | fewer | one or more of those passed |
//! | fewer, by a process that had opened them | more | one that was passed, or one of its own |
//! | fewer, by systemd | more | one that was passed, which it shares with other workers |

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::listen::{self, BindError, Listener};
use super::passed::{Kept, Owner, Taken};

/// The sockets of all listeners, as far as workers have them still. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sockets(Arc<Mutex<Vec<Weak<Kept>>>>);

/// The sockets that a worker has for one listener; at least one.
#[derive(Debug)]
pub(crate) struct WorkerSockets {
    sockets: Vec<(TcpListener, Arc<Kept>)>,
}

impl Sockets {
    /// Opens the sockets of a listener, one item for each worker. `passed` are those that the process was started with.
    ///
    /// # Errors
    /// A socket cannot be opened, or not be shared.
    pub(crate) fn open(
        &self,
        name: &str,
        address: SocketAddr,
        workers: usize,
        passed: Vec<Taken>,
    ) -> Result<Vec<WorkerSockets>, BindError> {
        let keep = |socket: TcpListener, own: bool| {
            let owner = Owner::Listener { name: name.to_owned(), address, own };
            let kept = Kept::new(&socket, owner)?;
            Ok::<_, io::Error>((socket, Arc::new(kept)))
        };
        let failed = |error| BindError::system(address, error);
        let count = passed.len();
        let mut all: Vec<WorkerSockets> = (0..workers).map(|_| WorkerSockets { sockets: Vec::new() }).collect();
        let can_add = passed.iter().all(|taken| !taken.is_shared);
        let mut at = passed.first().map(|taken| taken.socket.local_addr()).transpose().map_err(failed)?;
        for (index, Taken { socket, is_shared }) in passed.into_iter().enumerate() {
            let socket = keep(socket, !is_shared).map_err(failed)?;
            if let Some(worker) = all.get_mut(index % workers.max(1)) {
                worker.sockets.push(socket);
            }
        }
        // A gateway that already runs shares its port with this one's sockets, and half the traffic with it: that is never meant.
        if count == 0 && address.port() != 0 {
            listen::refuse_shared(address)?;
        }
        for index in count.min(workers)..workers {
            let own = if can_add {
                listen::bind(at.unwrap_or(address))
            } else {
                Err(BindError::system(address, io::ErrorKind::Unsupported.into()))
            };
            let socket = match (own, index.checked_rem(count)) {
                (Ok(own), _) => keep(own, true).map_err(failed)?,
                (Err(error), None) => return Err(error),
                // Another user's, or systemd's.
                (Err(_), Some(first)) => all
                    .get(first)
                    .and_then(|worker| worker.sockets.first())
                    .map_or_else(
                        || Err(io::ErrorKind::NotFound.into()),
                        |(socket, kept)| Ok((socket.try_clone()?, Arc::clone(kept))),
                    )
                    .map_err(failed)?,
            };
            // Port 0 is one port for all workers.
            at = Some(socket.0.local_addr().map_err(failed)?);
            if let Some(worker) = all.get_mut(index) {
                worker.sockets.push(socket);
            }
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|socket| socket.strong_count() > 0);
        for (_, socket) in all.iter().flat_map(|worker| &worker.sockets) {
            if !kept.iter().any(|known| known.as_ptr() == Arc::as_ptr(socket)) {
                kept.push(Arc::downgrade(socket));
            }
        }
        Ok(all)
    }

    /// Takes a socket of a listener that a new worker gets.
    ///
    /// # Errors
    /// The socket cannot be shared.
    pub(crate) fn add(&self, name: &str, address: SocketAddr, socket: TcpListener) -> io::Result<WorkerSockets> {
        let owner = Owner::Listener { name: name.to_owned(), address, own: true };
        let kept = Arc::new(Kept::new(&socket, owner)?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|socket| socket.strong_count() > 0);
        all.push(Arc::downgrade(&kept));
        drop(all);
        Ok(WorkerSockets::new(vec![(socket, kept)]))
    }

    /// Returns the sockets that workers have.
    pub(crate) fn kept(&self) -> Vec<Arc<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl WorkerSockets {
    /// Puts sockets together with what has to live as long.
    pub(super) fn new(sockets: Vec<(TcpListener, Arc<Kept>)>) -> Self {
        Self { sockets }
    }

    /// Returns the address that they listen at.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets.first().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |(socket, _)| socket.local_addr())
    }

    /// Registers them with this thread's runtime.
    ///
    /// # Errors
    /// One cannot be registered.
    pub(crate) fn register(self) -> io::Result<Listener> {
        let (sockets, kept) = self.sockets.into_iter().unzip();
        Listener::from_all(sockets, kept)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn pass(sockets: usize, is_shared: bool) -> (Vec<Taken>, SocketAddr) {
        let first = listen::bind(ANY).unwrap();
        let at = first.local_addr().unwrap();
        let more = (1..sockets).map(|_| listen::bind(at).unwrap());
        (std::iter::once(first).chain(more).map(|socket| Taken { socket, is_shared }).collect(), at)
    }

    fn counts(opened: &[WorkerSockets]) -> Vec<usize> {
        opened.iter().map(|worker| worker.sockets.len()).collect()
    }

    #[test]
    fn all_that_were_passed_are_used() {
        for (passed, is_shared, workers, expected, distinct) in [
            (3, false, 2, vec![2, 1], 3),
            (3, true, 1, vec![3], 3),
            (2, false, 4, vec![1, 1, 1, 1], 4),
            (1, true, 3, vec![1, 1, 1], 1),
            (2, true, 3, vec![1, 1, 1], 2),
        ] {
            let sockets = Sockets::default();
            let (taken, at) = pass(passed, is_shared);
            let opened = sockets.open("a", ANY, workers, taken).unwrap();
            assert_eq!(counts(&opened), expected);
            assert_eq!(sockets.kept().len(), distinct, "{passed} {is_shared} {workers}");
            for worker in &opened {
                assert_eq!(worker.local_addr().unwrap(), at);
            }
            let owner = Owner::Listener { name: "a".to_owned(), address: ANY, own: !is_shared };
            assert!(sockets.kept().iter().all(|kept| *kept.owner() == owner));
            drop(opened);
            assert_eq!(sockets.kept().len(), 0, "nobody listens any more");
            std::net::TcpStream::connect(at).unwrap_err();
        }
    }

    #[test]
    fn without_any_each_worker_has_its_own() {
        let sockets = Sockets::default();
        let opened = sockets.open("a", ANY, 3, Vec::new()).unwrap();
        assert_eq!((counts(&opened), sockets.kept().len()), (vec![1, 1, 1], 3));
        let at = opened[0].local_addr().unwrap();
        assert!(opened.iter().all(|worker| worker.local_addr().unwrap() == at));
        let error = sockets.open("b", at, 1, Vec::new()).unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
        for _ in 0..3 {
            drop(sockets.add("a", at, listen::bind(ANY).unwrap()).unwrap());
        }
        assert_eq!(sockets.0.lock().unwrap().len(), 4, "those that nobody has are forgotten with the next");
    }
}
