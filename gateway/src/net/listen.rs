//! Listening sockets.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};

use super::passed::Kept;
use super::quiet::Quiet;
use super::sockets::WorkerSockets;

/// Connections that the kernel holds for a worker that is busy.
pub(crate) const BACKLOG: i32 = 1024;

/// Time to wait when the process is out of descriptors or memory: accepting again at once would only spin.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Time for which further failures to accept are counted and not logged.
const QUIET: Duration = Duration::from_secs(60);

/// Opens a listening socket that other workers can open too (`SO_REUSEPORT`): the kernel spreads connections over them.
///
/// Needs no runtime, so that the main thread can bind every socket and report an error before it starts the workers.
/// For port 0, bind once and give the others [`StdListener::local_addr`]: each call with port 0 would get a port of its
/// own.
///
/// The kernel lets another process *of the same user* share the port too, so "in use" is reported for other users'
/// processes and for sockets opened without `SO_REUSEPORT` only.
pub fn bind(address: SocketAddr) -> Result<StdListener, BindError> {
    explained(address, open(address, true).and_then(listening))
}

/// Opens a listening socket that is not shared: fails where [`bind`] would join a socket that is open already.
pub fn bind_alone(address: SocketAddr) -> Result<StdListener, BindError> {
    explained(address, open(address, false).and_then(listening))
}

/// An address that is kept: nobody who does not share it can listen there, and no connection comes before [`Reserved::listen`].
#[derive(Debug)]
pub struct Reserved {
    address: SocketAddr,
    socket: Socket,
}

/// Keeps an address to listen there later as [`bind`] does.
pub fn reserve(address: SocketAddr) -> Result<Reserved, BindError> {
    explained(address, open(address, true)).map(|socket| Reserved { address, socket })
}

impl Reserved {
    /// Listens.
    pub fn listen(self) -> Result<StdListener, BindError> {
        explained(self.address, listening(self.socket))
    }
}

/// Fails where [`bind`] would join a socket that is open already, and leaves nothing open. It never listens, so that no
/// client's connection is taken and then dropped.
pub fn refuse_shared(address: SocketAddr) -> Result<(), BindError> {
    explained(address, open(address, false).map(drop))
}

/// A listening socket could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {remedy}")]
pub struct BindError {
    address: SocketAddr,
    remedy: &'static str,
    source: io::Error,
}

impl BindError {
    /// Explains an error of the system.
    pub(super) fn system(address: SocketAddr, source: io::Error) -> Self {
        Self { address, remedy: remedy(source.kind()), source }
    }

    /// Returns the address that was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listening sockets of one address that belong to one worker.
#[derive(Debug)]
pub struct Listener {
    inner: Vec<TcpListener>,
    /// The one to look at first, so that each has its turn.
    next: Cell<usize>,
    address: SocketAddr,
    told: Quiet,
    /// From when these are gone, the sockets are passed to no other process.
    kept: Vec<Arc<Kept>>,
}

impl Listener {
    /// Registers a socket from [`bind`] with this thread's runtime.
    pub fn from_std(listener: StdListener) -> io::Result<Self> {
        Self::from_all(vec![listener], Vec::new())
    }

    /// Registers sockets with this thread's runtime, with what has to live as long.
    ///
    /// # Errors
    /// None is given, or one cannot be registered.
    pub(super) fn from_all(listeners: Vec<StdListener>, kept: Vec<Arc<Kept>>) -> io::Result<Self> {
        let address = listeners.first().ok_or(io::ErrorKind::NotFound)?.local_addr()?;
        let inner: io::Result<Vec<_>> = listeners.into_iter().map(TcpListener::from_std).collect();
        Ok(Self { inner: inner?, next: Cell::new(0), address, told: Quiet::new(QUIET), kept })
    }

    /// Returns the most connections that the kernel holds for it.
    pub(crate) fn backlog(&self) -> usize {
        usize::try_from(BACKLOG).unwrap_or(usize::MAX).saturating_mul(self.inner.len())
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let count = self.inner.len();
        for index in (self.next.get()..count).chain(0..self.next.get()) {
            if let Some(listener) = self.inner.get(index)
                && let Poll::Ready(accepted) = listener.poll_accept(cx)
            {
                self.next.set((index + 1) % count);
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    /// Takes the sockets away from this thread's runtime, with the connections that wait in their queues.
    ///
    /// # Errors
    /// The runtime does not give one back.
    pub(crate) fn into_sockets(self) -> io::Result<WorkerSockets> {
        let sockets: io::Result<Vec<_>> = self.inner.into_iter().map(TcpListener::into_std).collect();
        Ok(WorkerSockets::new(sockets?.into_iter().zip(self.kept).collect()))
    }

    /// Returns the address it listens on, with the port that the kernel chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts as [`Self::accept_or`] does, without freeing descriptors.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        self.accept_or(|| false).await
    }

    /// Waits for the next connection. Never fails: a connection that died in the queue is skipped, and when the process
    /// is out of descriptors it waits until some are free. `relieve` frees some, and returns whether it could.
    pub async fn accept_or(&self, mut relieve: impl FnMut() -> bool) -> (TcpStream, SocketAddr) {
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok((stream, peer)) => {
                    // Proxied messages are written whole; Nagle's algorithm would only hold back their tails.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "connection died while it was accepted");
                        continue;
                    }
                    return (stream, peer);
                }
                Err(error) if died_in_queue(error.kind()) => {
                    tracing::debug!(address = %self.address, %error, "connection died before it was accepted");
                }
                Err(error) => {
                    self.tell(&error);
                    if relieve() {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::time::sleep(EXHAUSTED_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Logs that connections cannot be accepted, once in a while.
    fn tell(&self, error: &io::Error) {
        let Some(left_out) = self.told.may_tell() else { return };
        let left_out = Some(left_out).filter(|count| *count > 0);
        let address = self.address;
        let remedy =
            "if descriptors are short, raise their limit (`ulimit -n`; systemd: LimitNOFILE), or lower max_connections";
        tracing::warn!(%address, %error, left_out, "cannot accept connections and tries again; {remedy}");
    }
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listening(socket: Socket) -> io::Result<StdListener> {
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn explained<T>(address: SocketAddr, result: io::Result<T>) -> Result<T, BindError> {
    result.map_err(|source| BindError::system(address, source))
}

fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => {
            "the port is in use; stop the process that holds it (`ss -ltnp` names it) or choose another port"
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; choose a port from 1024 up, or give the process CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address; choose one that `ip address` lists, or 0.0.0.0 for all"
        }
        _ => "the operating system refused it",
    }
}

fn died_in_queue(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::error::Error;

    use super::super::sockets::Sockets;
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn two_workers_share_a_port() {
        let first = bind(ANY).unwrap();
        bind(first.local_addr().unwrap()).unwrap();
    }

    #[test]
    fn no_connection_comes_to_an_address_that_is_kept() {
        let first = bind(ANY).unwrap();
        let address = first.local_addr().unwrap();
        let kept = reserve(address).unwrap();
        let clients: Vec<_> = (0..32).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for _ in &clients {
            first.accept().unwrap();
        }
        assert_eq!(kept.listen().unwrap().local_addr().unwrap(), address);
    }

    #[test]
    fn a_port_that_could_be_shared_is_refused() {
        let first = bind(ANY).unwrap();
        let address = first.local_addr().unwrap();
        let error = refuse_shared(address).unwrap_err();
        assert!(error.to_string().contains("the port is in use"), "{error}");
        drop(first);
        refuse_shared(address).unwrap();
        bind(address).unwrap();
    }

    #[test]
    fn a_port_in_use_is_named_with_its_remedy() {
        let holder = StdListener::bind(ANY).unwrap();
        let address = holder.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.address(), address);
        let text = error.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(text.contains("another port"), "{text}");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_socket_moves_with_the_connections_in_its_queue() {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (first, second) = (runtime(), runtime());
        let opened = Sockets::default().open("a", ANY, 1, Vec::new()).unwrap().remove(0);
        let listener = first.block_on(async { opened.register().unwrap() });
        let clients: Vec<_> = (0..20).map(|_| std::net::TcpStream::connect(listener.local_addr()).unwrap()).collect();
        first.block_on(listener.accept());
        let moved = listener.into_sockets().unwrap();
        second.block_on(async {
            let listener = moved.register().unwrap();
            for _ in 1..clients.len() {
                tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.unwrap();
            }
        });
    }

    #[tokio::test]
    async fn each_socket_has_its_turn() {
        let sockets: Vec<_> = (0..3).map(|_| StdListener::bind(ANY).unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        let listener = Listener::from_all(sockets, Vec::new()).unwrap();
        let mut clients = Vec::new();
        for address in addresses.iter().chain(&addresses) {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut accepted = Vec::new();
        for _ in 0..6 {
            accepted.push(listener.accept().await.0.local_addr().unwrap());
        }
        assert_eq!(accepted, [addresses.clone(), addresses].concat());
    }

    #[tokio::test]
    async fn accepted_sockets_do_not_delay() {
        let listener = Listener::from_std(bind(ANY).unwrap()).unwrap();
        let client = TcpStream::connect(listener.local_addr()).await.unwrap();
        let (accepted, peer) = listener.accept().await;
        assert!(accepted.nodelay().unwrap());
        assert_eq!(peer, client.local_addr().unwrap());
    }
}
