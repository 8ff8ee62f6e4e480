//! Routes as the configuration reads them: the order, what is never reached, and what it says of mistakes.

use portcullis_gateway::config::{Config, RouteAction};

fn parse(routes: &[&str], listener: &str) -> Result<Config, String> {
    let routes: String = routes.iter().map(|route| format!("  - {{{route}}}\n")).collect();
    let text = format!(
        "clusters: [{{name: e, echo: {{}}}}]\nlisteners:\n- address: 127.0.0.1:0\n  {listener}\n  routes:\n{routes}"
    );
    Config::parse("gateway.yaml", &text).map_err(|error| error.to_string())
}

fn notices(routes: &[&str], listener: &str) -> Vec<String> {
    let config = parse(routes, listener).unwrap_or_else(|error| panic!("{error}"));
    config.notices.iter().map(ToString::to_string).collect()
}

/// Returns the fault of one route, without the place.
fn refused(route: &str) -> String {
    let error = parse(&[route], "").expect_err(route);
    assert_eq!(error.lines().count(), 1, "{error}");
    error.split_once(": listeners[0].routes[0]").unwrap().1.to_owned()
}

#[test]
fn the_most_exact_host_goes_first_and_equal_ones_stay() {
    let routes = [
        "name: any, cluster: e",
        "name: prefix, match: {host: 'a.*'}, cluster: e",
        "name: suffix, match: {host: '*.b', prefix: /x}, cluster: e",
        "name: suffix2, match: {host: '*.b'}, cluster: e",
        "name: exact, match: {host: a.b}, cluster: e",
    ];
    let names = |listener: &str| -> Vec<String> {
        let config = parse(&routes, listener).unwrap();
        config.listeners[0].routes.iter().map(|route| route.name.clone()).collect()
    };
    assert_eq!(names(""), ["exact", "suffix", "suffix2", "prefix", "any"]);
    assert_eq!(names("route_order: file"), ["any", "prefix", "suffix", "suffix2", "exact"]);
}

#[test]
fn a_route_that_another_one_hides_is_told() {
    let general = "cluster: e";
    let hosted = "match: {host: a.b}, cluster: e";
    assert_eq!(notices(&[general, hosted], "route_order: host"), Vec::<String>::new(), "its host goes first");
    let moved = notices(&[general, hosted], "");
    assert!(moved.len() == 1 && moved[0].contains("is tried before route \"route_0\" above it"), "{moved:?}");
    let hidden = notices(&[general, hosted], "route_order: file");
    assert!(
        hidden[0].contains("routes[1]: this route is never reached: route \"route_0\" before it takes every request")
    );
    for (first, second) in [
        ("match: {host: a.b}, cluster: e", "match: {host: a.b, prefix: /x}, cluster: e"),
        ("match: {path_separated_prefix: /x}, cluster: e", "match: {path: /x/y}, cluster: e"),
        ("match: {safe_regex: {regex: /x}}, cluster: e", "match: {safe_regex: {regex: /x}}, cluster: e"),
    ] {
        let hidden = notices(&[first, second], "");
        assert!(hidden[0].contains("routes[1]: this route is never reached: route \"route_0\" before it takes all"));
        assert_eq!(notices(&[second, first], "").len(), usize::from(first == second), "{first}");
    }
}

#[test]
fn envoys_form_of_a_route_is_read() {
    let config = parse(&["match: {prefix: /}, route: {cluster: e, timeout: 3s, prefixRewrite: /x}"], "").unwrap();
    let route = &config.listeners[0].routes[0];
    assert_eq!((route.cluster(|| 0), route.timeout.unwrap().as_secs()), (Some("e"), 3));
    assert_eq!(route.prefix_rewrite.as_deref(), Some("/x"));
    let config = parse(&["direct_response: {status: 200, body: {filename: Cargo.toml}}"], "").unwrap();
    let RouteAction::Respond(response) = &config.listeners[0].routes[0].action else { panic!() };
    assert!(response.body.starts_with(b"[package]"));
}

#[test]
fn mistakes_are_named() {
    for (route, expected) in [
        (
            "redirect: {}",
            ".redirect: this sends clients where they are, again and again; add https_redirect, host_redirect, path_redirect or prefix_rewrite",
        ),
        (
            "cluster: e, redirect: {https_redirect: true}",
            ".redirect: both \"cluster\" and \"redirect\" are given; keep one of them",
        ),
        (
            "direct_response: {status: 100}",
            ".direct_response.status: expected a whole number from 200 to 599, found the number 100; choose one in this range",
        ),
        (
            "direct_response: {status: 204, body: x}",
            ".direct_response.body: a response of status 204 has no body; remove it, or choose another status",
        ),
        (
            "direct_response: {status: 200, headers: {Content-Length: '1'}}",
            ".direct_response.headers.Content-Length: content-length is set by the gateway; remove it",
        ),
        (
            "direct_response: {status: 200, headers: {x: \"a\\nb\"}}",
            ".direct_response.headers.x: expected the value of a header, found \"a\\nb\"; remove line ends and control characters",
        ),
        (
            "direct_response: {status: 200}, timeout: 1s",
            ".timeout: timeout has no effect on a route that answers itself; remove it",
        ),
        ("route: {cluster: e}, timeout: 1s", ".timeout: timeout belongs under route; move it there"),
        (
            "weighted_clusters: {clusters: [{name: e, weight: 0}]}",
            ".weighted_clusters: the weights add up to 0; give one of the clusters a weight of 1 or more",
        ),
        (
            "weighted_clusters: {clusters: [{name: f, weight: 1}]}",
            ".weighted_clusters.clusters[0].name: no cluster is called \"f\"; the clusters are e",
        ),
        (
            "match: {host: 'a*b*'}, cluster: e",
            ".match.host: expected a host such as example.com or \"*.example.com\", found \"a*b*\"; one * can stand, at the start or at the end",
        ),
        (
            "match: {path_separated_prefix: /a/}, cluster: e",
            ".match.path_separated_prefix: expected a path without a slash at its end, found \"/a/\"; remove the slash",
        ),
        (
            "match: {safe_regex: {regex: 'a)(b'}}, cluster: e",
            ".match.safe_regex.regex: not a regular expression: unopened group; correct it; the syntax is that of RE2, without look-around and back-references",
        ),
        (
            "match: {safe_regex: {regex: '(a{1000}){1000}'}}, cluster: e",
            ".match.safe_regex.regex: the regular expression takes more than 64 KiB; repeat less: {1,1000} is written out",
        ),
        (
            "match: {headers: [{name: x, string_match: {safe_regex: {regex: a}, ignore_case: true}}]}, cluster: e",
            ".match.headers[0].string_match.ignore_case: ignore_case does not apply to safe_regex; begin the expression with (?i)",
        ),
        (
            "match: {headers: [{name: x, range_match: {start: 1, end: 2}}]}, cluster: e",
            ".match.headers[0]: values are not compared as numbers; use string_match with safe_regex",
        ),
        (
            "match: {query_parameters: []}, cluster: e",
            ".match: routes do not look at the query; let a plugin look at it, and set a header for the routes",
        ),
        ("cluster: e, retry_policy: {}", ": requests are not sent again; remove the key"),
        (
            "route: {cluster: e, host_rewrite_literal: x}",
            ".route: the host goes to the upstream as it came; let a plugin set :authority",
        ),
    ] {
        assert_eq!(refused(route), expected, "{route}");
    }
}
