//! Properties that plugins read of their streams, through real sockets.

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Client, Gate, Setup, Upstream, get, logs, reply, run};
use crate::e2e::http2::certificate;

/// Logs these properties at the end of each stream: `name=value`, or `name!status`.
pub(crate) fn teller(paths: &[&str]) -> std::path::PathBuf {
    let mut data = String::new();
    let mut calls = String::new();
    for (index, path) in paths.iter().enumerate() {
        let at = 0x8000 + 64 * index;
        data.push_str(&format!("(data (i32.const {at}) \"{}\")", path.replace('.', "\\00")));
        calls.push_str(&format!("(call $say $\"{path}\") (call $tell (i32.const {at}) (i32.const {}))", path.len()));
    }
    plugin_with(
        r#"(import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"{data}
            (func $tell (param i32 i32)
                (if (call $property (local.get 0) (local.get 1) (i32.const 0) (i32.const 4))
                    (then (call $say $"not found"))
                    (else (call $say (i32.load (i32.const 0)) (i32.load (i32.const 4))))))
            (func (export "proxy_on_log") (param i32) {calls})"#
        ),
    )
}

/// The line behind each property's name.
pub(crate) async fn told(plugin: &str, paths: &[&str]) -> Vec<String> {
    logs::wait(plugin, paths.last().unwrap()).await;
    within_lines(plugin, 2 * paths.len()).await;
    let lines = logs::of(plugin);
    let value = |path: &&str| {
        let at = lines.iter().position(|line| line.contains(*path)).unwrap();
        lines[at + 1].clone()
    };
    paths.iter().map(value).collect()
}

async fn within_lines(plugin: &str, count: usize) {
    crate::e2e::harness::until(|| logs::of(plugin).len() >= count).await;
}

/// Every stream of a connection has them from the connection.
#[test]
fn what_the_client_agreed_on_in_tls() {
    run(async {
        let (cert, key) = certificate("properties");
        let tls = format!("tls: {{certificate: {:?}, private_key: {:?}}}", cert.display(), key.display());
        let paths = ["connection.tls_version", "connection.requested_server_name", "connection.mtls"];
        for (name, protocol) in [("told_tls_h1", "http/1.1"), ("told_tls_h2", "h2")] {
            let gate = Setup::echo().listener(&tls).plugin(name, &teller(&paths), "").start();
            let mut client = Client::tls(gate.address(), &cert, &[protocol]).await;
            for stream in 1..=2 {
                assert_eq!(client.ask(get("/")).await.status, 200);
                within_lines(name, 2 * paths.len() * stream).await;
            }
            let lines = logs::of(name);
            for told in lines.chunks(2 * paths.len()) {
                assert!(told[1].contains("TLSv1.3") && told[3].contains("gateway.test"), "{told:?}");
                assert!(told[5].contains('\0'), "{told:?}");
            }
        }
        let gate = Setup::echo().plugin("told_plain", &teller(&paths), "").start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        let told = told("told_plain", &paths).await;
        assert!(told[0].contains("not found") && !told[1].contains("not found"), "{told:?}");
    });
}

#[test]
fn what_became_of_a_request_at_its_upstream() {
    run(async {
        let upstream = Upstream::new(|_| async { reply(200, "hello") });
        let paths = [
            "upstream.address",
            "upstream.local_address",
            "upstream.num_endpoints",
            "upstream.request_attempt_count",
            "response.backend_latency",
            "response.headers_bytes",
            "response.flags",
            "connection.subject_peer_certificate",
        ];
        let gate = Setup::to(&upstream).plugin("told", &teller(&paths), "").start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        let told = told("told", &paths).await;
        assert!(told[0].contains(&upstream.address.to_string()), "{told:?}");
        assert!(told[1].contains("127.0.0.1:") && told[1] != told[0], "{told:?}");
        let one = "\u{1}\0\0\0\0\0\0\0";
        assert!(told[2].contains(one) && told[3].contains(one), "{told:?}");
        assert!(!told[4].contains("not found") && !told[5].contains("not found"), "{told:?}");
        assert!(told[6].contains("\0\0\0\0\0\0\0\0"), "{told:?}");
        assert!(told[7].contains("not found"), "{told:?}");
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_known() {
    run(async {
        let upstream = Upstream::new(|_| std::future::pending::<http::Response<_>>());
        let paths = ["upstream.address", "upstream.local_address", "upstream.cx_pool_ready_duration", "response.flags"];
        let setup = Setup::to(&upstream).backend("request_timeout: 50ms").plugin("unanswered", &teller(&paths), "");
        let gate = setup.start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 504);
        let told = told("unanswered", &paths).await;
        assert!(told[0].contains(&upstream.address.to_string()), "{told:?}");
        assert!(told[1].contains("127.0.0.1:") && !told[2].contains("not found"), "{told:?}");
        assert!(told[3].contains("\u{4}\0\0\0\0\0\0\0"), "the flag UT is 4: {told:?}");
    });
}

#[test]
fn what_became_of_a_tcp_stream_at_its_upstream() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let paths =
            ["upstream.address", "upstream.local_address", "upstream.transport_failure_reason", "response.flags"];
        let tcp = |setup: Setup| {
            Gate::start(&setup.text().replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}"))
        };
        let gate = tcp(Setup::to_address(open.local_addr().unwrap()).plugin("tcp_told", &teller(&paths), ""));
        let client = tokio::net::TcpStream::connect(gate.address()).await.unwrap();
        let (_, peer) = open.accept().await.unwrap();
        drop(client);
        let told_of_one = told("tcp_told", &paths).await;
        assert!(told_of_one[0].contains(&open.local_addr().unwrap().to_string()), "{told_of_one:?}");
        assert!(told_of_one[1].contains(&peer.to_string()), "our own end: {told_of_one:?}");
        assert!(told_of_one[3].contains("\0\0\0\0\0\0\0\0"), "{told_of_one:?}");
        let gate = tcp(Setup::to_address(closed).plugin("tcp_untold", &teller(&paths), ""));
        // The gateway may have reset the connection before the client looks at it.
        let _client = tokio::net::TcpStream::connect(gate.address()).await;
        let told = told("tcp_untold", &paths).await;
        assert!(told[0].contains("not found") && told[1].contains("not found"), "{told:?}");
        assert!(told[2].contains("cannot connect to upstream"), "{told:?}");
        assert!(told[3].contains(" \0\0\0\0\0\0\0"), "the flag UF is 32: {told:?}");
    });
}

#[test]
fn why_there_was_no_upstream() {
    run(async {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let paths = ["upstream.transport_failure_reason", "upstream.local_address", "response.flags"];
        let gate = Setup::to_address(closed).plugin("untold", &teller(&paths), "").start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 503);
        let told = told("untold", &paths).await;
        assert!(told[0].contains("cannot connect to upstream"), "{told:?}");
        assert!(told[1].contains("not found"), "{told:?}");
        assert!(told[2].contains(" \0\0\0\0\0\0\0"), "the flag UF is 32: {told:?}");
    });
}
