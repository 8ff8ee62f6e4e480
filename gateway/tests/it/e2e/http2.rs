//! HTTP/2, with prior knowledge and by ALPN, and TLS.

use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use crate::e2e::harness::{Client, Setup, Upstream, get, guest, post, run};

/// A certificate for `gateway.test` and its key, as files.
pub(crate) fn certificate(name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["gateway.test".to_owned()]).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let files = (folder.join(format!("{name}.cert.pem")), folder.join(format!("{name}.key.pem")));
    std::fs::write(&files.0, made.cert.pem()).unwrap();
    std::fs::write(&files.1, made.signing_key.serialize_pem()).unwrap();
    files
}

#[test]
fn tls_agrees_on_a_protocol() {
    run(async {
        let (cert, key) = certificate("alpn");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let gate = Setup::echo().listener(&tls).plugin("tls", &guest("header_tour"), "").start();
        for (offered, h2) in [(&["h2", "http/1.1"][..], true), (&["http/1.1"], false), (&["h2"], true), (&[], false)] {
            let mut client = Client::tls(gate.address(), &cert, offered).await;
            assert_eq!(client.is_h2(), h2, "{offered:?}");
            let answer = client.ask(post("/secure", "over TLS")).await;
            assert_eq!((answer.status, answer.header("x-plugin")), (200, "header_tour".to_owned()));
            assert_eq!(answer.json()["body"], "over TLS");
            assert_eq!(answer.json()["scheme"], "https", "whatever the client says");
        }
    });
}

#[test]
fn a_client_that_speaks_no_tls_takes_nothing_down() {
    run(async {
        let (cert, key) = certificate("plain");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let gate = Setup::echo().listener(&tls).start();
        let mut raw = crate::e2e::harness::Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let _ = raw.0.readable().await;
        let mut client = Client::tls(gate.address(), &cert, &["http/1.1"]).await;
        assert_eq!(client.ask(get("/")).await.status, 200);
    });
}

#[test]
fn one_connection_carries_fifty_requests_at_once() {
    run(async {
        for protocol in ["http1", "http2"] {
            let upstream = Upstream::echo();
            let setup = Setup::to(&upstream).backend(&format!("protocol: {protocol}"));
            let gate = setup.plugin("h2_fifty", &guest("header_tour"), "").start();
            let Client::H2(sender) = gate.h2().await else { panic!() };
            let mut requests = JoinSet::new();
            for index in 0..50 {
                let mut client = Client::H2(sender.clone());
                requests.spawn(async move {
                    let answer = client.ask(post(&format!("/{index}"), format!("{index}"))).await;
                    assert_eq!(answer.json()["body"], index.to_string());
                    assert_eq!(answer.header("x-plugin"), "header_tour");
                });
            }
            while let Some(result) = requests.join_next().await {
                result.unwrap();
            }
            assert_eq!(upstream.requests(), 50);
            if protocol == "http2" {
                assert_eq!(upstream.accepted(), 1);
            }
        }
    });
}

#[test]
fn fifty_connections_are_served_by_two_workers() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).workers(2).plugin("h1_fifty", &guest("header_tour"), "").start();
        let address = gate.address();
        let mut clients = JoinSet::new();
        for index in 0..50 {
            clients.spawn(async move {
                let mut client = Client::h1(address).await;
                for _ in 0..4 {
                    assert_eq!(client.ask(post("/", format!("{index}"))).await.json()["body"], index.to_string());
                }
            });
        }
        while let Some(result) = clients.join_next().await {
            result.unwrap();
        }
        assert_eq!(upstream.requests(), 200);
        let ready = crate::e2e::harness::logs::count("h1_fifty", "completed");
        assert!(ready >= 150, "{ready}");
        crate::e2e::harness::until(|| crate::e2e::harness::logs::count("h1_fifty", "completed") == 200).await;
    });
}

#[test]
fn http2_upstreams_get_http2() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).backend("protocol: http2").plugin("h2_up", &guest("header_tour"), "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let echoed = client.ask(post("/p?q", "body")).await.json();
            assert_eq!(echoed["version"], "HTTP/2.0");
            assert_eq!((&echoed["path"], &echoed["authority"]), (&"/p?q".into(), &"gateway.test".into()));
            assert_eq!((&echoed["headers"]["x-plugin"], &echoed["body"]), (&"header_tour".into(), &"body".into()));
        }
        assert_eq!(upstream.accepted(), 1);
    });
}
