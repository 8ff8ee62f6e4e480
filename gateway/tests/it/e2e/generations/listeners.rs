//! Listeners that come, go and change.

use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::e2e::harness::{Client, Gate, Raw, Setup, get, run, until, within};
use crate::e2e::http2::certificate;
use crate::e2e::lifecycle::waiting;

/// A listener that answers with a status.
fn listener(address: &str, status: u16) -> String {
    format!("  - address: {address}\n    routes: [{{direct_response: {{status: {status}}}}}]\n")
}

fn file(workers: usize, listeners: &[String]) -> String {
    format!("workers: {workers}\nlisteners:\n{}", listeners.concat())
}

async fn status(address: SocketAddr) -> u16 {
    Client::h1(address).await.ask(get("/")).await.status
}

/// A port that nobody has.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn listeners_are_added_and_removed() {
    run(async {
        let (first, second) = (listener("127.0.0.1:0", 201), listener("127.0.0.1:0", 202));
        let gate = Gate::start(&file(2, std::slice::from_ref(&first)));
        let addresses = gate.running.reloader().addresses();
        gate.reload_text(&file(2, &[first.clone(), second])).await.unwrap();
        let both = gate.running.reloader().addresses();
        assert_eq!((both[0], both.len()), (addresses[0], 2));
        assert_eq!((status(both[0]).await, status(both[1]).await), (201, 202));
        let mut kept = Raw::connect(both[1]).await;
        kept.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        kept.read_to("\r\n\r\n").await;
        gate.reload_text(&file(2, &[first])).await.unwrap();
        until(|| TcpStream::connect(both[1]).is_err()).await;
        assert_eq!(kept.read_all().await, "", "an idle connection is closed");
        assert_eq!(status(both[0]).await, 201);
    });
}

#[test]
fn a_request_of_a_listener_that_goes_ends() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let cluster = format!("clusters:\n  - {{name: a, endpoints: [{}]}}\n", upstream.address);
        let proxy = "  - address: 127.0.0.1:0\n    routes: [{cluster: a}]\n".to_owned();
        let stays = listener("127.0.0.1:0", 201);
        let gate = Gate::start(&(file(1, &[stays.clone(), proxy]) + &cluster));
        let address = gate.running.reloader().addresses()[1];
        let mut client = Client::h1(address).await;
        let meanwhile = async {
            until(|| upstream.requests() == 1).await;
            gate.reload_text(&file(1, &[stays])).await.unwrap();
            until(|| TcpStream::connect(address).is_err()).await;
            go.notify_one();
        };
        let (answer, ()) = tokio::join!(client.ask(get("/slow")), meanwhile);
        assert_eq!((answer.status, answer.header("connection")), (200, "close".to_owned()));
        client.closed().await;
    });
}

#[test]
fn another_order_is_the_same_listeners() {
    run(async {
        let (a, b) = (free(), free());
        let (first, second) = (listener(&a.to_string(), 201), listener(&b.to_string(), 202));
        let gate = Gate::start(&file(1, &[first, second]));
        let (mut at_a, mut at_b) = (Client::h1(a).await, Client::h1(b).await);
        assert_eq!((at_a.ask(get("/")).await.status, at_b.ask(get("/")).await.status), (201, 202));
        let (first, second) = (listener(&a.to_string(), 203), listener(&b.to_string(), 205));
        gate.reload_text(&file(1, &[second, first])).await.unwrap();
        assert_eq!((at_a.ask(get("/")).await.status, at_b.ask(get("/")).await.status), (203, 205));
    });
}

#[test]
fn a_certificate_that_has_changed_is_used() {
    run(async {
        let (cert, key) = certificate("reload-first");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let setup = Setup::echo().listener(&tls);
        let gate = setup.start();
        let mut before = Client::tls(gate.address(), &cert, &["http/1.1"]).await;
        assert_eq!(before.ask(get("/")).await.status, 200);
        let (other_cert, other_key) = certificate("reload-second");
        std::fs::copy(other_cert, &cert).unwrap();
        let error = gate.reload(&setup).await.unwrap_err();
        assert!(error.contains("gateway.yaml:6:"), "the key is not the certificate's yet: {error}");
        std::fs::copy(other_key, key).unwrap();
        gate.reload(&setup).await.unwrap();
        let mut after = Client::tls(gate.address(), &cert, &["h2"]).await;
        assert_eq!(after.ask(get("/")).await.status, 200);
        assert_eq!(before.ask(get("/")).await.status, 200, "the handshake was before");
    });
}

#[test]
fn a_listener_that_asks_for_tls_from_now_on_keeps_no_plain_connection() {
    run(async {
        let (cert, key) = certificate("reload-tls");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let gate = Setup::echo().start();
        let mut plain = Raw::connect(gate.address()).await;
        plain.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        plain.read_to("HTTP/1.1\"}").await;
        gate.reload(&Setup::echo().listener(&tls)).await.unwrap();
        assert_eq!(plain.read_all().await, "");
        assert_eq!(Client::tls(gate.address(), &cert, &["h2"]).await.ask(get("/")).await.status, 200);
    });
}

#[test]
fn a_tcp_stream_keeps_its_generation() {
    run(async {
        let text = |cluster: &str| {
            format!(
                "workers: 1\nlisteners:\n  - {{address: 127.0.0.1:0, tcp_proxy: {{cluster: {cluster}}}}}\nclusters:\n  - {{name: {cluster}, echo: {{}}}}\n"
            )
        };
        let gate = Gate::start(&text("a"));
        let mut line = Raw::connect(gate.address()).await;
        line.write("one").await;
        line.read_to("one").await;
        gate.reload_text(&text("b")).await.unwrap();
        line.write("two").await;
        line.read_to("two").await;
        let held: Vec<_> = gate.held().iter().map(|held| (held.number, held.connections, held.requests)).collect();
        assert_eq!(held, [(1, 1, 0), (2, 0, 0)]);
        drop(line);
        until(|| gate.held().len() == 1).await;
    });
}

/// Connects and asks; says whether there was no seat.
async fn is_refused(gate: &Gate) -> bool {
    let mut raw = Raw::connect(gate.address()).await;
    // One that is refused may have been closed already.
    let _ = raw.0.try_write(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    raw.read_all().await.starts_with("HTTP/1.1 503")
}

#[test]
fn seats_are_as_the_configuration_says() {
    run(async {
        let (upstream, go) = waiting("/slow");
        let text = |most: usize| Setup::to(&upstream).listener(&format!("max_connections: {most}")).text();
        let gate = Gate::start(&text(1));
        let mut busy = gate.h1().await;
        let meanwhile = async {
            until(|| upstream.requests() == 1).await;
            assert!(is_refused(&gate).await, "the only seat is taken");
            gate.reload_text(&text(2)).await.unwrap();
            assert!(!is_refused(&gate).await);
            gate.reload_text(&text(1)).await.unwrap();
            within(async { while !is_refused(&gate).await {} }).await;
            go.notify_one();
        };
        let (answer, ()) = tokio::join!(busy.ask(get("/slow")), meanwhile);
        assert_eq!(answer.status, 200, "it keeps its seat");
    });
}
