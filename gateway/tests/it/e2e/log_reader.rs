//! A log that nobody reads.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{ChildStderr, Command, Stdio};

use crate::e2e::cli::{Running, file};
use crate::e2e::harness::{Client, Raw, Setup, ask_admin, get, plugin, run, until};

/// A gateway whose plugin logs 8 KiB for each request, to a reader that stops when it listens.
struct Unread {
    child: Running,
    reader: BufReader<ChildStderr>,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Unread {
    fn start(name: &str, when_full: &str, signalled: &str) -> Self {
        let line = format!("(call $say {})", r#"$"x""#.replace('x', &"x".repeat(8 << 10)));
        let code = plugin(&[("request_headers", &format!("{line} (i32.const 0)"))]);
        let setup = Setup::echo().plugin("loud", &code, signalled).text();
        let config = file(&format!("{name}.yaml"), &setup);
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("serve").arg(config).args(["--log-when-full", when_full]).env_remove("RUST_LOG");
        let mut child = Running::spawn(command.stderr(Stdio::piped()));
        let mut reader = BufReader::new(child.stderr.take().unwrap());
        let mut listening = Vec::new();
        let mut line = String::new();
        // What comes after these is left in the pipe.
        while !line.contains(" ready ") {
            line.clear();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended");
            listening.extend(line.contains("address=").then(|| address(&line)));
        }
        let [address, admin] = listening[..] else { panic!("{listening:?}") };
        Self { child, reader, address, admin }
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(name).arg(self.child.id().to_string()).status().unwrap().success());
    }

    /// Waits until it has ended; its status.
    async fn ended(&mut self) -> Option<i32> {
        let mut status = None;
        until(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }
}

fn address(line: &str) -> SocketAddr {
    let start = line.split_once("address=").unwrap().1;
    start.split_whitespace().next().unwrap().parse().unwrap()
}

async fn admin(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = ask_admin(address, path).await;
    (answer.status, answer.text().to_owned())
}

fn dropped(metrics: &str) -> u64 {
    let value =
        metrics.lines().find_map(|line| line.strip_prefix("portcullis_log_lines_dropped_total{of=\"plugin\"} "));
    value.unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_stops_stops_nothing() {
    run(async {
        let mut gateway = Unread::start("unread-drop", "drop", "root_id: r");
        let mut client = Client::h1(gateway.address).await;
        // The pipe and the gateway have room for some 150 of them.
        for _ in 0..400 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        assert_eq!(admin(gateway.admin, "/ready").await, (200, "ready\n".to_owned()));
        let lost = dropped(&admin(gateway.admin, "/metrics").await.1);
        assert!(lost > 200, "{lost}");
        drop(client);
        gateway.signal("-TERM");
        assert_eq!(gateway.ended().await, Some(0));
    });
}

#[test]
fn who_reads_again_reads_how_many_lines_were_dropped() {
    run(async {
        let mut gateway = Unread::start("unread-again", "drop", "root_id: r");
        let mut client = Client::h1(gateway.address).await;
        for _ in 0..400 {
            assert_eq!(client.ask(get("/")).await.status, 200);
        }
        let lost = dropped(&admin(gateway.admin, "/metrics").await.1);
        let mut line = String::new();
        while !line.contains(" WARN portcullis::log: lines of the log were dropped") {
            line.clear();
            assert_ne!(gateway.reader.read_line(&mut line).unwrap(), 0, "it ended");
        }
        assert!(line.contains(&format!("plugins={lost} gateway=0")), "{line}");
        drop(client);
        gateway.signal("-TERM");
        let mut rest = String::new();
        gateway.reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("stopping; requests in flight finish"), "lines of the gateway are not lost: {rest}");
        assert_eq!(gateway.ended().await, Some(0));
    });
}

/// Workers that wait for the reader are not ready, and a stop ends the waiting: the first one gracefully, and so that the second one
/// is heard.
#[test]
fn workers_that_wait_for_the_reader_are_not_ready_and_can_be_stopped() {
    run(async {
        for (times, status) in [(1, 0), (2, 1)] {
            let mut gateway = Unread::start(&format!("unread-wait-{times}"), "wait", "root_id: r");
            let mut held = Raw::connect(gateway.address).await;
            if times == 2 {
                // A request that is not whole keeps the gateway until the second signal.
                held.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n").await;
            }
            let mut client = Client::h1(gateway.address).await;
            let asking = async {
                for _ in 0..400 {
                    client.ask(get("/")).await;
                }
            };
            let stopping = async {
                loop {
                    let (status, text) = admin(gateway.admin, "/ready").await;
                    if status == 503 {
                        assert!(text.contains("log: workers wait for its reader"), "{text}");
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = asking => panic!("it did not wait"),
                () = stopping => {}
            }
            gateway.signal("-TERM");
            if times == 2 {
                until(|| std::net::TcpStream::connect(gateway.address).is_err()).await;
                gateway.signal("-TERM");
            }
            assert_eq!(gateway.ended().await, Some(status));
            drop(held);
        }
    });
}
