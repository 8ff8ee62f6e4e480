//! Clients when file descriptors run short.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::e2e::cli::{Server, file, serve_with};
use crate::e2e::harness::{Client, Gate, Raw, Setup, Upstream, ask_admin, full, get, reply, run, until, within};

/// The command, with limits of descriptors in a shell's words (`-Sn 256 -Hn 512`).
pub(crate) fn limited(limits: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let set: String = limits.iter().map(|limit| format!("ulimit {limit} && ")).collect();
    command.arg("-c").arg(format!("{set}exec \"$0\" \"$@\"")).arg(env!("CARGO_BIN_EXE_portcullis"));
    command
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one() {
    run(async {
        let config = file("raised.yaml", &Setup::echo().text());
        let server = serve_with(limited(&["-Sn 256", "-Hn 512"]), &config, &["--log-json"]);
        if Path::new("/proc/self/limits").exists() {
            let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
            let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
            assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["512", "512"]);
        }
        drop(server.child);
        let log = server.log.join().unwrap();
        let line = log.lines().find(|line| line.contains("raised the soft limit")).expect("a line");
        assert!(line.contains(r#""from":256,"to":512"#), "{line}");
    });
}

/// A gateway of two workers with few descriptors, which other tests' sockets do not share.
fn with_few_descriptors(limit: usize, name: &str, setup: Setup) -> (Server, SocketAddr) {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = held.local_addr().unwrap();
    drop(held);
    let config = setup.workers(2).text().replace("admin: 127.0.0.1:0", &format!("admin: {admin}"));
    let limits = ["-Sn", "-Hn"].map(|which| format!("{which} {limit}"));
    (serve_with(limited(&limits.each_ref().map(String::as_str)), &file(name, &config), &[]), admin)
}

/// Connects and says something; the socket takes few bytes of the answer.
async fn slow(address: SocketAddr, says: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut tcp = within(socket.connect(address)).await.unwrap();
    // One that was turned away at once cannot be written to.
    let _ = tcp.write_all(says.as_bytes()).await;
    tcp
}

/// Returns the answer to a new client.
async fn served(address: SocketAddr) -> String {
    let mut client = Raw::connect(address).await;
    let _ = client.0.write_all(b"GET /quick HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    client.read_all().await
}

const SERVED: &str = "HTTP/1.1 200";

#[test]
fn slow_clients_do_not_stop_others() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            if request.uri().path() == "/large" {
                let mut response = reply(200, "");
                *response.body_mut() = full(vec![b'x'; 8 << 20]);
                return response;
            }
            let _ = http_body_util::BodyExt::collect(request.into_body()).await;
            reply(200, "whole")
        });
        for (mode, says) in [
            ("silent", ""),
            ("head", "GET / HTTP/1.1\r\nhost: a\r\nx-slow: "),
            ("preface", "PRI * HT"),
            ("body", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nx"),
            ("read", "GET /large HTTP/1.1\r\nhost: a\r\n\r\n"),
        ] {
            let (server, admin) = with_few_descriptors(200, &format!("slow-{mode}.yaml"), Setup::to(&upstream));
            let mut clients = Vec::new();
            for _ in 0..400 {
                clients.push(slow(server.address, says).await);
            }
            // Those that have begun a request keep their places for a moment.
            let mut turns = 0;
            while turns < 20 {
                turns = if served(server.address).await.starts_with(SERVED) { turns + 1 } else { 0 };
            }
            for turn in 0..60 {
                let answer = served(server.address).await;
                assert!(answer.starts_with(SERVED), "{mode} {turn}: {answer}");
                if turn % 6 == 0 {
                    clients.push(slow(server.address, says).await);
                }
                let ready = ask_admin(admin, "/ready").await;
                assert_eq!((ready.status, ready.text()), (200, "ready\n"), "{mode}");
            }
            let metrics = ask_admin(admin, "/metrics").await;
            let metric = |name: &str| -> f64 {
                let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim().parse().unwrap()
            };
            let active = metric("portcullis_connections_active{listener=\"listener_0\"}");
            assert!((10.0..60.0).contains(&active), "{mode}: {active}");
            let closed = metric("portcullis_connections_closed_for_others_total{listener=\"listener_0\"}");
            let refused = metric("portcullis_connections_refused_total{listener=\"listener_0\"}");
            // Some had to go because their upstream could not be connected to.
            assert!(closed + refused > 100.0, "{mode}: {closed} and {refused}");
            drop(server.child);
            let log = server.log.join().unwrap();
            assert_eq!(log.matches("all connections that the listener may have are taken").count(), 1, "{log}");
            assert!(log.lines().count() < 12, "{mode}: {log}");
        }
    });
}

#[test]
fn silent_clients_of_the_admin_interface_do_not_silence_it() {
    run(async {
        for limit in [100, 200] {
            let (server, admin) = with_few_descriptors(limit, "silent-admin.yaml", Setup::echo());
            let mut clients = Vec::new();
            for _ in 0..100 {
                clients.push(slow(admin, "GET /me").await);
            }
            for _ in 0..40 {
                assert_eq!(ask_admin(admin, "/ready").await.status, 200);
                assert!(served(server.address).await.starts_with(SERVED));
            }
        }
    });
}

#[test]
fn max_connections_counts_over_all_workers() {
    run(async {
        let go = std::sync::Arc::new(tokio::sync::Notify::new());
        let waits = std::sync::Arc::clone(&go);
        let upstream = Upstream::new(move |_| {
            let waits = std::sync::Arc::clone(&waits);
            async move {
                waits.notified().await;
                reply(200, "late")
            }
        });
        let setup = Setup::to(&upstream).workers(2).listener("name: most").listener("max_connections: 3");
        let gate: Gate = setup.start();
        let asking: Vec<_> = (0..3)
            .map(|_| {
                let address = gate.address();
                tokio::spawn(async move { Client::h1(address).await.ask(get("/")).await.status })
            })
            .collect();
        until(|| upstream.requests() == 3).await;
        assert_eq!(gate.metric("portcullis_connections_active{listener=\"most\"}").await, 3.0);
        // All wait for the upstream, which is not their fault.
        let mut refused = Raw::connect(gate.address()).await;
        let answer = refused.read_all().await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert_eq!(gate.metric("portcullis_connections_refused_total{listener=\"most\"}").await, 1.0);
        for _ in 0..3 {
            go.notify_one();
        }
        for status in asking {
            assert_eq!(status.await.unwrap(), 200);
        }
        until(|| upstream.requests() == 3).await;
        let mut served = gate.h1().await;
        let (answer, ()) = tokio::join!(served.ask(get("/")), async {
            until(|| upstream.requests() == 4).await;
            go.notify_one();
        });
        assert_eq!(answer.status, 200);
    });
}

#[test]
fn more_connections_than_descriptors_are_a_warning() {
    run(async {
        let (server, _) = with_few_descriptors(200, "more.yaml", Setup::echo().listener("max_connections: 5000"));
        drop(server.child);
        let log = server.log.join().unwrap();
        let warning =
            "listener listener_0: max_connections: 5000 is more than the limit of 200 file descriptors allows: ";
        assert!(log.contains(warning), "{log}");
    });
}

#[test]
fn tcp_streams_keep_their_places_from_the_first_byte_on() {
    run(async {
        let text = "workers: 1\nlisteners:\n- {address: 127.0.0.1:0, max_connections: 2, tcp_proxy: {cluster: e}}\n\
                    clusters: [{name: e, echo: {}}]\n";
        let gate = Gate::start(text);
        let mut spoken = Raw::connect(gate.address()).await;
        spoken.write("one").await;
        spoken.read_to("one").await;
        let mut silent = Raw::connect(gate.address()).await;
        let mut newcomer = Raw::connect(gate.address()).await;
        newcomer.write("two").await;
        newcomer.read_to("two").await;
        assert_eq!(silent.read_all().await, "", "it gave way");
        let mut refused = Raw::connect(gate.address()).await;
        assert_eq!(refused.read_all().await, "", "and nothing is said to who speaks an unknown protocol");
        spoken.write("three").await;
        spoken.read_to("three").await;
        drop(newcomer);
        let mut next = Raw::connect(gate.address()).await;
        while next.0.write_all(b"four").await.is_err() || next.0.read_u8().await.is_err() {
            next = Raw::connect(gate.address()).await;
        }
    });
}
