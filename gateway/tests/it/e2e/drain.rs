//! A gateway that is told to stop, and signals.

use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use crate::e2e::cli::{Server, file, serve};
use crate::e2e::harness::frames::Reply;
use crate::e2e::harness::{Client, Gate, Raw, Setup, Upstream, get, reply, run, until, within};
use crate::e2e::http2::certificate;

/// A gateway whose stop would take longer than any test, if it waited for connections.
fn patient(setup: &Setup) -> Gate {
    Gate::start(&setup.text().replace("shutdown_timeout: 5s", "shutdown_timeout: 1h"))
}

const ASK: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

/// An upstream that answers when told to.
fn waiting() -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let upstream = Upstream::new(move |_| {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            reply(200, "late")
        }
    });
    (upstream, go)
}

#[test]
fn connections_without_a_request_do_not_hold_up_a_stop() {
    run(async {
        let gate = patient(&Setup::echo().workers(2));
        let mut connections = Vec::new();
        for says in ["", "GET / HTTP/1.1\r\nhost: a\r\n", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(says).await;
            connections.push(raw);
        }
        // One that had a request, and another that does not answer a PING.
        let mut idle = Raw::connect(gate.address()).await;
        idle.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        idle.read_to("}").await;
        let mut deaf = Raw::connect(gate.address()).await;
        assert!(matches!(deaf.ask_h2(&ASK, None).await, Reply::Response(200, _)));
        connections.extend([idle, deaf]);
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
        for mut raw in connections {
            // Over HTTP/2 there are frames still.
            let _ = within(raw.0.read_to_end(&mut Vec::new())).await;
        }
    });
}

#[test]
fn a_silent_tls_handshake_does_not_hold_up_a_stop() {
    run(async {
        let (cert, key) = certificate("drain");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let gate = patient(&Setup::echo().listener(&tls));
        let mut silent = Raw::connect(gate.address()).await;
        // The gateway has it once another that came later is served.
        assert_eq!(Client::tls(gate.address(), &cert, &["http/1.1"]).await.ask(get("/")).await.status, 200);
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
        assert_eq!(silent.read_all().await, "");
    });
}

#[test]
fn a_tcp_stream_holds_up_a_stop_from_its_first_byte_on() {
    run(async {
        let listeners =
            "listeners:\n- {address: 127.0.0.1:0, tcp_proxy: {cluster: a}}\nclusters:\n- {name: a, echo: {}}\n";
        let gate = Gate::start(&format!("shutdown_timeout: 1h\nworkers: 1\n{listeners}"));
        let mut spoken = Raw::connect(gate.address()).await;
        spoken.write("one").await;
        spoken.read_to("one").await;
        let mut silent = Raw::connect(gate.address()).await;
        let stopping = gate.stop();
        assert_eq!(silent.read_all().await, "");
        spoken.write("two").await;
        spoken.read_to("two").await;
        assert!(!stopping.is_finished());
        drop(spoken);
        until(|| stopping.is_finished()).await;
    });
}

#[test]
fn a_client_that_ignores_pings_gets_its_answer_and_no_more_time() {
    run(async {
        let (upstream, go) = waiting();
        let gate = patient(&Setup::to(&upstream));
        let mut raw = Raw::connect(gate.address()).await;
        let address = gate.address();
        let stopping = async {
            until(|| upstream.requests() == 1).await;
            let stopping = gate.stop();
            until(|| std::net::TcpStream::connect(address).is_err()).await;
            go.notify_one();
            stopping
        };
        let (answer, stopping) = tokio::join!(raw.ask_h2(&ASK, None), stopping);
        assert_eq!(answer, Reply::Response(200, "late".to_owned()));
        until(|| stopping.is_finished()).await;
    });
}

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &server.child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn signals_that_other_servers_act_upon_are_logged() {
    run(async {
        let server = serve(&file("signals.yaml", &Setup::echo().text()), &[]);
        for name in ["HUP", "USR1", "USR2"] {
            signal(&server, name);
            assert_eq!(Client::h1(server.address).await.ask(get("/")).await.status, 200);
        }
        let mut child = server.child;
        let quit = Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]).status().unwrap();
        assert!(quit.success());
        until(|| child.try_wait().unwrap().is_some()).await;
        assert_eq!(child.wait().unwrap().code(), Some(0), "it has stopped");
        let log = server.log.join().unwrap();
        for name in ["SIGHUP", "SIGUSR1", "SIGUSR2"] {
            assert_eq!(log.matches(&format!("{name} does nothing: ")).count(), 1, "{log}");
        }
    });
}

#[test]
fn sigquit_finishes_what_is_in_flight() {
    run(async {
        let (upstream, go) = waiting();
        let mut server = serve(&file("sigquit.yaml", &Setup::to(&upstream).text()), &[]);
        let mut client = Client::h1(server.address).await;
        let stopping = async {
            until(|| upstream.requests() == 1).await;
            signal(&server, "QUIT");
            until(|| std::net::TcpStream::connect(server.address).is_err()).await;
            go.notify_one();
        };
        let (answer, ()) = tokio::join!(client.ask(get("/")), stopping);
        assert_eq!((answer.status, answer.text()), (200, "late"));
        until(|| server.child.try_wait().unwrap().is_some()).await;
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    run(async {
        let (upstream, _go) = waiting();
        for (first, second) in [("TERM", "TERM"), ("QUIT", "INT")] {
            let config = Setup::to(&upstream).text().replace("shutdown_timeout: 5s", "shutdown_timeout: 1h");
            let mut server = serve(&file("twice.yaml", &config), &[]);
            let mut client = Client::h1(server.address).await;
            let before = upstream.requests();
            let stopping = async {
                until(|| upstream.requests() > before).await;
                signal(&server, first);
                until(|| std::net::TcpStream::connect(server.address).is_err()).await;
                assert!(server.child.try_wait().unwrap().is_none());
                signal(&server, second);
                until(|| server.child.try_wait().unwrap().is_some()).await;
            };
            let (answer, ()) = tokio::join!(client.try_ask(get("/")), stopping);
            assert!(answer.is_err());
            assert_eq!(server.child.wait().unwrap().code(), Some(1));
            let log = server.log.join().unwrap();
            assert!(log.ends_with("told to stop twice: requests in flight were cut\n"), "{log}");
        }
    });
}

#[test]
fn a_stop_before_requests_are_served_ends_the_process() {
    run(async {
        // Standard input is a configuration that does not come.
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let mut child = command.args(["serve", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id().to_string();
        // Whether it is caught yet makes no difference but to how it ends.
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        until(|| child.try_wait().unwrap().is_some()).await;
        assert_ne!(child.wait().unwrap().code(), Some(0));
    });
}
