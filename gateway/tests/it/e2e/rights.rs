//! Rights of a plugin, and what happens when it does something else.

use crate::e2e::harness::{Gate, Setup, get, logs, plugin, run};

/// Rules for arguments hold; what they forbid is answered, logged, counted and recorded.
#[test]
fn a_rule_holds_and_its_denials_are_seen() {
    run(async {
        let wat = plugin(&[(
            "request_headers",
            r#"(call $header (i32.const 0) $"x-allowed" $"1")
               (call $header (i32.const 0) $"authorization" $"forged")
               (call $header (i32.const 0) $"authorization" $"forged")
               (i32.const 0)"#,
        )]);
        let more = "capability_restriction_config: {allowed_capabilities: {proxy_on_request_headers: , \
                    proxy_on_context_create: , proxy_add_header_map_value: {request_headers: [\"X-*\"]}}}";
        let gate = Setup::echo().plugin("ruled", &wat, more).start();
        let answer = gate.h1().await.ask(get("/")).await;
        let headers = &answer.json()["headers"];
        assert_eq!((headers["x-allowed"].as_str(), headers.get("authorization")), (Some("1"), None));
        logs::wait("ruled", "its rule `request_headers` does not allow \"authorization\"").await;
        let denials = gate.admin("/denials").await.json();
        let denial = &denials["denials"][0];
        assert_eq!(denial["plugin"], "ruled");
        assert_eq!(denial["capability"], "proxy_add_header_map_value");
        assert_eq!((&denial["rule"], &denial["argument"]), (&"request_headers".into(), &"authorization".into()));
        assert_eq!(denial["count"], 2);
        let sandboxes = gate.admin("/sandboxes").await.json();
        assert_eq!(denial["sandbox"], sandboxes["sandboxes"][0]["sandbox"]);
        let line = "portcullis_denials_total{plugin=\"ruled\",capability=\"proxy_add_header_map_value\"}";
        assert!((gate.metric(line).await - 2.0).abs() < 0.5);
    });
}

/// A field that has others removed is written with the rights that these want.
#[test]
fn a_connection_field_removes_nothing_that_may_not_be_written() {
    run(async {
        let wat = plugin(&[(
            "request_headers",
            r#"(call $header (i32.const 0) $"connection" $"close, Authorization") (i32.const 0)"#,
        )]);
        for (rule, arrives) in [("[\"*\"]", false), ("[\"*\", \"!authorization\"]", true)] {
            let more = format!(
                "capability_restriction_config: {{allowed_capabilities: {{proxy_on_request_headers: , \
                 proxy_on_context_create: , proxy_add_header_map_value: {{request_headers: {rule}}}}}}}"
            );
            let gate = Setup::echo().plugin("nominates", &wat, &more).start();
            let mut request = get("/");
            request.headers_mut().insert("authorization", http::HeaderValue::from_static("x"));
            let answer = gate.h1().await.ask(request).await;
            assert_eq!(answer.json()["headers"].get("authorization").is_some(), arrives, "{rule}");
        }
    });
}

/// The operator may prefer that a plugin ends when it does what it may not do.
#[test]
fn a_denial_may_end_the_plugin() {
    run(async {
        let code = r#"(call $header (i32.const 0) $"x" $"1") (i32.const 0)"#;
        let wat = plugin(&[("request_headers", code)]);
        let more =
            "capability_restriction_config: {on_denial: trap, allowed_capabilities: {proxy_on_request_headers: }}";
        let gate = Setup::echo().plugin("trapped", &wat, more).start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 503);
        logs::wait("trapped", "may not call proxy_add_header_map_value, and on_denial is trap").await;
    });
}

/// A fault of a rule is named where it stands.
#[test]
fn rules_that_cannot_be_read_are_refused() {
    let wat = plugin(&[]);
    for (rules, place, problem) in [
        (
            "proxy_http_call: {upstream: [a]}",
            "proxy_http_call",
            "upstream: there is no such key; did you mean \"upstreams\"?",
        ),
        ("proxy_http_call: {paths: [/a, b]}", "paths[1]", "\"b\" is no prefix of paths"),
        (
            "proxy_done: {names: [a]}",
            "allowed_capabilities",
            "proxy_done: this capability takes no rules; write {} behind it",
        ),
        ("proxy_log: {rate: 5/fortnight}", "proxy_log.rate", "no unit of time that is known"),
    ] {
        let more = format!("capability_restriction_config: {{allowed_capabilities: {{{rules}}}}}");
        let error = Setup::echo().plugin("bad", &wat, &more).refusal();
        assert!(error.starts_with("gateway.yaml:7:") && error.contains(place) && error.contains(problem), "{error}");
    }
}

/// A preset is a set of capabilities to start from.
#[test]
fn a_preset_allows_what_it_lists_and_more_may_be_added() {
    run(async {
        let code = r#"(call $header (i32.const 0) $"x" $"1")
            (drop (call $buffer (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))) (i32.const 0)"#;
        let wat = plugin(&[("request_headers", code)]);
        for (more, denied) in [
            ("preset: headers", 1),
            ("preset: headers, allowed_capabilities: {proxy_set_buffer_bytes: }", 0),
            ("preset: bodies", 0),
        ] {
            let more = format!("capability_restriction_config: {{{more}}}");
            let gate = Setup::echo().plugin("preset", &wat, &more).start();
            let answer = gate.h1().await.ask(get("/")).await;
            assert_eq!(answer.json()["headers"]["x"], "1", "{more}");
            let denials = gate.admin("/denials").await.json();
            assert_eq!(denials["denials"].as_array().map(Vec::len), Some(denied), "{more}: {denials}");
        }
    });
    let wat = plugin(&[]);
    let error = Setup::echo().plugin("bad", &wat, "capability_restriction_config: {preset: header}").refusal();
    assert!(error.contains("there is no preset \"header\"; there are logging, headers"), "{error}");
}

/// A right that a VM lacks, its plugins lack; both may not rule the same capability.
#[test]
fn the_rights_of_a_vm_bind_all_its_plugins() {
    run(async {
        let code = r#"(call $header (i32.const 0) $"x" $"1") (call $say $"hello") (i32.const 0)"#;
        let wat = plugin(&[("request_headers", code)]);
        let whole = "capability_restriction_config: {allowed_capabilities: {proxy_log: {rate: 9/s}, proxy_on_request_headers: }}";
        let own = "capability_restriction_config: {preset: all, allowed_capabilities: {proxy_log: {rate: 5/s}}}";
        let text =
            Setup::echo().plugin("bound", &wat, "").text().replace("vm_config: {", &format!("vm_config: {{{whole}, "));
        let gate = Gate::start(&text);
        assert!(gate.h1().await.ask(get("/")).await.json()["headers"].get("x").is_none());
        logs::wait("bound", "hello").await;
        let error =
            Setup::echo().plugin("bound", &wat, own).text().replace("vm_config: {", &format!("vm_config: {{{whole}, "));
        let error = Gate::try_start(&error).err().unwrap();
        assert!(error.contains("proxy_log has rules here and in vm_config; keep one of the two"), "{error}");
    });
}

/// Decisions are shown.
#[test]
fn sandboxes_are_shown() {
    run(async {
        let wat = plugin(&[]);
        let gate = Setup::echo().plugin("one", &wat, "").plugin("two", &wat, "").start();
        let shown = gate.admin("/sandboxes").await.json();
        assert_eq!(shown["sandboxes"][0]["plugins"], serde_json::json!(["one", "two"]), "{shown}");
        assert_eq!(shown["sandboxes"][0]["capabilities"], "all");
    });
}
