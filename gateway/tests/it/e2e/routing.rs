//! Which upstream gets a request, and as what.

use std::path::PathBuf;

use http::Request;

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Raw, Sent, Setup, Upstream, empty, get, guest, logs, plugin, reply, run};

/// A request to a host.
fn to(host: &str, path: &str) -> Request<Sent> {
    Request::get(path).header("host", host).body(empty()).unwrap()
}

/// Upstreams that answer with their names.
fn named(name: &'static str) -> Upstream {
    Upstream::new(move |_| async move { reply(200, name) })
}

async fn chosen(gate: &Gate, request: Request<Sent>) -> String {
    gate.h1().await.ask(request).await.text().to_owned()
}

#[test]
fn the_first_route_that_matches_takes_the_request() {
    run(async {
        let (last, a, b) = (named("last"), named("a"), named("b"));
        let gate = Setup::to(&last)
            .cluster("a", &format!("endpoints: [{}]", a.address))
            .cluster("b", &format!("endpoints: [{}]", b.address))
            .route("match: {host: one.test, path: /exact}, cluster: a")
            .route("match: {host: one.test}, cluster: b")
            .route("match: {host: '*.wild.test', prefix: /p}, cluster: a")
            .route("match: {prefix: /head, headers: [{name: X-Env, exact: prod}]}, cluster: a")
            .route("match: {prefix: /head, headers: [{name: x-env, present: true}]}, cluster: b")
            .start();
        for (host, path, upstream) in [
            ("one.test", "/exact", "a"),
            ("ONE.test:8080", "/exact?q=1", "a"),
            ("one.test", "/exact/more", "b"),
            ("x.wild.test", "/p/q", "a"),
            ("x.y.wild.test", "/p", "a"),
            ("wild.test", "/p", "last"),
            ("x.wild.test", "/q", "last"),
            ("other.test", "/exact", "last"),
            ("other.test", "/head", "last"),
        ] {
            assert_eq!(chosen(&gate, to(host, path)).await, upstream, "{host}{path}");
            assert_eq!(gate.h2().await.ask(to(host, path)).await.text(), upstream, "{host}{path}");
        }
        for (value, upstream) in [("prod", "a"), ("test", "b")] {
            let mut request = to("h", "/head");
            request.headers_mut().insert("x-env", value.parse().unwrap());
            assert_eq!(chosen(&gate, request).await, upstream);
        }
    });
}

#[test]
fn a_request_that_no_route_takes_is_404() {
    run(async {
        let text = format!(
            "workers: 1\nadmin: 127.0.0.1:0\nlisteners:\n- address: 127.0.0.1:0\n  plugins:\n  - {}\n  routes:\n  \
             - {{match: {{prefix: /only}}, cluster: e}}\nclusters: [{{name: e, echo: {{}}}}]\n",
            Setup::plugin_entry("no_route", &guest("header_tour"), "")
        );
        let gate = Gate::start(&text);
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/other")).await;
            assert_eq!((answer.status, answer.body.len()), (404, 0));
            assert_eq!(answer.header("x-plugin"), "header_tour", "plugins see it pass");
            assert_eq!(client.ask(get("/only")).await.status, 200);
            assert_eq!(client.ask(get("/hello")).await.status, 200, "a plugin can answer it");
        }
    });
}

#[test]
fn a_prefix_is_rewritten() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream)
            .route("match: {prefix: /api/}, prefix_rewrite: /, cluster: backend")
            .route("match: {path: /one}, prefix_rewrite: /two, cluster: backend")
            .start();
        let mut client = gate.h1().await;
        for (path, sent) in
            [("/api/users?x=/api/", "/users?x=/api/"), ("/one?a", "/two?a"), ("/apis", "/apis"), ("/api/", "/")]
        {
            assert_eq!(client.ask(get(path)).await.json()["path"], sent);
        }
    });
}

/// The target that came must not go on where the one that it stands for cannot.
#[test]
fn a_target_that_is_too_long_once_it_is_rewritten_is_refused() {
    run(async {
        let upstream = Upstream::echo();
        let route = "match: {prefix: /}, prefix_rewrite: /public/and/a/bit/more/, cluster: backend";
        let gate = Setup::to(&upstream).route(route).start();
        let mut raw = Raw::connect(gate.address()).await;
        let target = format!("/admin?{}", "x".repeat(65_520));
        raw.write(&format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
        let answer = raw.read_all().await;
        assert!(answer.starts_with("HTTP/1.1 414 "), "{answer:.100}");
        assert_eq!(upstream.requests(), 0);
    });
}

/// Whatever form a client gives its target, the upstream gets the path that routes and plugins saw, rewritten.
#[test]
fn a_target_in_an_unusual_form_is_routed_and_rewritten_as_a_path() {
    run(async {
        for protocol in ["protocol: http1", "protocol: http2"] {
            let upstream = Upstream::echo();
            let gate = Setup::to(&upstream)
                .backend(protocol)
                .route("match: {prefix: /}, prefix_rewrite: /public/, cluster: backend")
                .start();
            for (target, path) in [
                ("/x", "/public/x"),
                ("http://a", "/public/"),
                ("http://a/x?y", "/public/x?y"),
                ("http://a?y", "/public/?y"),
                ("http://a#x", "/public/"),
            ] {
                let mut raw = Raw::connect(gate.address()).await;
                raw.write(&format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
                let answer = raw.read_all().await;
                assert!(answer.contains(&format!("\"path\":\"{path}\"")), "{target} {protocol}: {answer}");
            }
            let upstream = Upstream::echo();
            let gate = Setup::to(&upstream).backend(protocol).start();
            for target in ["http://a#x", "http://a"] {
                let mut raw = Raw::connect(gate.address()).await;
                raw.write(&format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).await;
                let answer = raw.read_all().await;
                assert!(answer.contains("\"path\":\"/\""), "{target} {protocol}: {answer}");
            }
        }
    });
}

/// A route of that host cannot be passed by, because a later reader takes another part of it for the name.
#[test]
fn a_host_that_can_be_read_in_two_ways_is_refused() {
    run(async {
        let upstream = Upstream::echo();
        let gate = Setup::to(&upstream).start();
        for host in ["a:80:x", "[", "]a[", "a::1"] {
            let mut raw = Raw::connect(gate.address()).await;
            raw.write(&format!("GET / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
            let answer = raw.read_all().await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{host}: {answer}");
        }
        assert_eq!(upstream.requests(), 0);
    });
}

#[test]
fn a_route_may_have_plugins_of_its_own() {
    run(async {
        let own = Setup::plugin_entry(
            "own",
            &plugin(&[("request_headers", r#"(call $header (i32.const 0) $"x-own" $"1") (i32.const 0)"#)]),
            "",
        );
        let gate = Setup::echo()
            .plugin("general", &guest("header_tour"), "")
            .route("match: {prefix: /bare}, cluster: backend, plugins: []")
            .route(&format!("match: {{prefix: /own}}, cluster: backend, plugins: [{own}]"))
            .start();
        let mut client = gate.h1().await;
        for (path, general, own) in [("/", true, false), ("/bare", false, false), ("/own", false, true)] {
            let answer = client.ask(get(path)).await;
            let headers = answer.json()["headers"].clone();
            assert_eq!((headers.get("x-plugin").is_some(), headers.get("x-own").is_some()), (general, own), "{path}");
            assert_eq!(answer.headers.contains_key("x-plugin"), general, "{path}");
        }
    });
}

/// Sets one header, and does some more.
fn setting(name: &str, value: &str, more: &str) -> PathBuf {
    plugin_with(
        r#"(import "env" "proxy_replace_header_map_value" (func $set (param i32 i32 i32 i32 i32) (result i32)))
           (import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $set (i32.const 0) $"{name}" $"{value}")) {more} (i32.const 0))"#
        ),
    )
}

/// The plugins of a route see each request that goes where the route sends it.
#[test]
fn a_route_with_other_plugins_is_not_reached_by_a_rewrite() {
    const CLEAR: &str =
        r#"(drop (call $foreign $"clear_route_cache" (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 20)))"#;
    run(async {
        let deny = plugin(&[("request_headers", r#"(call $answer (i32.const 403) $"guarded") (i32.const 1)"#)]);
        // What answers itself is behind its plugins, too.
        let actions =
            ["cluster: backend", "direct_response: {status: 200, body: secret}", "redirect: {path_redirect: /}"];
        let matches = [
            ("prefix: /admin", ":path", "/admin"),
            ("path: /admin", ":path", "/admin?x=1"),
            ("host: admin.test", ":authority", "admin.test"),
            ("headers: [{name: x-admin, exact: '1'}]", "x-admin", "1"),
            ("headers: [{name: x-guest, present: true, invert: true}]", "x-guest", ""),
        ];
        for (index, (condition, name, value)) in matches.into_iter().enumerate() {
            for (more, action) in ["", CLEAR].into_iter().flat_map(|more| actions.map(|action| (more, action))) {
                let upstream = Upstream::echo();
                let guard = Setup::plugin_entry(&format!("guard_{index}"), &deny, "");
                let route = format!("name: admin, match: {{{condition}}}, {action}, plugins: [{guard}]");
                // Not there is another value than empty.
                let code = if value.is_empty() { removing(name, more) } else { setting(name, value, more) };
                let setup = Setup::to(&upstream).plugin(&format!("rewriter_{index}"), &code, "");
                let gate = setup.clone().route(&route).start();
                for mut client in [gate.h1().await, gate.h2().await] {
                    let mut request = get("/x");
                    request.headers_mut().insert("x-guest", "1".parse().unwrap());
                    let answer = client.ask(request).await;
                    assert_eq!((answer.status, answer.text()), (403, ""), "{condition}");
                    // Who comes to the route itself meets its plugin.
                    let mut request = to(if name == ":authority" { value } else { "a.test" }, "/admin");
                    request.headers_mut().insert("x-admin", "1".parse().unwrap());
                    assert_eq!(client.ask(request).await.text(), "guarded", "{condition}");
                }
                assert_eq!(upstream.requests(), 0);
                logs::wait("", "plugins made it match a route whose plugins it has not passed").await;
                let open = setup.route(&format!("{route}, reachable_by_rewrite: true")).start();
                let mut request = get("/x");
                request.headers_mut().insert("x-guest", "1".parse().unwrap());
                let reached = if action.starts_with("redirect") { 301 } else { 200 };
                assert_eq!(open.h1().await.ask(request).await.status, reached, "{condition} {action}");
            }
        }
    });
}

fn removing(name: &str, more: &str) -> PathBuf {
    plugin_with(
        r#"(import "env" "proxy_call_foreign_function" (func $foreign (param i32 i32 i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                 (drop (call $remove (i32.const 0) $"{name}")) {more} (i32.const 0))"#
        ),
    )
}

#[test]
fn a_route_with_the_same_plugins_is_reached_by_a_rewrite() {
    run(async {
        let (a, b) = (named("a"), named("b"));
        let rewriter = setting(":path", "/b", "");
        let own = Setup::plugin_entry("same", &rewriter, "");
        let gate = Setup::echo()
            .cluster("a", &format!("endpoints: [{}]", a.address))
            .cluster("b", &format!("endpoints: [{}]", b.address))
            .route(&format!("match: {{prefix: /a}}, cluster: a, plugins: [{own}]"))
            .route(&format!("match: {{prefix: /b}}, cluster: b, plugins: [{own}]"))
            .start();
        assert_eq!(chosen(&gate, get("/a")).await, "b");
        // And so are routes of the listener's plugins.
        let listeners = Setup::echo().plugin("general", &rewriter, "");
        let gate = listeners.cluster("b", &format!("endpoints: [{}]", b.address));
        let gate = gate.route("match: {prefix: /b}, cluster: b").start();
        assert_eq!(chosen(&gate, get("/a")).await, "b");
    });
}

#[test]
fn endpoints_take_turns() {
    run(async {
        let (a, b) = (named("a"), named("b"));
        let setup = Setup::echo().cluster("both", &format!("endpoints: [{}, {}]", a.address, b.address));
        let gate = setup.route("match: {prefix: /both}, cluster: both").start();
        let mut client = gate.h1().await;
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(client.ask(get("/both")).await.text().to_owned());
        }
        assert_eq!(answers, ["a", "b", "a", "b", "a", "b"]);
    });
}

#[test]
fn a_plugin_can_choose_the_route() {
    run(async {
        let wat = plugin(&[("request_headers", r#"(call $header (i32.const 0) $"x-to" $"a") (i32.const 0)"#)]);
        let a = named("a");
        let setup = Setup::echo().cluster("a", &format!("endpoints: [{}]", a.address)).plugin("chooser", &wat, "");
        let gate = setup.route("match: {headers: [{name: x-to, exact: a}]}, cluster: a").start();
        assert_eq!(chosen(&gate, get("/")).await, "a");
    });
}
