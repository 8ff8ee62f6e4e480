//! Routes as Envoy's users write them: what they match, and what they do besides sending requests to one cluster.

use http::Request;

use crate::e2e::harness::{Gate, Raw, Sent, Setup, Upstream, empty, get, guest, reply, run};

/// A request to a host.
fn to(host: &str, path: &str) -> Request<Sent> {
    Request::get(path).header("host", host).body(empty()).unwrap()
}

/// A gateway whose routes answer with their names; `routes` are the names and the matches.
fn answering(routes: &[(&str, &str)], listener: &str) -> Gate {
    let mut setup = Setup::echo();
    if !listener.is_empty() {
        setup = setup.listener(listener);
    }
    for (name, matcher) in routes {
        setup = setup.route(&format!("match: {{{matcher}}}, direct_response: {{status: 200, body: {name}}}"));
    }
    setup.start()
}

/// A host that is more exact goes first, wherever its route stands.
const HOSTS: &[(&str, &str)] = &[
    ("any", "host: '*', prefix: /r"),
    ("foo", "host: 'foo-*', prefix: /r"),
    ("example", "host: 'example.*', prefix: /r"),
    ("short", "host: '*.com', prefix: /r"),
    ("canary", "host: '*-canary.com', prefix: /r"),
    ("exact", "host: a.example.com, prefix: /r"),
];

#[test]
fn hosts_are_tried_as_envoy_tries_virtual_hosts() {
    run(async {
        let gate = answering(HOSTS, "");
        for (host, route) in [
            ("a.example.com", "exact"),
            ("A.example.com:8080", "exact"),
            ("b-canary.com", "canary"),
            ("foo-canary.com", "canary"),
            ("b.com", "short"),
            ("foo-b.com", "short"),
            ("example.org", "example"),
            ("foo-b.org", "foo"),
            ("example.", "any"),
            ("other", "any"),
        ] {
            assert_eq!(gate.h1().await.ask(to(host, "/r")).await.text(), route, "{host}");
            assert_eq!(gate.h2().await.ask(to(host, "/r")).await.text(), route, "{host}");
        }
        // The order of the file can be had back.
        let gate = answering(HOSTS, "route_order: file");
        assert_eq!(gate.h1().await.ask(to("a.example.com", "/r")).await.text(), "any");
        let shown = gate.admin("/config").await.json();
        assert_eq!(shown["listeners"][0]["route_order"], "file");
    });
}

#[test]
fn paths_match_by_segment_and_by_expression() {
    run(async {
        let gate = answering(
            &[
                ("segment", "path_separated_prefix: /api"),
                ("digits", r"safe_regex: {google_re2: {}, regex: '/items/\d+'}"),
                ("alternatives", "safe_regex: {regex: '/a|/b'}"),
                ("upper", "safe_regex: {regex: '(?i)/case'}"),
            ],
            "",
        );
        let mut client = gate.h1().await;
        for (path, route) in [
            ("/api", "segment"),
            ("/api/x", "segment"),
            ("/api?x", "segment"),
            ("/apis", "echo"),
            ("/items/12", "digits"),
            ("/items/12?q=1", "digits"),
            ("/items/12/more", "echo"),
            ("/x/items/12", "echo"),
            ("/a", "alternatives"),
            ("/b", "alternatives"),
            ("/ab", "echo"),
            ("/CASE", "upper"),
        ] {
            let answer = client.ask(get(path)).await;
            let found = if answer.headers.get("content-type").is_some_and(|kind| kind == "text/plain") {
                answer.text()
            } else {
                "echo"
            };
            assert_eq!(found, route, "{path}");
        }
    });
}

#[test]
fn an_expression_takes_time_linear_in_the_path() {
    run(async {
        let gate = answering(&[("never", "safe_regex: {regex: '/(a+)+b'}")], "");
        let path = format!("/{}", "a".repeat(4000));
        assert_eq!(gate.h1().await.ask(get(&path)).await.json()["path"], path);
    });
}

#[test]
fn headers_match_as_strings() {
    run(async {
        let rule = |rule: &str| format!("headers: [{{name: x-v, string_match: {{{rule}}}}}]");
        let (suffix, contains) = (rule("suffix: -end"), rule("contains: mid"));
        let (regex, cased) = (rule("safe_regex: {regex: '[0-9]+'}"), rule("exact: MiXed, ignore_case: true"));
        let method = "headers: [{name: ':method', string_match: {exact: DELETE}}]".to_owned();
        let inverted =
            "headers: [{name: x-w, string_match: {prefix: a}, invert_match: true}, {name: x-w, present_match: true}]";
        let gate = answering(
            &[
                ("suffix", &suffix),
                ("contains", &contains),
                ("regex", &regex),
                ("cased", &cased),
                ("method", &method),
                ("inverted", inverted),
            ],
            "",
        );
        let mut client = gate.h1().await;
        for (name, value, route) in [
            ("x-v", "the-end", Some("suffix")),
            ("x-v", "amidst", Some("contains")),
            ("x-v", "123", Some("regex")),
            ("x-v", "123x", None),
            ("x-v", "mIxed", Some("cased")),
            ("x-w", "b", Some("inverted")),
            ("x-w", "ab", None),
        ] {
            let mut request = get("/");
            request.headers_mut().insert(name, value.parse().unwrap());
            let answer = client.ask(request).await;
            let is_route = route.is_some_and(|route| answer.text() == route);
            assert!(is_route || route.is_none() && answer.text().starts_with('{'), "{value}: {}", answer.text());
        }
        let request = Request::delete("/").body(empty()).unwrap();
        assert_eq!(client.ask(request).await.text(), "method");
    });
}

#[test]
fn a_route_answers_itself_and_plugins_see_it() {
    run(async {
        let gate = Setup::echo()
            .plugin("tour", &guest("header_tour"), "")
            .route("match: {path: /gone}, direct_response: {status: 410, body: {inline_string: '{}'}, headers: {Content-Type: application/json, x-a: b}}")
            .route("match: {path: /empty}, direct_response: {status: 204}")
            .route("match: {path: /bytes}, direct_response: {status: 200, body: {inline_bytes: aGVsbG8=}}")
            .start();
        for mut client in [gate.h1().await, gate.h2().await] {
            let answer = client.ask(get("/gone")).await;
            assert_eq!((answer.status, answer.text()), (410, "{}"));
            assert_eq!(
                (answer.header("content-type").as_str(), answer.header("x-a").as_str()),
                ("application/json", "b")
            );
            assert_eq!(answer.header("x-plugin"), "header_tour", "plugins see it pass");
            let answer = client.ask(get("/empty")).await;
            assert_eq!((answer.status, answer.body.len()), (204, 0));
            let answer = client.ask(get("/bytes")).await;
            assert_eq!((answer.text(), answer.header("content-type").as_str()), ("hello", "text/plain"));
            let head = client.ask(Request::head("/bytes").body(empty()).unwrap()).await;
            assert_eq!((head.status, head.body.len(), head.header("content-length").as_str()), (200, 0, "5"));
        }
        let shown = gate.admin("/config").await.json();
        let routes = &shown["listeners"][0]["routes"];
        assert_eq!(routes[0]["direct_response"]["headers"]["x-a"], "b");
        assert_eq!(routes[1]["direct_response"]["status"], 204);
    });
}

#[test]
fn a_route_redirects() {
    run(async {
        let gate = Setup::echo()
            .route("match: {prefix: /tls}, redirect: {https_redirect: true}")
            .route("match: {prefix: /host}, redirect: {host_redirect: new.test, response_code: FOUND}")
            .route("match: {prefix: /port}, redirect: {port_redirect: 8443, scheme_redirect: https}")
            .route("match: {prefix: /path}, redirect: {path_redirect: /new, response_code: SEE_OTHER}")
            .route("match: {prefix: /own}, redirect: {path_redirect: '/new?own', response_code: TEMPORARY_REDIRECT}")
            .route("match: {prefix: /old/}, redirect: {prefix_rewrite: /new/, response_code: PERMANENT_REDIRECT}")
            .route("match: {prefix: /strip}, redirect: {https_redirect: true, strip_query: true}")
            .route("match: {safe_regex: {regex: '/x[0-9]'}}, redirect: {prefix_rewrite: /y}")
            .start();
        let mut client = gate.h1().await;
        for (host, path, status, location) in [
            ("a.test", "/tls?q=1", 301, "https://a.test/tls?q=1"),
            ("a.test:80", "/tls", 301, "https://a.test/tls"),
            ("a.test:8080", "/tls", 301, "https://a.test:8080/tls"),
            ("[::1]:80", "/tls", 301, "https://[::1]/tls"),
            ("a.test:81", "/host?q", 302, "http://new.test/host?q"),
            ("a.test:81", "/port", 301, "https://a.test:8443/port"),
            ("a.test", "/path?q", 303, "http://a.test/new?q"),
            ("a.test", "/own?q", 307, "http://a.test/new?own"),
            ("a.test", "/old/x?q", 308, "http://a.test/new/x?q"),
            ("a.test", "/strip?q", 301, "https://a.test/strip"),
            ("a.test", "/x1?q", 301, "http://a.test/y?q"),
        ] {
            let answer = client.ask(to(host, path)).await;
            assert_eq!(
                (answer.status, answer.header("location").as_str(), answer.body.len()),
                (status, location, 0),
                "{host}{path}"
            );
        }
        let shown = gate.admin("/config").await.json();
        let shown = &shown["listeners"][0]["routes"][1]["redirect"];
        assert_eq!((&shown["host_redirect"], &shown["response_code"]), (&"new.test".into(), &"FOUND".into()));
    });
}

#[test]
fn connect_is_not_answered_as_if_there_were_a_tunnel() {
    run(async {
        let gate = Setup::echo().route("direct_response: {status: 200, body: x}").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\nconnection: close\r\n\r\n").await;
        let answer = raw.read_all().await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    });
}

/// A path that begins with two slashes would name another host, if it were sent back alone.
#[test]
fn a_client_without_a_host_is_not_sent_to_another_one() {
    run(async {
        let gate = Setup::echo().route("match: {prefix: /}, redirect: {https_redirect: true}").start();
        let mut raw = Raw::connect(gate.address()).await;
        raw.write("GET //evil.test/x HTTP/1.0\r\n\r\n").await;
        let answer = raw.read_all().await;
        let location =
            answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(str::to_owned));
        assert!(location.as_deref().is_none_or(|location| !location.starts_with("//")), "{answer}");
    });
}

#[test]
fn weights_divide_requests() {
    run(async {
        let named = |name: &'static str| Upstream::new(move |_| async move { reply(200, name) });
        let (a, b, never) = (named("a"), named("b"), named("never"));
        let both = "clusters: [{name: a, weight: 1}, {name: never, weight: 0}, {name: b, weight: 1}]";
        let gate = Setup::echo()
            .cluster("a", &format!("endpoints: [{}]", a.address))
            .cluster("b", &format!("endpoints: [{}]", b.address))
            .cluster("never", &format!("endpoints: [{}]", never.address))
            .route(&format!("match: {{prefix: /both}}, weighted_clusters: {{{both}}}"))
            .route(&format!("match: {{prefix: /envoy}}, route: {{weighted_clusters: {{{both}}}, prefix_rewrite: /x}}"))
            .start();
        let mut client = gate.h1().await;
        for path in ["/both", "/envoy"] {
            let mut answers = [0, 0];
            // The chance that one of them gets none of so many is 2 to the power of -199.
            for _ in 0..200 {
                match client.ask(get(path)).await.text() {
                    "a" => answers[0] += 1,
                    "b" => answers[1] += 1,
                    other => panic!("{other}"),
                }
            }
            assert!(answers.iter().all(|count| *count > 0), "{answers:?}");
        }
        assert_eq!(never.requests(), 0);
        let shown = gate.admin("/config").await.json();
        let shown = &shown["listeners"][0]["routes"][0]["weighted_clusters"]["clusters"];
        assert_eq!((&shown[1]["name"], &shown[1]["weight"]), (&"never".into(), &0.into()));
    });
}
