//! `Expect: 100-continue`, and the interim responses of upstreams.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::e2e::harness::{
    Go, Part, Raw, Reply, Setup, Upstream, answering, answering_h2, guest, logs, plugin, reply, run, wat,
};

const HEAD: &str =
    "POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\nconnection: close\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// Sends a head, and the body once it is asked for; gives the whole answer, which begins with `100 Continue`.
async fn ask(setup: &Setup) -> String {
    let gate = setup.start();
    let mut raw = Raw::connect(gate.address()).await;
    raw.write(HEAD).await;
    assert_eq!(raw.read_to("\r\n\r\n").await, CONTINUE);
    raw.write("body").await;
    raw.read_all().await
}

/// The upstream does not see the expectation, which has been met.
#[test]
fn a_body_is_asked_for_when_its_head_has_passed() {
    run(async {
        let upstream = Upstream::echo();
        for protocol in ["protocol: http1", "protocol: http2"] {
            let setup = Setup::to(&upstream).backend(protocol);
            for setup in [setup.clone(), setup.plugin("expect_passes", &guest("header_tour"), "")] {
                let answer = ask(&setup).await;
                assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
                assert!(answer.contains("\"body\":\"body\"") && !answer.contains("expect"), "{answer}");
            }
        }
    });
}

#[test]
fn a_body_is_not_asked_for_when_a_plugin_has_refused_the_request() {
    run(async {
        let refuse = plugin(&[("request_headers", r#"(call $answer (i32.const 403) $"no") (i32.const 1)"#)]);
        let gate = Setup::echo().plugin("expect_refused", &refuse, "").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write(HEAD).await;
        let answer = raw.read_all().await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.ends_with("\r\n\r\nno"), "{answer}");
        let gate = Setup::echo().route("match: {prefix: /}, direct_response: {status: 404}").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write(HEAD).await;
        assert!(raw.read_all().await.starts_with("HTTP/1.1 404 "));
    });
}

/// A plugin holds the head until a service has answered it.
#[test]
fn a_body_is_not_asked_for_while_a_plugin_holds_its_head() {
    run(async {
        for (verdict, expected) in [(200, CONTINUE), (401, "HTTP/1.1 403 Forbidden\r\n")] {
            let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (tell, wait) = (Arc::clone(&asked), Arc::clone(&go));
            let service = Upstream::new(move |_| {
                let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
                async move {
                    tell.notify_one();
                    wait.notified().await;
                    reply(verdict, "")
                }
            });
            let setup = Setup::echo().plugin("expect_held", &guest("auth_callout"), "configuration: auth");
            let gate = setup.cluster("auth", &format!("endpoints: [{}]", service.address)).start();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(HEAD).await;
            asked.notified().await;
            // Everything that moves with the head has moved: another request is served meanwhile.
            let mut other = Raw::connect(gate.address()).await;
            other.write("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n").await;
            other.read_all().await;
            let mut early = [0];
            assert!(raw.0.try_read(&mut early).is_err(), "something came while the head was held");
            go.notify_one();
            assert_eq!(raw.read_to("\r\n").await + if verdict == 200 { "\r\n" } else { "" }, expected);
        }
    });
}

#[test]
fn a_body_is_asked_for_when_a_plugin_reads_it_before_the_head_goes_on() {
    run(async {
        let reads = plugin(&[("request_headers", "(i32.const 1)"), ("request_body", "(i32.eqz (local.get $end))")]);
        let hold = "allow_on_headers_stop_iteration: true";
        let answer = ask(&Setup::echo().plugin("expect_reads", &reads, hold)).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"body\":\"body\""), "{answer}");

        // A plugin without a callback for bodies does not wait for one.
        let waits = plugin(&[
            ("request_headers", "(drop (call $tick (i32.const 1))) (global.set $stream (local.get $id)) (i32.const 1)"),
            (
                "tick",
                r#"(drop (call $effective (global.get $stream))) (call $answer (i32.const 403) $"no")
                (drop (call $tick (i32.const 0)))"#,
            ),
        ]);
        let gate = Setup::echo().plugin("expect_waits", &waits, hold).start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write(HEAD).await;
        assert!(raw.read_all().await.starts_with("HTTP/1.1 403 "));
    });
}

#[test]
fn nothing_else_can_be_expected() {
    run(async {
        let heard = plugin(&[("request_headers", r#"(call $say $"heard") (i32.const 0)"#)]);
        let gate = Setup::echo().plugin("expect_other", &heard, "").start();
        for field in ["x", "100-continue, x", "100-continue\r\nexpect: x"] {
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(&HEAD.replace("100-continue", field)).await;
            let answer = raw.read_all().await;
            assert!(answer.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{field:?} {answer}");
        }
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("expect", "x")];
        let reply = Raw::connect(gate.address()).await.ask_h2(&fields, None).await;
        assert!(matches!(reply, Reply::Response(417, _)), "{reply:?}");
        assert_eq!(logs::count("expect_other", "heard"), 0);
        // HTTP/1.0 knows no expectations (RFC 9110, section 10.1.1).
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("POST / HTTP/1.0\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nbody").await;
        let answer = raw.read_all().await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && !answer.contains("expect"), "{answer}");
        // HTTP/2 clients send their body unasked, sooner or later.
        let fields =
            [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("expect", "100-continue")];
        let reply = Raw::connect(gate.address()).await.ask_h2(&fields, Some(&[])).await;
        assert!(matches!(&reply, Reply::Response(200, body) if !body.contains("expect")), "{reply:?}");
    });
}

/// Interim responses of an upstream are dropped before a plugin hears of them; a 101 is an error, as nothing asks for it.
#[test]
fn interim_responses_of_upstreams_are_dropped() {
    const EARLY: Part = Part::Head("103", &[("link", "x")], false);
    const OK: [Part; 2] = [Part::Head("200", &[], false), Part::Data("ok", true)];
    run(async {
        let heard = plugin(&[("response_headers", r#"(call $say $"heard") (i32.const 0)"#)]);
        let final_h1 = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let h1 = [
            ("HTTP/1.1 100 Continue\r\n\r\n", 200),
            ("HTTP/1.1 103 Early Hints\r\nlink: x\r\ncontent-length: 9\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", 200),
            ("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 199 X\r\n\r\n", 200),
            ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 502),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 502),
            ("HTTP/1.1 099 X\r\n\r\n", 502),
            ("HTTP/1.1 1000 X\r\n\r\n", 502),
            ("HTTP/1.1 x X\r\n\r\n", 502),
        ];
        let mut expected = 0;
        for (interim, status) in h1 {
            let bytes: &str = Box::leak(format!("{interim}{final_h1}").into_boxed_str());
            let gate = Setup::to_address(answering(bytes).await).plugin("expect_interim", &heard, "").start();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            let answer = raw.read_all().await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains("link"),
                "{interim:?} {answer}"
            );
            let frames = Raw::connect(gate.address()).await.frames_h2("GET", "/").await;
            assert!(frames[0].starts_with(&format!("HEADERS {status} ")), "{interim:?} {frames:?}");
            expected += 2;
            assert_eq!(logs::count("expect_interim", "heard"), expected, "{interim:?}");
        }
        let h2: [(&[Part], u16); 6] = [
            (&[EARLY, OK[0], OK[1]], 200),
            (&[EARLY, EARLY, Part::Head("100", &[], false), OK[0], OK[1]], 200),
            // h2 takes it for one of the others.
            (&[Part::Head("101", &[], false), OK[0], OK[1]], 200),
            (&[Part::Head("103", &[], true)], 502),
            (&[EARLY, OK[1]], 502),
            (&[Part::Head("099", &[], true)], 502),
        ];
        for (parts, status) in h2 {
            let parts: &'static [Part] = Box::leak(parts.into());
            let setup = Setup::to_address(answering_h2(parts, Go::default()).await).backend("protocol: http2");
            let gate = setup.plugin("expect_interim", &heard, "").start();
            let frames = Raw::connect(gate.address()).await.frames_h2("GET", "/").await;
            assert!(frames[0].starts_with(&format!("HEADERS {status}")), "{parts:?} {frames:?}");
            expected += 1;
            assert_eq!(logs::count("expect_interim", "heard"), expected, "{parts:?}");
        }
    });
}

#[test]
fn a_callout_is_told_of_the_final_response() {
    run(async {
        let (head, length) = wat::pairs(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
        let calls = wat::plugin_with(
            r#"(import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
            &format!(
                r#"(data (i32.const 64) "{head}")
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (drop (call $call $"service" (i32.const 64) (i32.const {length}) (i32.const 0) (i32.const 0)
                        (i32.const 0) (i32.const 0) (i32.const 5000) (i32.const 16)))
                    (i32.const 1))
                (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
                    (drop (call $get (i32.const 6) $":status" (i32.const 16) (i32.const 20)))
                    (call $say (i32.load (i32.const 16)) (i32.load (i32.const 20))))"#
            ),
        );
        for (name, bytes, status) in [
            ("expect_call_early", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "204"),
            (
                "expect_call_switch",
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
                "502",
            ),
        ] {
            let setup = Setup::echo().cluster("service", &format!("endpoints: [{}]", answering(bytes).await));
            let gate = setup.plugin(name, &calls, "").start();
            let mut raw = Raw::connect(gate.address()).await;
            raw.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            logs::wait(name, status).await;
            assert_eq!(logs::of(name), [status]);
        }
    });
}
