//! A gateway that is told to stop, and signals.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::e2e::cli::{Server, file, serve};
use crate::e2e::harness::frames::{ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, frame, literals, read};
use crate::e2e::harness::{
    Client, Gate, Raw, Reply, Setup, Upstream, ask_admin, channel, get, reply, run, until, within,
};
use crate::e2e::http2::certificate;

/// A gateway whose stop would take longer than a test waits, if it waited for connections. Those without a request are kept for a second.
fn patient(setup: &Setup) -> Gate {
    Gate::start(&setup.text().replace("shutdown_timeout: 5s", "shutdown_timeout: 12s"))
}

/// A gateway that keeps connections without a request for longer, for tests that end them.
fn lasting(setup: &Setup) -> Gate {
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
fn a_handshake_that_ends_when_connections_have_been_told_is_served() {
    run(async {
        let (cert, key) = certificate("late");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let gate = lasting(&Setup::echo().listener(&tls));
        let address = gate.address();
        let (first, second) = (Raw::connect(address).await, Raw::connect(address).await);
        // The gateway has them once another that came later is served.
        assert_eq!(Client::tls(address, &cert, &["http/1.1"]).await.ask(get("/")).await.status, 200);
        let stopping = gate.stop();
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        let answer = Client::tls_over(first.0, &cert, &["http/1.1"]).await.ask(get("/")).await;
        assert_eq!((answer.status, answer.header("connection")), (200, "close".to_owned()));
        let mut h2 = Client::tls_over(second.0, &cert, &["h2"]).await;
        assert_eq!(h2.ask(get("/")).await.status, 200);
        until_gone(&mut h2).await;
        until(|| stopping.is_finished()).await;
    });
}

#[test]
fn a_request_that_crosses_a_goaway_is_answered() {
    run(async {
        let gate = lasting(&Setup::echo());
        let mut raw = Raw::connect(gate.address()).await;
        assert!(matches!(raw.ask_h2(&ASK, None).await, Reply::Response(200, _)));
        let stopping = gate.stop();
        assert_eq!(goaway(&mut raw).await, 0x7fff_ffff, "no request is refused yet");
        let (ping, _) = next(&mut raw, PING, 0).await;
        // Sent by a client that has not seen it.
        let mut request = Vec::new();
        frame(&mut request, HEADERS, END_HEADERS | END_STREAM, 3, &literals(&ASK));
        within(raw.0.write_all(&request)).await.unwrap();
        next(&mut raw, HEADERS, 3).await;
        while next(&mut raw, DATA, 3).await.1 & END_STREAM == 0 {}
        assert!(!stopping.is_finished());
        let mut acknowledged = Vec::new();
        frame(&mut acknowledged, PING, ACK, 0, &ping);
        within(raw.0.write_all(&acknowledged)).await.unwrap();
        assert_eq!(goaway(&mut raw).await, 3, "the last one that is answered");
        until(|| stopping.is_finished()).await;
    });
}

/// Reads the next frame of this kind and stream: its payload and flags.
async fn next(raw: &mut Raw, wanted: u8, of: u8) -> (Vec<u8>, u8) {
    loop {
        let (kind, flags, stream, payload) = within(read(&mut raw.0)).await.unwrap();
        if (kind, stream) == (wanted, of) {
            return (payload, flags);
        }
    }
}

/// Reads the next GOAWAY, and returns the last stream that it names.
async fn goaway(raw: &mut Raw) -> u32 {
    let (payload, _) = next(raw, GOAWAY, 0).await;
    u32::from_be_bytes(payload[..4].try_into().unwrap())
}

#[test]
fn a_tcp_stream_holds_up_a_stop_from_its_first_byte_on() {
    run(async {
        let listeners =
            "listeners:\n- {address: 127.0.0.1:0, tcp_proxy: {cluster: a}}\nclusters:\n- {name: a, echo: {}}\n";
        let gate = Gate::start(&format!("shutdown_timeout: 12s\nworkers: 1\n{listeners}"));
        let mut spoken = Raw::connect(gate.address()).await;
        spoken.write("one").await;
        spoken.read_to("one").await;
        let mut silent = Raw::connect(gate.address()).await;
        let address = gate.address();
        let stopping = gate.stop();
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        spoken.write("two").await;
        spoken.read_to("two").await;
        // A stream may last, and others do not wait for it.
        assert_eq!(silent.read_all().await, "");
        spoken.write("three").await;
        spoken.read_to("three").await;
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

/// A request that the upstream answers when told to, and the connection that it is on.
async fn busy(address: SocketAddr, upstream: &Upstream) -> Raw {
    let before = upstream.requests();
    let mut busy = Raw::connect(address).await;
    busy.write("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    until(|| upstream.requests() > before).await;
    busy
}

/// An upstream that answers `/slow` when told to, and `/cut` with a body that ends when told to.
fn slow() -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let upstream = Upstream::new(move |request| {
        let waits = Arc::clone(&waits);
        async move {
            match request.uri().path() {
                "/slow" => waits.notified().await,
                "/long" => {
                    let (writer, body) = channel();
                    writer.send("first ");
                    tokio::spawn(async move {
                        waits.notified().await;
                        writer.send("last");
                    });
                    return http::Response::new(body);
                }
                _ => {}
            }
            reply(200, "late")
        }
    });
    (upstream, go)
}

/// The end of the echo's body.
const ECHOED: &str = "HTTP/1.1\"}";

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn a_request_on_an_idle_connection_is_answered_while_others_have_requests() {
    run(async {
        let (upstream, go) = slow();
        let gate = patient(&Setup::to(&upstream).workers(2));
        let address = gate.address();
        let mut busy = busy(address, &upstream).await;
        let mut idle = Vec::new();
        for _ in 0..6 {
            let mut raw = Raw::connect(address).await;
            raw.write(GET).await;
            assert!(!raw.read_to("late").await.contains("connection: close"));
            idle.push(raw);
        }
        let unused = Raw::connect(address).await;
        // All workers have what was opened before.
        assert_eq!(Client::h1(address).await.ask(get("/")).await.status, 200);
        let stopping = gate.stop();
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        for mut raw in idle.into_iter().chain([unused]) {
            // Two at once: the answer to the first announces that the second gets none.
            raw.write(&GET.repeat(2)).await;
            let answers = raw.read_all().await;
            assert!(answers.contains("connection: close\r\n") && answers.ends_with("late"), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
        }
        assert!(!stopping.is_finished());
        go.notify_one();
        assert!(busy.read_all().await.contains("connection: close\r\n"));
        until(|| stopping.is_finished()).await;
    });
}

#[test]
fn a_response_that_was_begun_before_announces_nothing_and_the_next_one_does() {
    run(async {
        let (upstream, go) = slow();
        let gate = patient(&Setup::to(&upstream));
        let address = gate.address();
        let mut raw = Raw::connect(address).await;
        raw.write("GET /long HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(!raw.read_to("first \r\n").await.contains("connection: close"));
        let stopping = gate.stop();
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        go.notify_one();
        raw.read_to("0\r\n\r\n").await;
        raw.write(GET).await;
        let answer = raw.read_all().await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("late"), "{answer}");
        until(|| stopping.is_finished()).await;
    });
}

#[test]
fn a_drain_is_seen_before_anything_closes() {
    run(async {
        let config = Setup::echo().text().replace("shutdown_timeout: 5s", "drain_delay: 1h");
        let mut server = serve(&file("delay.yaml", &config), &[]);
        let admin = server.admin().await;
        let mut kept = Raw::connect(server.address).await;
        let mut h2 = Client::h2(server.address).await;
        assert_eq!(ask_admin(admin, "/ready").await.status, 200);
        signal(&server, "TERM");
        until(|| server.said("draining; /ready is 503, and everything is served on for drain_delay")).await;
        let ready = ask_admin(admin, "/ready").await;
        assert_eq!((ready.status, ready.text()), (503, "draining\n"));
        for _ in 0..2 {
            kept.write(GET).await;
            assert!(!kept.read_to(ECHOED).await.contains("connection: close"));
            assert_eq!(h2.ask(get("/")).await.status, 200);
            assert_eq!(Client::h1(server.address).await.ask(get("/")).await.header("connection"), "");
        }
        assert!(server.child.try_wait().unwrap().is_none());
    });
}

#[test]
fn a_second_signal_ends_the_delay_and_the_next_one_the_process() {
    run(async {
        let (upstream, _go) = slow();
        let config =
            Setup::to(&upstream).text().replace("shutdown_timeout: 5s", "shutdown_timeout: 1h\ndrain_delay: 1h");
        let mut server = serve(&file("shorter.yaml", &config), &[]);
        let mut kept = Raw::connect(server.address).await;
        kept.write(GET).await;
        assert!(!kept.read_to("late").await.contains("connection: close"));
        let mut busy = busy(server.address, &upstream).await;
        signal(&server, "TERM");
        until(|| server.said("everything is served on for drain_delay, which a second signal ends")).await;
        signal(&server, "TERM");
        until(|| std::net::TcpStream::connect(server.address).is_err()).await;
        // The end is told as after the whole delay.
        kept.write(GET).await;
        assert!(kept.read_all().await.contains("connection: close\r\n"));
        assert!(server.child.try_wait().unwrap().is_none());
        signal(&server, "TERM");
        until(|| server.child.try_wait().unwrap().is_some()).await;
        assert_eq!(server.child.wait().unwrap().code(), Some(1));
        assert_eq!(busy.read_all().await, "");
    });
}

/// The head of a request that tells an admin interface of a Unix socket to drain.
const DRAIN: &str = "POST /drain HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn a_drain_by_the_admin_interface_tells_connections_and_ends_nothing() {
    run(async {
        let socket = std::env::temp_dir().join(format!("portcullis-drain-{}.sock", std::process::id()));
        let admin = format!("admin: \"unix:{}\"", socket.display());
        let gate = Gate::start(&Setup::echo().text().replace("admin: 127.0.0.1:0", &admin));
        let mut kept = Raw::connect(gate.address()).await;
        kept.write(GET).await;
        kept.read_to(ECHOED).await;
        let mut h2 = Client::h2(gate.address()).await;
        assert_eq!(h2.ask(get("/")).await.status, 200);
        assert!(
            ask_unix(&socket, "GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.contains(" 200 ")
        );
        for _ in 0..2 {
            assert!(ask_unix(&socket, DRAIN).await.starts_with("HTTP/1.1 202 "));
        }
        let ready = ask_unix(&socket, "GET /ready HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
        assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with("draining\n"), "{ready}");
        // The worker hears of it at once.
        while {
            kept.write(GET).await;
            !kept.read_to(ECHOED).await.contains("connection: close\r\n")
        } {}
        assert_eq!(kept.read_all().await, "");
        until_gone(&mut h2).await;
        // New ones are taken, and are told with their first answer.
        let mut new = Raw::connect(gate.address()).await;
        new.write(GET).await;
        assert!(new.read_all().await.contains("connection: close\r\n"));
        let mut new = Client::h2(gate.address()).await;
        assert_eq!(new.ask(get("/")).await.status, 200);
        until_gone(&mut new).await;
        let stopping = gate.stop();
        until(|| stopping.is_finished()).await;
        assert!(!socket.exists());
    });
}

/// Waits until an HTTP/2 connection takes no more requests.
async fn until_gone(client: &mut Client) {
    within(async { while client.try_ask(get("/")).await.is_ok() {} }).await;
}

async fn ask_unix(path: &std::path::Path, request: &str) -> String {
    let mut socket = within(tokio::net::UnixStream::connect(path)).await.unwrap();
    within(socket.write_all(request.as_bytes())).await.unwrap();
    let mut answer = String::new();
    within(socket.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[test]
fn a_process_says_that_it_drains_until_it_ends() {
    run(async {
        let (upstream, go) = slow();
        let config = Setup::to(&upstream).text().replace("shutdown_timeout: 5s", "shutdown_timeout: 1h");
        let mut server = serve(&file("says.yaml", &config), &[]);
        let admin = server.admin().await;
        let mut busy = busy(server.address, &upstream).await;
        signal(&server, "TERM");
        until(|| std::net::TcpStream::connect(server.address).is_err()).await;
        assert_eq!(ask_admin(admin, "/ready").await.status, 503);
        go.notify_one();
        assert!(busy.read_all().await.ends_with("late"));
        until(|| server.child.try_wait().unwrap().is_some()).await;
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
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
        signal(&server, "USR1");
        // One that is still to be looked at when the process stops is forgotten.
        until(|| server.said("SIGUSR1 does nothing: ")).await;
        assert_eq!(Client::h1(server.address).await.ask(get("/")).await.status, 200);
        let mut child = server.child;
        let quit = Command::new("kill").args(["-s", "QUIT", &child.id().to_string()]).status().unwrap();
        assert!(quit.success());
        until(|| child.try_wait().unwrap().is_some()).await;
        assert_eq!(child.wait().unwrap().code(), Some(0), "it has stopped");
        let log = server.log.join().unwrap();
        assert_eq!(log.matches("SIGUSR1 does nothing: ").count(), 1, "{log}");
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
            assert!(log.ends_with("told again to stop: requests in flight were cut\n"), "{log}");
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
