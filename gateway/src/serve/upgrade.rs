//! Another process of this program that takes over, with the listening sockets, so that no connection in their queues is lost.
//!
//! | step | the process that serves | the new process |
//! |---|---|---|
//! | 1 | starts its own command line again, with the sockets and a channel ([`crate::net::passed`]) | reads its configuration, compiles, starts plugins |
//! | 2 | serves on | takes the sockets, starts workers and the admin interface, and says on the channel that it can serve |
//! | 3 | says `MAINPID` to systemd, and leaves the admin interface's socket to it | accepts no connection |
//! | 4 | says on the channel that it ends | accepts connections, and says `READY=1` to systemd |
//! | 5 | drains | serves |
//!
//! If the new process ends, or is not ready within [`LIMIT`], it is killed, nothing else changes, and the reason is told. A process that
//! hears no more of the one before it serves.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use tokio::sync::{mpsc, oneshot};

use crate::net::passed::{HANDED, Owner};
use crate::net::sockets::Sockets;
use crate::serve::descriptors;

/// The time that a new process may take until it serves.
const LIMIT: Duration = Duration::from_secs(600);

/// The time that the process before this one may take to say that it ends.
const ANSWER: Duration = Duration::from_secs(10);

/// The most bytes that a new process may say of its failure.
const MOST_SAID: u64 = 64 << 10;

const READY: &str = "ready";
const FAILED: &str = "failed ";

/// Asks for a process that takes over. Clones are the same; the default reaches nobody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Upgrades(Option<mpsc::Sender<Asked>>);

/// Takes the number of the process that takes over, or why none does.
pub(crate) type Asked = oneshot::Sender<Result<u32, String>>;

impl Upgrades {
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Asked>) {
        let (ask, asked) = mpsc::channel(1);
        (Self(Some(ask)), asked)
    }

    /// Waits until another process takes over or fails; None if nobody hears it.
    pub(crate) async fn ask(&self) -> Option<Result<u32, String>> {
        let (answer, answered) = oneshot::channel();
        self.0.as_ref()?.send(answer).await.ok()?;
        answered.await.ok()
    }
}

/// How this process can be replaced.
#[derive(Debug)]
pub(crate) struct Upgrade {
    command: Result<(OsString, Vec<OsString>), String>,
    sockets: Sockets,
    admin: Option<KeptAdmin>,
}

/// The socket of the admin interface for another process.
#[derive(Debug)]
pub(crate) struct KeptAdmin {
    pub(crate) socket: OwnedFd,
    /// Set when another process has it: its file stays then.
    pub(crate) is_left: Arc<AtomicBool>,
}

/// A new process that is starting.
#[derive(Debug)]
pub(crate) struct Attempt {
    channel: UnixStream,
    pub(crate) result: oneshot::Receiver<Result<Successor, String>>,
}

/// A new process that serves. It is killed with this, unless it takes over.
#[derive(Debug)]
pub(crate) struct Successor {
    child: Option<Child>,
    channel: UnixStream,
}

impl Upgrade {
    /// Notes how the process was started, or why it cannot be replaced.
    pub(crate) fn new(sockets: Sockets, admin: Option<KeptAdmin>, refusal: Option<&str>) -> Self {
        let command = match refusal {
            Some(reason) => Err(reason.to_owned()),
            None => own_command(),
        };
        Self { command, sockets, admin }
    }

    /// Starts a new process on a thread of its own.
    ///
    /// # Errors
    /// The process cannot be replaced, or no other one can be started.
    pub(crate) fn begin(&self) -> Result<Attempt, String> {
        let (program, arguments) = self.command.as_ref().map_err(Clone::clone)?;
        let failed = |error: io::Error| format!("cannot pass the listening sockets to another process: {error}");
        let (channel, theirs) = UnixStream::pair().map_err(failed)?;
        let kept = self.sockets.kept();
        let admin = self.admin.iter().map(|admin| (admin.socket.as_fd(), Owner::Admin));
        let (descriptors, owners): (Vec<_>, Vec<_>) =
            kept.iter().map(|kept| (kept.as_fd(), kept.owner().clone())).chain(admin).unzip();
        let descriptors: Vec<BorrowedFd<'_>> = descriptors.into_iter().chain([theirs.as_fd()]).collect();
        let inherited = inherited(&descriptors).map_err(failed)?;
        let first = inherited.first().map_or(0, AsRawFd::as_raw_fd);
        // Before there is a process that would be left alone if it failed.
        let own = channel.try_clone().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(arguments).env("LISTEN_FDS", inherited.len().to_string());
        command.env("LISTEN_FDS_FIRST_FD", first.to_string()).env_remove("LISTEN_PID").env_remove("LISTEN_FDNAMES");
        command.env(HANDED, Owner::write_all(&owners)).env_remove("WATCHDOG_PID");
        let child = command.spawn();
        drop(inherited);
        let child =
            child.map_err(|error| format!("cannot start {}: {error}; put the program there", program.display()))?;
        let pid = child.id();
        tracing::info!(pid, program = %program.display(), sockets = owners.len(), "another process is to take over");
        let successor = Successor { child: Some(child), channel: own };
        let (done, result) = oneshot::channel();
        let wait = move || drop(done.send(successor.ready()));
        std::thread::Builder::new().name("upgrade".to_owned()).spawn(wait).map_err(failed)?;
        Ok(Attempt { channel, result })
    }

    /// Leaves the socket's file of the admin interface to another process.
    pub(crate) fn leave_admin(&self) {
        if let Some(admin) = &self.admin {
            admin.is_left.store(true, Ordering::Relaxed);
        }
    }
}

impl Attempt {
    /// Ends the new process.
    pub(crate) fn cancel(&self) {
        let _ = self.channel.shutdown(Shutdown::Both);
    }
}

impl Successor {
    /// Waits until it serves.
    fn ready(mut self) -> Result<Self, String> {
        let mut said = Vec::new();
        let heard = self.hear(&mut said);
        let said = String::from_utf8_lossy(&said);
        if said.trim_end() == READY {
            return Ok(self);
        }
        let status = self.kill();
        Err(match (said.strip_prefix(FAILED), heard, status) {
            (Some(reason), ..) => reason.trim_end().to_owned(),
            (None, Err(error), _) if is_timeout(&error) => {
                format!(
                    "it did not serve within {} minutes and was killed; its log says what it did",
                    LIMIT.as_secs() / 60
                )
            }
            (None, _, Some(status)) => format!("it ended before it served ({status}); its standard error says why"),
            (None, ..) => "it ended before it served; its standard error says why".to_owned(),
        })
    }

    /// Reads what it says, to the end of a line or, of a failure, to the end.
    fn hear(&mut self, said: &mut Vec<u8>) -> io::Result<()> {
        self.channel.set_read_timeout(Some(LIMIT))?;
        let mut channel = (&self.channel).take(MOST_SAID);
        let mut byte = [0];
        while !said.ends_with(b"ready\n") && channel.read(&mut byte)? > 0 {
            said.extend_from_slice(&byte);
        }
        Ok(())
    }

    /// Kills it, and returns how it ended: one that has ended is not changed by it.
    fn kill(&mut self) -> Option<std::process::ExitStatus> {
        let mut child = self.child.take()?;
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        // One that has closed its end of the channel is about to end by itself.
        let _ = child.kill();
        child.wait().ok()
    }

    /// Returns its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Says to it that this process ends.
    pub(crate) fn take_over(mut self) {
        // It serves also if it does not hear this.
        let _ = self.channel.write_all(b"go\n");
        self.child = None;
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says to the process before this one that this one serves, and waits until it ends or leaves.
pub(crate) fn say_ready(mut channel: &UnixStream) {
    let mut answer = [0; 3];
    let heard = channel
        .write_all(format!("{READY}\n").as_bytes())
        .and_then(|()| channel.set_read_timeout(Some(ANSWER)))
        .and_then(|()| channel.read_exact(&mut answer));
    if let Err(error) = heard {
        tracing::warn!(%error, "the process before this one does not say that it ends; see whether it does");
    }
}

/// Says to the process before this one why this one does not serve.
pub(crate) fn say_failed(mut channel: &UnixStream, reason: &str) {
    let _ = channel.write_all(format!("{FAILED}{reason}").as_bytes());
    let _ = channel.shutdown(Shutdown::Both);
}

/// Returns how this process was started. The program is looked for where it was then, so that another file in its place is used.
fn own_command() -> Result<(OsString, Vec<OsString>), String> {
    if std::process::id() == 1 {
        return Err("this is process 1 of a container, which ends with it; start another container instead".to_owned());
    }
    let mut arguments = std::env::args_os();
    let program = arguments.next().filter(|program| !program.is_empty());
    let program = program.ok_or_else(|| "this process was started without its name; start it with one".to_owned())?;
    Ok((program, arguments.collect()))
}

/// Duplicates descriptors for a child process, in a row. They are above all others, where no other thread opens one between, unless the
/// limit of descriptors is there. A compiler that another thread starts in this moment has them until it ends.
fn inherited(descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<OwnedFd>> {
    const TRIES: usize = 8;
    for _ in 0..TRIES {
        let mut used = BTreeSet::new();
        for entry in std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd"))? {
            used.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
        }
        let limit = i32::try_from(descriptors::limit()).unwrap_or(i32::MAX);
        let row = i32::try_from(descriptors.len()).ok().and_then(|count| row(&used, count, limit));
        let at =
            row.ok_or_else(|| io::Error::other("too few descriptors are left; raise their limit (`ulimit -n`)"))?;
        let mut duplicates = Vec::with_capacity(descriptors.len());
        for descriptor in descriptors {
            duplicates.push(fcntl_dupfd_cloexec(descriptor, at)?);
        }
        let numbers = || duplicates.iter().map(AsRawFd::as_raw_fd);
        if numbers().zip(numbers().skip(1)).all(|(one, next)| next == one + 1) {
            for duplicate in &duplicates {
                fcntl_setfd(duplicate, FdFlags::empty())?;
            }
            return Ok(duplicates);
        }
    }
    Err(io::Error::other("other threads open descriptors all the time; try again"))
}

/// Returns the beginning of a row of numbers that are not used: above all that are, or else the highest below the limit.
fn row(used: &BTreeSet<i32>, count: i32, limit: i32) -> Option<i32> {
    let mut end = i32::MAX;
    for number in used.iter().rev() {
        let from = number.checked_add(1)?;
        let most = end.min(limit);
        if most.checked_sub(count)? >= from {
            return Some(if end == i32::MAX { from } else { most - count });
        }
        end = *number;
    }
    None
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn successor(script: &str) -> (Successor, UnixStream) {
        let (channel, theirs) = UnixStream::pair().unwrap();
        let child = Command::new("sh").args(["-c", script]).spawn().unwrap();
        (Successor { child: Some(child), channel }, theirs)
    }

    #[test]
    fn one_that_fails_says_why() {
        let (failing, theirs) = successor("exit 1");
        say_failed(&theirs, "gateway.yaml:1:1: two\nlines\n");
        assert_eq!(failing.ready().unwrap_err(), "gateway.yaml:1:1: two\nlines");
        let (mut broken, theirs) = successor("exit 7");
        broken.child.as_mut().unwrap().wait().unwrap();
        drop(theirs);
        let reason = broken.ready().unwrap_err();
        assert!(reason.contains("exit status: 7") && reason.contains("standard error"), "{reason}");
    }

    #[test]
    fn one_that_is_ready_waits_until_the_other_ends() {
        let (serving, theirs) = successor("exec sleep 1000");
        let waiting = std::thread::spawn(move || say_ready(&theirs));
        let serving = serving.ready().unwrap();
        assert!(!waiting.is_finished());
        let pid = serving.pid();
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        // Not told to take over: it is killed.
        drop(serving);
        waiting.join().unwrap();
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_row_is_above_all_or_below_the_limit() {
        let used = |numbers: &[i32]| numbers.iter().copied().collect::<BTreeSet<_>>();
        for (numbers, count, limit, expected) in [
            (&[0, 1, 2, 9][..], 3, 100, Some(10)),
            (&[0, 1, 2, 9], 3, 13, Some(10)),
            (&[0, 1, 2, 9], 3, 12, Some(6)),
            (&[0, 1, 2, 9], 7, 12, None),
            (&[0, 1, 4, 5, 9], 3, 10, Some(6)),
        ] {
            assert_eq!(row(&used(numbers), count, limit), expected, "{numbers:?} {count} {limit}");
        }
    }

    #[test]
    fn descriptors_are_in_a_row() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let duplicates = inherited(&[file.as_fd(), file.as_fd(), file.as_fd()]).unwrap();
        let first = duplicates[0].as_raw_fd();
        assert!(first > file.as_raw_fd());
        for (index, duplicate) in duplicates.iter().enumerate() {
            assert_eq!(duplicate.as_raw_fd(), first + i32::try_from(index).unwrap());
            assert!(!rustix::io::fcntl_getfd(duplicate).unwrap().contains(FdFlags::CLOEXEC));
        }
    }
}
