//! Listening sockets that the process was started with: by systemd (socket activation), or by the process that it takes over from.
//!
//! `LISTEN_FDS` is their number, which counts if `LISTEN_PID` is this process or another process hands over; they begin at descriptor 3, or at `LISTEN_FDS_FIRST_FD`. `LISTEN_FDNAMES` has their names, with colons
//! between. A process that hands over (`serve::upgrade`) says of each in `PORTCULLIS_HANDED_OVER` which listener of its configuration it
//! belonged to, since the names of listeners may have colons, and port 0 is none to find it by; the last descriptor is then the channel
//! between the two processes.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use listenfd::ListenFd;
use serde_json::{Value, json};
use socket2::SockRef;

/// The environment variable with what a process that hands over says of its sockets.
pub(crate) const HANDED: &str = "PORTCULLIS_HANDED_OVER";

/// Listening sockets that the process was started with.
#[derive(Debug, Default)]
pub struct Passed {
    sockets: Vec<PassedSocket>,
    channel: Option<UnixStream>,
}

#[derive(Debug)]
struct PassedSocket {
    socket: Socket,
    owner: Owner,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener),
}

/// A socket that can be passed to another process.
#[derive(Debug)]
pub(crate) struct Kept {
    socket: OwnedFd,
    owner: Owner,
}

/// The owner of a socket in the process that passed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// systemd's, with its name there.
    Supervisor { name: String },
    /// A listener's. `own` says that the process had opened it, so that others can be opened beside it.
    Listener { name: String, address: SocketAddr, own: bool },
    /// The admin interface's.
    Admin,
}

/// A socket for a listener.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) socket: TcpListener,
    /// Another process holds it too, and listens on when this one has ended.
    pub(crate) is_shared: bool,
}

impl Passed {
    /// Takes them from the environment. To be called once, before other threads run.
    ///
    /// # Errors
    /// A socket that was passed does not listen.
    pub fn from_env() -> Result<Self, String> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let handed = std::env::var(HANDED).ok();
        // As `sd_listen_fds` has it: without the number of a process the sockets are another one's. One that hands over cannot know the
        // number.
        if handed.is_none() && std::env::var_os("LISTEN_PID").is_none() {
            if std::env::var_os("LISTEN_FDS").is_some() {
                tracing::warn!(
                    "LISTEN_FDS is ignored, since LISTEN_PID is not set; set it to the number of this process, or unset LISTEN_FDS"
                );
            }
            return Ok(Self::default());
        }
        let mut all = ListenFd::from_env();
        let count = all.len();
        if count == 0 {
            return Ok(Self::default());
        }
        let owners = match handed {
            None => None,
            Some(text) => Some(
                Owner::parse_all(&text)
                    .ok_or_else(|| format!("{HANDED} is not as another process of this program sets it; unset it"))?,
            ),
        };
        let mut names = names.split(':');
        let mut passed = Self::default();
        for index in 0..count {
            let name = names.next().unwrap_or_default();
            if owners.is_some() && index + 1 == count {
                let channel = all
                    .take_unix_listener(index)
                    .map_err(|error| format!("the channel to the process before this one: {error}"))?;
                passed.channel = channel.map(|channel| UnixStream::from(OwnedFd::from(channel)));
                continue;
            }
            let owner = match &owners {
                None => Owner::Supervisor { name: name.to_owned() },
                Some(owners) => owners
                    .get(index)
                    .cloned()
                    .ok_or_else(|| format!("{HANDED} does not name socket {index}; unset it"))?,
            };
            let socket = take(&mut all, index).map_err(|error| refused(index, name, &error))?;
            passed.sockets.extend(socket.map(|socket| PassedSocket { socket, owner }));
        }
        Ok(passed)
    }

    /// Takes the sockets of a listener: those that have its name or belonged to it, or else those at its address.
    pub(crate) fn take(&mut self, name: &str, address: SocketAddr) -> Vec<Taken> {
        let named = |socket: &PassedSocket| match &socket.owner {
            Owner::Supervisor { name: passed } => passed == name,
            Owner::Listener { name: passed, address: configured, .. } => {
                *configured == address && (passed == name || address.port() != 0)
            }
            Owner::Admin => false,
        };
        let at_address = |socket: &PassedSocket| match (&socket.socket, &socket.owner) {
            (Socket::Tcp(_, at), Owner::Supervisor { .. } | Owner::Listener { .. }) => *at == address,
            _ => false,
        };
        let mut taken = self.take_where(named);
        if taken.is_empty() {
            taken = self.take_where(at_address);
        }
        for Taken { socket, .. } in &taken {
            if let Ok(at) = socket.local_addr()
                && at != address
                && address.port() != 0
            {
                tracing::warn!(listener = name, %at, %address, "a listener uses the socket that was passed under its name, which is at another address than its own; make the two equal");
            }
        }
        taken
    }

    fn take_where(&mut self, wanted: impl Fn(&PassedSocket) -> bool) -> Vec<Taken> {
        let mut taken = Vec::new();
        let sockets = std::mem::take(&mut self.sockets);
        for socket in sockets {
            match socket {
                PassedSocket { socket: Socket::Tcp(..), .. } if wanted(&socket) => {
                    let is_shared = !matches!(socket.owner, Owner::Listener { own: true, .. });
                    if let Socket::Tcp(socket, _) = socket.socket {
                        taken.push(Taken { socket, is_shared });
                    }
                }
                other => self.sockets.push(other),
            }
        }
        taken
    }

    /// Takes the socket of an admin interface at an address: named `admin`, or there.
    pub(crate) fn take_admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let wanted = |socket: &PassedSocket| {
            matches!(&socket.socket, Socket::Tcp(_, at) if *at == address || (address.port() == 0 && at.ip() == address.ip()))
                && socket.owner.is_admin()
        };
        self.take_where(wanted).pop().map(|taken| taken.socket)
    }

    /// Takes the Unix socket of an admin interface at a path.
    /// True with it says that another process listens on when this one has ended.
    pub(crate) fn take_admin_unix(&mut self, path: &Path) -> Option<(UnixListener, bool)> {
        let wanted = |socket: &PassedSocket| matches!(&socket.socket, Socket::Unix(unix) if unix.local_addr().is_ok_and(|at| at.as_pathname() == Some(path)));
        let index = self.sockets.iter().position(wanted)?;
        let PassedSocket { socket, owner } = self.sockets.remove(index);
        match socket {
            Socket::Unix(unix) => Some((unix, matches!(owner, Owner::Supervisor { .. }))),
            Socket::Tcp(..) => None,
        }
    }

    /// Returns a second handle of the channel to the process that hands over, if one does.
    pub(crate) fn channel(&self) -> Option<UnixStream> {
        self.channel.as_ref()?.try_clone().ok()
    }

    /// Returns whether another process serves until this one does.
    pub(crate) fn is_handed_over(&self) -> bool {
        self.channel.is_some()
    }

    /// Returns the channel to the process that hands over, if one does.
    pub(crate) fn take_channel(&mut self) -> Option<UnixStream> {
        self.channel.take()
    }

    /// Tells of those that nothing has taken, and closes them.
    pub(crate) fn tell_left(&mut self) {
        for PassedSocket { socket, owner } in self.sockets.drain(..) {
            let at = match &socket {
                Socket::Tcp(_, at) => at.to_string(),
                Socket::Unix(unix) => format!("{:?}", unix.local_addr().ok().as_ref().and_then(|at| at.as_pathname())),
            };
            match owner {
                Owner::Supervisor { name } => tracing::warn!(
                    %at, name,
                    "a socket that was passed belongs to no listener, and what connects to it waits for ever; give a listener that address, or \
                     the socket the name of a listener (systemd: FileDescriptorName=), or remove it"
                ),
                Owner::Listener { .. } | Owner::Admin => {
                    tracing::info!(%at, "a socket of the process before this one belongs to no listener any more");
                }
            }
        }
    }
}

impl Kept {
    /// Keeps a socket of an owner.
    ///
    /// # Errors
    /// No descriptor is left.
    pub(super) fn new(socket: &TcpListener, owner: Owner) -> io::Result<Self> {
        Ok(Self { socket: socket.as_fd().try_clone_to_owned()?, owner })
    }

    /// Returns its owner in this process.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Owner {
    fn is_admin(&self) -> bool {
        match self {
            Self::Supervisor { name } => name == "admin",
            Self::Admin => true,
            Self::Listener { .. } => false,
        }
    }

    /// Writes owners down for [`HANDED`].
    pub(crate) fn write_all(owners: &[Self]) -> String {
        let entry = |owner: &Self| match owner {
            Self::Listener { name, address, own } => json!({ "listener": name, "address": address, "own": own }),
            Self::Supervisor { .. } | Self::Admin => json!({ "admin": true }),
        };
        Value::from_iter(owners.iter().map(entry)).to_string()
    }

    fn parse_all(text: &str) -> Option<Vec<Self>> {
        let Value::Array(entries) = serde_json::from_str(text).ok()? else { return None };
        let owner = |entry: &Value| {
            if entry.get("admin").is_some() {
                return Some(Self::Admin);
            }
            Some(Self::Listener {
                name: entry.get("listener")?.as_str()?.to_owned(),
                address: entry.get("address")?.as_str()?.parse().ok()?,
                own: entry.get("own")?.as_bool()?,
            })
        };
        entries.iter().map(owner).collect()
    }
}

fn take(all: &mut ListenFd, index: usize) -> io::Result<Option<Socket>> {
    let socket = match all.take_tcp_listener(index) {
        Ok(tcp) => tcp.map(|tcp| tcp.local_addr().map(|at| Socket::Tcp(tcp, at))).transpose()?,
        Err(_) => all.take_unix_listener(index)?.map(Socket::Unix),
    };
    let Some(socket) = socket else { return Ok(None) };
    let reference = match &socket {
        Socket::Tcp(tcp, _) => SockRef::from(tcp),
        Socket::Unix(unix) => SockRef::from(unix),
    };
    if !reference.is_listener()? {
        return Err(io::Error::other("it does not listen"));
    }
    reference.set_nonblocking(true)?;
    reference.set_cloexec(true)?;
    Ok(Some(socket))
}

fn refused(index: usize, name: &str, error: &io::Error) -> String {
    format!(
        "socket {index} of LISTEN_FDS ({name:?}) cannot be used: {error}; pass TCP sockets that listen (systemd: ListenStream= with an \
         address, and Accept=no)"
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn socket(owner: Owner) -> (PassedSocket, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = socket.local_addr().unwrap();
        (PassedSocket { socket: Socket::Tcp(socket, at), owner }, at)
    }

    fn named(name: &str) -> (PassedSocket, SocketAddr) {
        socket(Owner::Supervisor { name: name.to_owned() })
    }

    #[test]
    fn sockets_of_systemd_are_found_by_name_and_else_by_address() {
        let ((web, _), (other, at), (third, _)) =
            (named("web"), named("portcullis.socket"), named("portcullis.socket"));
        let mut passed = Passed { sockets: vec![web, other, third], channel: None };
        let elsewhere = "127.0.0.1:1".parse().unwrap();
        assert_eq!(passed.take("nobody", elsewhere).len(), 0);
        let by_name = passed.take("web", elsewhere);
        assert!(by_name.len() == 1 && by_name[0].is_shared);
        let by_address = passed.take("api", at);
        assert_eq!(by_address[0].socket.local_addr().unwrap(), at);
        assert_eq!(passed.sockets.len(), 1);
        passed.tell_left();
        assert_eq!(passed.sockets.len(), 0);
    }

    #[test]
    fn sockets_of_a_process_are_found_by_what_it_was_configured_with() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let of = |name: &str, own| socket(Owner::Listener { name: name.to_owned(), address: any, own }).0;
        let sockets = vec![of("a", true), of("b", false), of("a", true), socket(Owner::Admin).0];
        let mut passed = Passed { sockets, channel: None };
        assert_eq!(passed.take("c", any).len(), 0);
        let a = passed.take("a", any);
        assert!(a.len() == 2 && a.iter().all(|taken| !taken.is_shared));
        assert!(passed.take("b", any)[0].is_shared);
        assert!(passed.take_admin(any).is_some());
        assert_eq!(passed.sockets.len(), 0);
    }

    #[test]
    fn what_a_process_says_is_read_again() {
        let owners = [
            Owner::Listener { name: "a:\"b".to_owned(), address: "[::1]:80".parse().unwrap(), own: true },
            Owner::Admin,
        ];
        assert_eq!(Owner::parse_all(&Owner::write_all(&owners)).unwrap(), owners);
        for text in ["", "{}", "[1]", r#"[{"listener":"a"}]"#] {
            assert_eq!(Owner::parse_all(text), None, "{text}");
        }
    }
}
