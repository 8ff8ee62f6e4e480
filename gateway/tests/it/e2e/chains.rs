//! Several plugins over one stream.

use crate::e2e::harness::{Setup, Upstream, get, guest, plugin, post, run};

/// Adds its letter to `x-order` in the headers of both directions, and to both bodies' ends.
fn letter(letter: &str) -> std::path::PathBuf {
    let header = |map: u8| format!(r#"(call $header (i32.const {map}) $"x-order" $"{letter}") (i32.const 0)"#);
    let body = |buffer: u8| {
        format!(
            r#"(if (local.get $end) (then (drop (call $buffer (i32.const {buffer}) (i32.const 0x7fffffff) (i32.const 0) $"{letter}")))) (i32.const 0)"#
        )
    };
    let shorten =
        |map: u8, then: String| format!(r#"(drop (call $remove (i32.const {map}) $"content-length")) {then}"#);
    plugin(&[
        ("request_headers", &shorten(0, header(0))),
        ("request_body", &body(0)),
        ("response_headers", &shorten(2, header(2))),
        ("response_body", &body(1)),
    ])
}

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    run(async {
        let upstream = Upstream::new(|request| async move {
            use http_body_util::BodyExt;
            let order: Vec<_> =
                request.headers().get_all("x-order").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = crate::e2e::harness::reply(200, "response-");
            let seen = format!("{} {}", order.join(""), std::str::from_utf8(&body).unwrap());
            response.headers_mut().insert("x-seen", seen.parse().unwrap());
            response
        });
        for protocol in ["protocol: http1", "protocol: http2"] {
            let setup =
                Setup::to(&upstream).backend(protocol).plugin("a", &letter("A"), "").plugin("b", &letter("B"), "");
            let gate = setup.plugin("c", &letter("C"), "").start();
            for mut client in [gate.h1().await, gate.h2().await] {
                let answer = client.ask(post("/", "request-")).await;
                assert_eq!(answer.header("x-seen"), "ABC request-ABC");
                assert_eq!(answer.header("x-order"), "C,B,A");
                assert_eq!(answer.text(), "response-CBA");
            }
        }
    });
}

#[test]
fn one_module_may_stand_in_a_chain_twice() {
    run(async {
        let gate = Setup::echo().plugin("one", &letter("A"), "").plugin("two", &letter("A"), "").start();
        let answer = gate.h1().await.ask(get("/")).await;
        assert!(answer.text().contains("\"x-order\":[\"A\",\"A\"]") && answer.text().ends_with("}AA"), "{answer:?}");
    });
}

#[test]
fn an_answer_passes_back_through_the_chain() {
    run(async {
        let answering = plugin(&[("request_headers", r#"(call $answer (i32.const 299) $"mine-") (i32.const 0)"#)]);
        let setup = Setup::echo().plugin("outer", &letter("A"), "").plugin("answers", &answering, "");
        let gate = setup.plugin("inner", &letter("B"), "").start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/")).await;
            assert_eq!((answer.status, answer.text()), (299, "mine-A"));
            assert_eq!(answer.header("x-order"), "A", "the request never reached the inner plugin");
        }
    });
}

#[test]
fn real_plugins_stand_behind_each_other() {
    run(async {
        let service = Upstream::new(|_| async { crate::e2e::harness::reply(200, "") });
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream)
            .plugin("real_tour", &guest("header_tour"), "")
            .plugin("real_auth", &guest("auth_callout"), "")
            .plugin("real_body", &guest("body_rewrite"), "")
            .plugin("real_count", &guest("counter"), "configuration: '0'")
            .cluster("auth", &format!("endpoints: [{}]", service.address))
            .start();
        for mut client in [gate.h1().await, gate.h2().await] {
            for _ in 0..5 {
                let mut request = post("/", "body");
                request.headers_mut().insert("x-body-rewrite", "append".parse().unwrap());
                request.headers_mut().insert("x-response-rewrite", "append".parse().unwrap());
                let answer = client.ask(request).await;
                let body = answer.text().strip_suffix("[rewritten]").unwrap();
                let echoed: serde_json::Value = serde_json::from_str(body).unwrap();
                assert_eq!(echoed["body"], "body[rewritten]");
                assert_eq!(
                    (&echoed["headers"]["x-auth"], &echoed["headers"]["x-plugin"]),
                    (&"ok".into(), &"header_tour".into())
                );
            }
        }
        let requests = "counter_requests{plugin=\"real_count\"}";
        assert!((gate.metric(requests).await - 10.0).abs() < 0.5);
    });
}
