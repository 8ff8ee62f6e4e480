//! As many callouts or connections with upstreams as there may be.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Answer, Client, Gate, Raw, Setup, Upstream, full, get, logs, reply, run, until};

/// An upstream that answers one waiting request when told to, but those of `/quick` at once.
fn slow_upstream() -> (Upstream, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let upstream = Upstream::new(move |request| {
        let waits = Arc::clone(&waits);
        async move {
            if request.uri().path() != "/quick" {
                waits.notified().await;
            }
            reply(200, "answered")
        }
    });
    (upstream, go)
}

#[test]
fn one_request_does_not_take_all_callouts() {
    run(async {
        let (service, go) = slow_upstream();
        // Ten at once, each of which says what it was answered.
        let calls = plugin_with(
            r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
               (import "env" "proxy_get_buffer_bytes" (func $bytes (param i32 i32 i32 i32 i32) (result i32)))"#,
            r#"(data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:method\00GET\00:path\00/\00host\00a\00")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $left i32)
                (local.set $left (i32.const 10))
                (loop $more
                    (if (call $call $"service" (i32.const 64) (i32.const 55) (i32.const 0) (i32.const 0)
                        (i32.const 0) (i32.const 0) (i32.const 60000) (i32.const 16)) (then (call $say $"not taken")))
                    (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (i32.const 0))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (drop (call $get (i32.const 6) $":status" (i32.const 16) (i32.const 20)))
                (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20)))
                (drop (call $bytes (i32.const 4) (i32.const 0) (i32.const 1000) (i32.const 16) (i32.const 20)))
                (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#,
        );
        let backend = Upstream::new(|_| std::future::pending());
        let setup = Setup::to(&backend).cluster("service", &format!("endpoints: [{}]", service.address));
        let text = format!("max_callouts: 3\n{}", setup.plugin("overflow_calls", &calls, "").text());
        let gate = Gate::start(&text);
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        until(|| logs::count("overflow_calls", "503") == 7).await;
        let overflow = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
        assert_eq!(logs::count("overflow_calls", overflow), 7);
        until(|| service.requests() == 3).await;
        assert_eq!((service.accepted(), logs::count("overflow_calls", "not taken")), (3, 0));
        assert!(gate.metric("portcullis_callouts_refused_total").await >= 7.0);
        // Each that is over makes room.
        go.notify_one();
        until(|| logs::count("overflow_calls", "200") == 1).await;
        let mut other = Raw::connect(gate.address()).await;
        other.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        until(|| service.requests() == 4).await;
        until(|| logs::count("overflow_calls", "503") == 16).await;
        assert!(logs::count("", "raise max_callouts") > 0);
    });
}

#[test]
fn requests_beyond_the_connections_with_upstreams_are_503() {
    run(async {
        let (upstream, go) = slow_upstream();
        let flags = plugin_with(
            r#"(import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))"#,
            r#"(data (i32.const 64) "response\00flags")
            (func (export "proxy_on_log") (param i32)
                (drop (call $property (i32.const 64) (i32.const 14) (i32.const 16) (i32.const 20)))
                (if (i64.ne (i64.load (i32.load (i32.const 16))) (i64.const 0))
                    (then (call $say $"flagged")))
                (if (i64.eq (i64.load (i32.load (i32.const 16))) (i64.const 128))
                    (then (call $say $"UO"))))"#,
        );
        let setup = Setup::to(&upstream).plugin("overflow_flags", &flags, "");
        let gate = Gate::start(&format!("max_upstream_connections: 2\n{}", setup.text()));
        let asking: Vec<_> = (0..2)
            .map(|_| {
                let address = gate.address();
                tokio::spawn(async move { Client::h1(address).await.ask(get("/")).await.status })
            })
            .collect();
        until(|| upstream.requests() == 2).await;
        let mut client = gate.h1().await;
        let answer = client.ask(get("/quick")).await;
        let overflow = "upstream connect error or disconnect/reset before headers. reset reason: overflow";
        assert_eq!((answer.status, answer.text()), (503, overflow));
        until(|| logs::count("overflow_flags", "UO") == 1).await;
        go.notify_one();
        go.notify_one();
        for status in asking {
            assert_eq!(status.await.unwrap(), 200);
        }
        assert_eq!((client.ask(get("/quick")).await.status, upstream.accepted()), (200, 2));
        assert_eq!(logs::count("overflow_flags", "flagged"), 1);
    });
}

#[test]
fn idle_connections_make_room_for_those_with_other_upstreams() {
    run(async {
        let (one, _) = slow_upstream();
        let (two, _) = slow_upstream();
        let setup = Setup::to(&one).cluster("other", &format!("endpoints: [{}]", two.address));
        let setup = setup.route("match: {path: /quick, headers: [{name: x-to, exact: other}]}, cluster: other");
        let gate = Gate::start(&format!("max_upstream_connections: 1\n{}", setup.text()));
        let mut client = gate.h1().await;
        for turn in 1..4 {
            assert_eq!(client.ask(get("/quick")).await.status, 200);
            let mut request = get("/quick");
            request.headers_mut().insert("x-to", http::HeaderValue::from_static("other"));
            assert_eq!(client.ask(request).await.status, 200);
            assert_eq!((one.accepted(), two.accepted()), (turn, turn));
        }
    });
}

/// A shared connection makes no room while it is kept; closed for being idle, it does.
#[test]
fn an_idle_http2_connection_makes_room_when_it_is_closed() {
    run(async {
        let (one, _) = slow_upstream();
        let (two, _) = slow_upstream();
        let setup = Setup::to(&one).backend("protocol: http2").backend("idle_timeout: 50ms");
        let setup = setup.cluster("other", &format!("endpoints: [{}]", two.address));
        let setup = setup.route("match: {path: /quick, headers: [{name: x-to, exact: other}]}, cluster: other");
        let gate = Gate::start(&format!("max_upstream_connections: 1\n{}", setup.text()));
        let mut client = gate.h1().await;
        assert_eq!(client.ask(get("/quick")).await.status, 200);
        let mut status = 0;
        while status != 200 {
            let mut request = get("/quick");
            request.headers_mut().insert("x-to", http::HeaderValue::from_static("other"));
            status = client.ask(request).await.status;
            assert!([200, 503].contains(&status), "{status}");
        }
        assert_eq!((one.accepted(), two.accepted()), (1, 1));
    });
}

/// One client may have 256 streams, each of which keeps a connection with an upstream while it is not read.
#[test]
fn clients_that_do_not_read_give_up_connections_with_upstreams() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            let is_large = request.uri().path() == "/large";
            let mut response = reply(200, "small");
            if is_large {
                *response.body_mut() = full(vec![b'x'; 8 << 20]);
            }
            response
        });
        let gate = Gate::start(&format!("max_upstream_connections: 4\n{}", Setup::to(&upstream).text()));
        let Client::H2(sender) = gate.h2().await else { panic!() };
        let mut unread = Vec::new();
        for _ in 0..4 {
            unread.push(Client::H2(sender.clone()).send(get("/large")).await.unwrap());
        }
        // Until they have been waited for long enough.
        until_served(&gate).await;
        for response in unread {
            assert!(Answer::read(response).await.is_err());
        }
    });
}

async fn until_served(gate: &Gate) {
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        statuses.push(gate.h1().await.ask(get("/")).await.status);
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    }
}

/// A bidirectional copy needs one connection with its upstream, too.
#[test]
fn tcp_streams_count() {
    run(async {
        let (upstream, _) = slow_upstream();
        let text = format!(
            "max_upstream_connections: 1\nworkers: 1\nlisteners:\n- {{address: 127.0.0.1:0, tcp_proxy: {{cluster: a}}}}\n\
             clusters:\n- {{name: a, endpoints: [{}]}}\n",
            upstream.address
        );
        let gate = Gate::start(&text);
        let mut first = Raw::connect(gate.address()).await;
        first.write("GET /quick HTTP/1.1\r\nhost: a\r\n\r\n").await;
        first.read_to("answered").await;
        let ask = async || {
            // It may be reset before it stands.
            let Ok(tcp) = TcpStream::connect(gate.address()).await else { return String::new() };
            let mut raw = Raw(tcp);
            let _ = raw.0.write_all(b"GET /quick HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            raw.read_all().await
        };
        assert_eq!(ask().await, "");
        drop(first);
        // The gateway hears of it a moment later.
        while !ask().await.ends_with("answered") {}
        assert!(upstream.closed() >= 1);
    });
}
