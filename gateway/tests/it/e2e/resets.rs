//! Upstreams that break off behind the head of their response, as plugins' logs have it.

use std::path::PathBuf;

use crate::e2e::harness::{
    Answer, Go, Part, Setup, answering, answering_h2, answering_in_two, get, logs, run, until, wat,
};
use crate::e2e::timeouts::closed_port;

/// A plugin that logs `response.flags` as a number, and `response.code_details`.
fn telling() -> PathBuf {
    wat::plugin_with(
        r#"(import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))"#,
        r#"(data (i32.const 64) "response\00flags") (data (i32.const 128) "response\00code_details")
        (func (export "proxy_on_log") (param i32) (local $flags i32) (local $at i32)
            (drop (call $property (i32.const 64) (i32.const 14) (i32.const 16) (i32.const 20)))
            (local.set $flags (i32.load (i32.load (i32.const 16))))
            (local.set $at (i32.const 300))
            (loop $digits
                (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $flags) (i32.const 10))))
                (local.set $flags (i32.div_u (local.get $flags) (i32.const 10)))
                (br_if $digits (local.get $flags)))
            (call $say (local.get $at) (i32.sub (i32.const 300) (local.get $at)))
            (drop (call $property (i32.const 128) (i32.const 21) (i32.const 16) (i32.const 20)))
            (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#,
    )
}

const HEAD: Part = Part::Head("200", &[], false);
const GONE: Part = Part::Data("gone", false);

/// As measured on Envoy 1.40.
#[test]
fn what_broke_off_is_the_upstreams() {
    const H2: &[(&[Part], u32, &str)] = &[
        (&[HEAD, GONE, Part::Wait, Part::Reset(2)], 1 << 4, "remote_reset"),
        (&[HEAD, GONE, Part::Wait, Part::Reset(8)], 1 << 4, "remote_reset"),
        (&[HEAD, GONE, Part::Wait, Part::Close], 1 << 6, "connection_termination"),
        (
            &[Part::Head("200", &[("content-length", "9")], false), Part::Wait, Part::Data("gone", true)],
            1 << 23,
            "protocol_error",
        ),
    ];
    const H1: &[(&str, &str)] = &[
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", "gone"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "4\r\ngone\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "zz\r\n"),
    ];
    run(async {
        let mut setups = Vec::new();
        for (parts, flag, reason) in H2 {
            let go = Go::default();
            let setup = Setup::to_address(answering_h2(parts, go.clone()).await).backend("protocol: http2");
            setups.push((setup, go, *flag, *reason));
        }
        for (head, rest) in H1 {
            let go = Go::default();
            let setup = Setup::to_address(answering_in_two(head, rest, go.clone()).await);
            setups.push((setup, go, 1 << 23, "protocol_error"));
        }
        for (index, (setup, go, flag, reason)) in setups.into_iter().enumerate() {
            let name = format!("reset_{index}");
            let gate = setup.plugin(&name, &telling(), "").start();
            for (clients, mut client) in [gate.h1().await, gate.h2().await].into_iter().enumerate() {
                let response = client.send(get("/")).await.unwrap();
                go.notify_one();
                let answer = Answer::read(response).await;
                assert!(answer.is_err(), "{index} {answer:?}");
                let details = format!("upstream_reset_after_response_started{{{reason}}}");
                until(|| logs::count(&name, &details) == clients + 1).await;
                assert_eq!(logs::of(&name).join(" "), vec![format!("{flag} {details}"); clients + 1].join(" "));
            }
        }
    });
}

/// As measured on Envoy 1.40, which adds what the system said of a connection.
#[test]
fn what_never_began_is_the_upstreams() {
    run(async {
        let h2 = async |parts| Setup::to_address(answering_h2(parts, Go::default()).await).backend("protocol: http2");
        for (index, (setup, status, flag, reason)) in [
            (h2(&[Part::Reset(2)]).await, 503, 1_u32 << 4, "remote reset"),
            (h2(&[Part::Reset(7)]).await, 503, 1 << 4, "remote refused stream reset"),
            (h2(&[Part::Close]).await, 503, 1 << 6, "connection termination"),
            (h2(&[Part::Head("x", &[], true)]).await, 502, 1 << 23, "protocol error"),
            (Setup::to_address(answering("").await), 503, 1 << 6, "connection termination"),
            (Setup::to_address(answering("HTTP/1.1 2").await), 503, 1 << 6, "connection termination"),
            (Setup::to_address(answering("x\r\n\r\n").await), 502, 1 << 23, "protocol error"),
            (Setup::to_address(closed_port()), 503, 1 << 5, "remote connection failure"),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("reset_before_{index}");
            let gate = setup.plugin(&name, &telling(), "").start();
            let answer = gate.h1().await.ask(get("/")).await;
            assert_eq!(answer.status, status, "{index}");
            assert!(answer.text().ends_with(&format!("reset reason: {reason}")), "{index} {}", answer.text());
            let details = format!("upstream_reset_before_response_started{{{}}}", reason.replace(' ', "_"));
            logs::wait(&name, &details).await;
            assert_eq!(logs::of(&name).join(" "), format!("{} {details}", flag), "{index}");
        }
    });
}
