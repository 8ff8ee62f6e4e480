//! Another process that takes over, with the listening sockets; and sockets that come from systemd.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::e2e::cli::{Server, file, serve_with};
use crate::e2e::harness::{LIMIT, Setup, ask_admin, run, until};

/// A client that never retries: on connections that are kept, and on new ones.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let thread = |index| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                let mut lost = Vec::new();
                let mut kept = None;
                while !stop.load(Ordering::Relaxed) {
                    let fresh = kept.is_none();
                    match ask(&mut kept, address) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            lost.push(format!("on a {} connection: {error}", if fresh { "new" } else { "kept" }))
                        }
                    }
                    if index % 2 == 0 {
                        kept = None;
                    }
                }
                lost
            })
        };
        let threads = (0..4).map(thread).collect();
        Self { stop, answered, threads }
    }

    /// Waits for some more answers.
    async fn go_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        until(|| self.answered.load(Ordering::Relaxed) >= before + 200).await;
    }

    /// Returns the requests that were lost.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }
}

/// Sends a request and reads its answer; keeps the connection unless that announces its end.
fn ask(kept: &mut Option<TcpStream>, address: SocketAddr) -> std::io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address)?,
    };
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    // The echo's body ends so.
    while !answer.ends_with(b"HTTP/1.1\"}") {
        match stream.read(&mut buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    if !answer.contains("connection: close\r\n") {
        *kept = Some(stream);
    }
    Ok(())
}

fn temporary(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("portcullis-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

/// Puts the program at a path, or another file in its place.
fn put(program: &Path, target: &str) {
    let new = program.with_extension("new");
    let _ = std::fs::remove_file(&new);
    std::os::unix::fs::symlink(target, &new).unwrap();
    std::fs::rename(&new, program).unwrap();
}

fn signal(pid: u32, name: &str) -> Output {
    Command::new("kill").args(["-s", name, &pid.to_string()]).output().unwrap()
}

/// The numbers that the log says after a text.
fn pids(server: &Server, text: &str) -> Vec<u32> {
    let log = server.log_so_far();
    let after = log.match_indices(text).filter_map(|(at, _)| {
        let rest = &log[at..];
        let digits = rest.find("pid=")? + 4;
        let rest = &rest[digits..];
        rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
    });
    after.collect()
}

/// Ends the processes that have taken over, however the test ends.
struct Successors<'a>(&'a Server);

impl Drop for Successors<'_> {
    fn drop(&mut self) {
        for pid in pids(self.0, "another process is to take over").into_iter().filter(|pid| !is_gone(*pid)) {
            signal(pid, "KILL");
        }
    }
}

#[test]
fn the_admin_interface_and_listeners_of_a_reload_stay_at_their_addresses() {
    run(async {
        // At port 0 a listener is found by its name.
        let setup = Setup::echo().listener("name: web");
        let path = file("admin_stays.yaml", &setup.text());
        let server = serve_with(Command::new(env!("CARGO_BIN_EXE_portcullis")), &path, &[]);
        let _successors = Successors(&server);
        let admin = server.admin().await;
        // A listener that a reload has brought. If its socket were not passed, the new process would find the port in use.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let more = format!("listeners:\n  - {{name: more, address: {free}, routes: [{{cluster: backend}}]}}\n");
        file("admin_stays.yaml", &setup.text().replace("listeners:\n", &more));
        signal(server.child.id(), "HUP");
        until(|| TcpStream::connect(free).is_ok()).await;
        // Another process is refused while the reload runs.
        while !ask_admin(admin, "/config").await.text().contains("SIGHUP") {}
        signal(server.child.id(), "USR2");
        until(|| is_gone(server.child.id())).await;
        assert_eq!(ask_admin(admin, "/ready").await.status, 200);
        for address in [server.address, free] {
            ask(&mut None, address).unwrap();
        }
    });
}

const SERVES: &str = "another process serves; this one drains";
const REFUSED: &str = "no other process takes over, and this one serves on";

#[test]
fn another_process_takes_over_and_no_request_is_lost() {
    run(async {
        let program = temporary("program");
        let real = env!("CARGO_BIN_EXE_portcullis");
        put(&program, real);
        let socket = temporary("handover.sock");
        let config = |workers: usize, more: &str| {
            let text = Setup::echo().workers(workers).listener("name: web").text();
            let text = text.replace("admin: 127.0.0.1:0", &format!("admin: \"unix:{}\"", socket.display()));
            file("handover.yaml", &format!("{text}{more}"))
        };
        let path = config(3, "");
        let server = serve_with(Command::new(&program), &path, &[]);
        let _successors = Successors(&server);
        until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        let load = Load::start(server.address);
        load.go_on().await;
        let mut pid = server.child.id();
        for (turn, workers) in [1, 2, 4].into_iter().enumerate() {
            // What is broken changes nothing.
            put(&program, "/bin/false");
            let refused = server.log_so_far().matches(REFUSED).count();
            signal(pid, "USR2");
            until(|| server.log_so_far().matches(REFUSED).count() > refused).await;
            put(&program, real);
            config(workers, "nonsense: 1\n");
            signal(pid, "USR2");
            until(|| server.log_so_far().matches(REFUSED).count() > refused + 1).await;
            assert!(server.log_so_far().matches("unknown key").count() > turn);
            // Nor does what fails when all workers run already.
            let taken = TcpListener::bind("127.0.0.1:0").unwrap();
            let admin = format!("admin: {}", taken.local_addr().unwrap());
            let text = std::fs::read_to_string(config(workers, "")).unwrap();
            file("handover.yaml", &text.replace(&format!("admin: \"unix:{}\"", socket.display()), &admin));
            for times in 2..5 {
                signal(pid, "USR2");
                until(|| server.log_so_far().matches(REFUSED).count() > refused + times).await;
            }
            load.go_on().await;
            config(workers, "");
            signal(pid, "USR2");
            until(|| pids(&server, SERVES).len() > turn).await;
            let before = pid;
            pid = pids(&server, SERVES)[turn];
            assert_ne!(pid, before);
            load.go_on().await;
            // The one before ends, though clients keep connections with it.
            until(|| is_gone(before)).await;
            load.go_on().await;
            // The socket's file is that of the process which serves.
            let answer = ask_unix(&socket, "GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        }
        let answered = load.answered.load(Ordering::Relaxed);
        let lost = load.end();
        assert!(lost.is_empty(), "{} of {answered} were lost: {lost:?}", lost.len());
        // Asked for over the admin interface.
        let answer = ask_unix(&socket, "POST /upgrade HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"pid\""), "{answer}");
        until(|| pids(&server, SERVES).len() > 3).await;
        let last = pids(&server, SERVES)[3];
        until(|| is_gone(pid)).await;
        config(1, "nonsense: 1\n");
        let answer = ask_unix(&socket, "POST /upgrade HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("unknown key"), "{answer}");
        signal(last, "TERM");
        until(|| is_gone(last)).await;
        assert!(!socket.exists());
        TcpStream::connect(server.address).unwrap_err();
    });
}

/// Returns true if a process has ended, though nobody may have waited for it.
fn is_gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn ask_unix(path: &Path, request: &str) -> String {
    let mut socket = std::os::unix::net::UnixStream::connect(path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn systemd_is_told_and_the_watchdog_is_fed() {
    run(async {
        let path = temporary("notify.sock");
        let notify = UnixDatagram::bind(&path).unwrap();
        notify.set_read_timeout(Some(LIMIT)).unwrap();
        let hear = || {
            let mut buffer = [0; 4096];
            let read = notify.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..read].to_vec()).unwrap()
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "20000").env_remove("WATCHDOG_PID");
        let server = serve_with(command, &file("notify.yaml", &Setup::echo().workers(2).text()), &[]);
        assert_eq!(hear(), "READY=1\nSTATUS=serving 1 listener(s)\n");
        for _ in 0..3 {
            assert_eq!(hear(), "WATCHDOG=1\n");
        }
        let next = || std::iter::from_fn(|| Some(hear())).find(|said| !said.starts_with("WATCHDOG")).unwrap();
        signal(server.child.id(), "HUP");
        let said = next();
        assert!(said.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{said}");
        assert_eq!(next(), "READY=1\nSTATUS=serving generation 2\n");
        // Another process: who is the main one is said before that speaks.
        let _successors = Successors(&server);
        signal(server.child.id(), "USR2");
        let said = next();
        let pid = said.strip_prefix("MAINPID=").and_then(|said| said.split_once('\n')).unwrap().0.parse().unwrap();
        assert_eq!(said, format!("MAINPID={pid}\nSTATUS=another process serves\n"));
        assert_eq!(next(), "READY=1\nSTATUS=serving 1 listener(s)\n");
        until(|| is_gone(server.child.id())).await;
        while hear() != "WATCHDOG=1\n" {}
        signal(pid, "TERM");
        assert_eq!(next(), "STOPPING=1\nSTATUS=requests in flight finish\n");
        until(|| is_gone(pid)).await;
        std::fs::remove_file(&path).unwrap();
    });
}

/// Runs the gateway with sockets as systemd passes them, from descriptor 3 on. bash can open no listening sockets, but duplicate them.
fn with_sockets(sockets: &[&TcpListener], names: &str, config: &Path) -> Command {
    use std::os::fd::AsRawFd;
    let numbers: Vec<_> = sockets
        .iter()
        .map(|socket| {
            rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::empty()).unwrap();
            socket.as_raw_fd().to_string()
        })
        .collect();
    let count = sockets.len();
    // Above what is taken, so that none is overwritten before it was duplicated.
    let aside: String =
        numbers.iter().enumerate().map(|(index, number)| format!("exec {}>&{number}; ", 200 + index)).collect();
    let row: String = (0..count).map(|index| format!("exec {}>&{}; ", 3 + index, 200 + index)).collect();
    let mut command = Command::new("bash");
    command.arg("-c").arg(format!(
        "{aside}{row}export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}; exec {} serve {}",
        env!("CARGO_BIN_EXE_portcullis"),
        config.display()
    ));
    command
}

#[test]
fn sockets_of_systemd_are_used_by_name_and_address() {
    run(async {
        let sockets: Vec<_> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let (web, api) = ("{name: web, address: 127.0.0.1:0, routes: [{cluster: e}]}", addresses[1]);
        let api = format!("{{name: api, address: {api}, routes: [{{cluster: e}}]}}");
        let text =
            format!("workers: 3\nadmin: 127.0.0.1:0\nlisteners: [{web}, {api}]\nclusters: [{{name: e, echo: {{}}}}]\n");
        // A connection waits already.
        let mut early = Some(TcpStream::connect(addresses[0]).unwrap());
        let command =
            with_sockets(&sockets.iter().collect::<Vec<_>>(), "web:other:other:admin", &file("activated.yaml", &text));
        let server = crate::e2e::cli::serve_command(command);
        assert_eq!(server.address, addresses[0]);
        ask(&mut early, addresses[0]).unwrap();
        for address in &addresses[..2] {
            for _ in 0..6 {
                ask(&mut None, *address).unwrap();
            }
        }
        until(|| server.said("belongs to no listener, and what connects to it waits for ever")).await;
        assert!(server.said(&addresses[2].to_string()));
        assert_eq!(server.admin().await, addresses[3]);
        assert_eq!(ask_admin(addresses[3], "/ready").await.status, 200);
        // Sockets that somebody else has live on, with what waits in them.
        signal(server.child.id(), "TERM");
        until(|| is_gone(server.child.id())).await;
        TcpStream::connect(addresses[0]).unwrap();
    });
}

#[test]
fn sockets_of_another_process_are_left_alone() {
    run(async {
        // Descriptor 3 is no socket, which an error would tell.
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env("LISTEN_FDS", "1").env_remove("LISTEN_PID");
        let server = serve_with(command, &file("not_ours.yaml", &Setup::echo().text()), &[]);
        ask(&mut None, server.address).unwrap();
        assert!(server.said("LISTEN_FDS is ignored, since LISTEN_PID is not set"));
    });
}

#[test]
fn what_is_passed_and_does_not_listen_is_an_error() {
    let bound = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(bound.local_addr().unwrap()).unwrap();
    let socket = TcpListener::from(std::os::fd::OwnedFd::from(connected));
    let output = with_sockets(&[&socket], "web", &file("deaf.yaml", &Setup::echo().text())).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains(
            "socket 0 of LISTEN_FDS (\"web\") cannot be used: it does not listen; pass TCP sockets that listen"
        ),
        "{text}"
    );
}
