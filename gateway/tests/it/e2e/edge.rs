//! Headers with which the gateway describes a request to upstreams and plugins: its id, its scheme, its client.

use http::Request;

use crate::e2e::harness::{Sent, Setup, Upstream, empty, get, logs, run, wat};

fn claiming() -> Request<Sent> {
    let request = Request::get("/").header("x-request-id", "mine").header("x-forwarded-proto", "https");
    let request = request.header("x-forwarded-for", "192.0.2.1").header("x-forwarded-for", "192.0.2.2, 192.0.2.3");
    request.body(empty()).unwrap()
}

fn is_uuid(id: &str) -> bool {
    let bytes = id.as_bytes();
    id.len() == 36 && bytes[14] == b'4' && [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-')
}

#[test]
fn a_client_at_the_edge_is_not_believed() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let told = client.ask(claiming()).await.json();
            let id = told["headers"]["x-request-id"].as_str().unwrap().to_owned();
            assert!(is_uuid(&id), "{told}");
            assert_eq!(told["headers"]["x-forwarded-proto"], "http");
            assert_eq!(told["headers"]["x-forwarded-for"], "192.0.2.1,192.0.2.2, 192.0.2.3,127.0.0.1");
            let told = client.ask(get("/")).await.json();
            assert_eq!(told["headers"]["x-forwarded-for"], "127.0.0.1");
            assert_ne!(told["headers"]["x-request-id"], id, "each has its own");
        }
    });
}

/// A client cannot have them removed as fields of its connection.
#[test]
fn they_are_added_after_what_belongs_to_the_connection_is_gone() {
    run(async {
        let gate = Setup::echo().start();
        let request = Request::get("/").header("connection", "x-request-id, x-forwarded-proto, x-forwarded-for");
        let told = gate.h1().await.ask(request.body(empty()).unwrap()).await.json();
        assert!(is_uuid(told["headers"]["x-request-id"].as_str().unwrap()), "{told}");
        assert_eq!(told["headers"]["x-forwarded-for"], "127.0.0.1");
        assert_eq!(told["headers"]["x-forwarded-proto"], "http");
    });
}

#[test]
fn a_proxy_before_the_gateway_is_believed() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).listener("use_remote_address: false").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let told = client.ask(claiming()).await.json();
            assert_eq!(
                (&told["headers"]["x-request-id"], &told["headers"]["x-forwarded-proto"]),
                (&"mine".into(), &"https".into())
            );
            assert_eq!(told["headers"]["x-forwarded-for"], serde_json::json!(["192.0.2.1", "192.0.2.2, 192.0.2.3"]));
            let told = client.ask(get("/")).await.json();
            assert!(is_uuid(told["headers"]["x-request-id"].as_str().unwrap()), "made where it is missing: {told}");
            assert_eq!(told["headers"]["x-forwarded-proto"], "http");
            assert!(told["headers"].get("x-forwarded-for").is_none(), "{told}");
        }
    });
}

/// `request.id` is what the upstream gets.
#[test]
fn plugins_read_the_id() {
    run(async {
        let read = wat::plugin_with(
            r#"(import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))"#,
            r#"(data (i32.const 32) "request\00id")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $get (i32.const 32) (i32.const 10) (i32.const 16) (i32.const 20)))
                (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20)))
                (i32.const 0))"#,
        );
        let gate = Setup::echo().plugin("edge_id", &read, "").start();
        let told = gate.h1().await.ask(get("/")).await.json();
        logs::wait("edge_id", told["headers"]["x-request-id"].as_str().unwrap()).await;
    });
}
