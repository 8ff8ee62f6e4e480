//! Where messages end: it is said once, truly, and with the name of each coding.

use crate::e2e::harness::{Raw, Setup, Upstream, answering, get, logs, plugin, run, wat};

#[test]
fn a_malformed_chunk_is_answered_and_the_connection_closed() {
    run(async {
        let upstream = Upstream::echo();
        let holds = plugin(&[("request_body", "(i32.const 1)")]);
        for setup in [Setup::echo(), Setup::to(&upstream), Setup::to(&upstream).plugin("door_holds", &holds, "")] {
            let gate = setup.start();
            for body in
                ["zz\r\n", "3\r\nabcd\r\n", "3;x\n", "3\nabc", "\r\n", "ffffffffffffffffff\r\n", "0\r\nbad\r\n\r\n"]
            {
                let mut raw = Raw::connect(gate.address()).await;
                raw.write(&format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}")).await;
                let answer = raw.read_all().await;
                assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
                assert!(answer.ends_with("\r\n\r\nthe request's body is malformed"), "{body:?}: {answer}");
            }
        }
    });
}

/// A body never goes on without the name of its coding, nor with two statements of its length.
#[test]
fn a_response_says_once_where_it_ends() {
    run(async {
        const ABCDE: &str = "5\r\nabcde\r\n0\r\n\r\n";
        for (fields, body, status, length) in [
            ("transfer-encoding: chunked\r\n", ABCDE, 200, None),
            ("transfer-encoding: chunked\r\ncontent-length: 3\r\n", ABCDE, 200, None),
            ("content-length: 3\r\ntransfer-encoding: chunked\r\n", ABCDE, 200, None),
            ("content-length: 5\r\ncontent-length: 5\r\n", "abcde", 200, Some("5")),
            ("content-length: 5, 5\r\n", "abcde", 200, Some("5")),
            ("content-length: 5\r\ncontent-length: 6\r\n", "abcde", 502, None),
            ("content-length: x\r\n", "abcde", 502, None),
            ("transfer-encoding: gzip, chunked\r\n", ABCDE, 502, None),
            ("transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n", ABCDE, 502, None),
            ("transfer-encoding: chunked, gzip\r\n", ABCDE, 502, None),
            ("transfer-encoding: gzip\r\n", "abcde", 502, None),
            ("transfer-encoding: \r\n", "abcde", 502, None),
        ] {
            let text: &str = Box::leak(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}").into_boxed_str());
            let gate = Setup::to_address(answering(text).await).start();
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(get("/")).await;
                assert_eq!(answer.status, status, "{fields:?}");
                if status == 200 {
                    assert_eq!(answer.text(), "abcde", "{fields:?}");
                    let told = answer.headers.get("content-length").map(|length| length.to_str().unwrap());
                    assert_eq!(told, length, "{fields:?}");
                }
            }
        }
    });
}

#[test]
fn trailers_lose_what_belongs_to_a_connection() {
    run(async {
        const TRAILERS: &str = "0\r\nconnection: x-one\r\nx-one: 1\r\ntransfer-encoding: gzip\r\nte: trailers\r\n\
                                content-length: 9\r\nhost: b\r\nx-sum: 7\r\n\r\n";
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).backend("protocol: http2").start();
        let mut raw = Raw::connect(gate.address()).await;
        let head = "POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        raw.write(&format!("{head}3\r\nabc\r\n{TRAILERS}")).await;
        let answer = raw.read_all().await;
        assert!(answer.contains("\"trailers\":{\"x-sum\":\"7\"}"), "{answer}");

        let text = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n{TRAILERS}");
        let gate = Setup::to_address(answering(Box::leak(text.into_boxed_str())).await).start();
        let answer = gate.h2().await.ask(get("/")).await;
        let trailers = answer.trailers.unwrap();
        assert_eq!(trailers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
    });
}

/// Rules for responses to clients hold for those to plugins.
#[test]
fn a_callout_is_told_of_an_answer_that_cannot_be_read() {
    run(async {
        let calls = wat::plugin_with(
            r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
            r#"(data (i32.const 64) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\01\00\00\00\04\00\00\00\01\00\00\00:method\00GET\00:path\00/\00host\00a\00")
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                (drop (call $call $"service" (i32.const 64) (i32.const 55) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 16)))
                (i32.const 1))
            (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                (drop (call $get (i32.const 6) $":status" (i32.const 16) (i32.const 20)))
                (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#,
        );
        for (name, fields, status) in [
            ("framing_call_gzip", "transfer-encoding: gzip, chunked\r\n", "502"),
            ("framing_call_length", "content-length: x\r\n", "502"),
            ("framing_call_both", "transfer-encoding: chunked\r\ncontent-length: 3\r\n", "200"),
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n5\r\nabcde\r\n0\r\n\r\n");
            let service = answering(Box::leak(text.into_boxed_str())).await;
            let setup = Setup::echo().cluster("service", &format!("endpoints: [{service}]"));
            let gate = setup.plugin(name, &calls, "").start();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            logs::wait(name, status).await;
        }
    });
}
