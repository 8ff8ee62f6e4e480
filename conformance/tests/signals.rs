//! The host that the kit has started ends with the kit, whatever ends it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The time after which a host that still runs has been left behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Starts the kit with a host of two processes, which serves nothing; returns the kit, the first of them and the output of all
/// three.
fn start() -> (Child, Pid, BufReader<ChildStdout>) {
    // Another process may have a port that the kit wants.
    for _ in 0..10 {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut kit = Command::new(env!("CARGO_BIN_EXE_portcullis-conformance"));
        kit.args(["http", "--base-port", &port.to_string(), "--", "sh", "-c", "sleep 1000 & echo $$; wait"]);
        let mut kit = kit.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (mut output, mut line) = (BufReader::new(kit.stdout.take().unwrap()), String::new());
        output.read_line(&mut line).unwrap();
        if let Ok(first) = line.trim().parse() {
            return (kit, Pid::from_raw(first).unwrap(), output);
        }
        kit.wait().unwrap();
    }
    panic!("the kit does not start");
}

#[test]
fn the_host_ends_with_the_kit() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (mut kit, host, mut output) = start();
        kill_process(Pid::from_child(&kit), signal).unwrap();
        assert_eq!(kit.wait().unwrap().code(), Some(status), "{signal:?}");
        // The output is over when none of the host's processes has it any more.
        let (over, is_over) = mpsc::channel();
        std::thread::spawn(move || over.send(output.read_to_end(&mut Vec::new()).is_ok()));
        let ended = is_over.recv_timeout(PATIENCE);
        if ended.is_err() {
            kill_process_group(host, Signal::KILL).unwrap();
        }
        assert_eq!(ended, Ok(true), "{signal:?}");
    }
}
