//! Metadata of routes, clusters and endpoints, as plugins read it in each phase.

use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, Upstream, get, logs, reply, run, until, within};

/// The last key of each resource's metadata, and a resource as a whole.
const PATHS: [&str; 5] = [
    "xds.route_metadata.filter_metadata.auth.role",
    "xds.cluster_metadata.filter_metadata.c.k",
    "xds.upstream_host_metadata.filter_metadata.h.k",
    "xds.route_metadata.filter_metadata.auth.level",
    "xds.cluster_metadata",
];

/// Logs the values of [`PATHS`] as one line in each of these callbacks: `phase:value|...`, with `!status` where there is none.
fn teller(callbacks: &[(&str, &str, &str)]) -> PathBuf {
    let mut data = String::new();
    let mut calls = String::new();
    for (index, path) in PATHS.iter().enumerate() {
        let at = 0x8000 + 64 * index;
        data.push_str(&format!("(data (i32.const {at}) \"{}\")", path.replace('.', "\\00")));
        calls.push_str(&format!("(call $tell (i32.const {at}) (i32.const {}))", path.len()));
    }
    let functions: String = callbacks
        .iter()
        .map(|(name, parameters, result)| {
            let end = if result.is_empty() { "" } else { "(i32.const 0)" };
            format!(
                "(func (export \"proxy_on_{name}\") {parameters} {result} (global.set $o (i32.const 0x9000)) \
                 (call $put $\"{name}:\") {calls} \
                 (call $say (i32.const 0x9000) (i32.sub (global.get $o) (i32.const 0x9000))) {end})"
            )
        })
        .collect();
    plugin_with(
        r#"(import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))"#,
        &format!(
            r#"{data}
            (global $o (mut i32) (i32.const 0))
            (func $put (param i32 i32)
                (memory.copy (global.get $o) (local.get 0) (local.get 1))
                (global.set $o (i32.add (global.get $o) (local.get 1))))
            (func $tell (param i32 i32) (local $status i32)
                (local.set $status (call $property (local.get 0) (local.get 1) (i32.const 0) (i32.const 4)))
                (if (local.get $status)
                    (then
                        (call $put $"!?")
                        (i32.store8 (i32.sub (global.get $o) (i32.const 1)) (i32.add (local.get $status) (i32.const 48))))
                    (else (call $put (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
                (call $put $"|"))
            {functions}"#
        ),
    )
}

const HTTP: &[(&str, &str, &str)] = &[
    ("request_headers", "(param i32 i32 i32)", "(result i32)"),
    ("response_headers", "(param i32 i32 i32)", "(result i32)"),
    ("log", "(param i32)", ""),
];

/// Returns the properties that a plugin has told in a phase so far.
fn told(plugin: &str, phase: &str) -> Vec<String> {
    let lines = logs::of(plugin);
    let value = |line: &String| line.split_once(&format!("{phase}:")).map(|(_, value)| value.trim_end().to_owned());
    lines.iter().filter_map(value).collect()
}

async fn told_in_all(plugin: &str, phases: &[&str], count: usize) -> Vec<Vec<String>> {
    until(|| phases.iter().all(|phase| told(plugin, phase).len() >= count)).await;
    phases.iter().map(|phase| told(plugin, phase)).collect()
}

/// `Metadata` with `c: {k: cm}`.
const CLUSTER: &str = "\n\u{10}\n\u{1}c\u{12}\u{b}\n\t\n\u{1}k\u{12}\u{4}\u{1a}\u{2}cm";

#[test]
fn each_resource_is_known_from_when_it_is_chosen() {
    run(async {
        let upstream = Upstream::new(|_| async { reply(200, "hello") });
        let mut setup = Setup::echo()
            .route("match: {path: /admin}, cluster: up, metadata: {filter_metadata: {auth: {role: admin, level: '3'}}}")
            .route("match: {path: /bare}, cluster: bare")
            .route(
                "match: {path: /own}, direct_response: {status: 200}, metadata: {filter_metadata: {auth: {role: own}}}",
            )
            .route("match: {path: /moved}, redirect: {path_redirect: /admin}");
        let endpoint = format!("{{address: {}, metadata: {{filter_metadata: {{h: {{k: hm}}}}}}}}", upstream.address);
        setup = setup
            .cluster("up", &format!("metadata: {{filter_metadata: {{c: {{k: cm}}}}}}, endpoints: [{endpoint}]"))
            .cluster("bare", &format!("endpoints: [{}]", upstream.address));
        let gate = setup.plugin("metadata", &teller(HTTP), "").start();
        let phases = ["request_headers", "response_headers", "log"];
        let mut client = gate.h1().await;
        for (count, (path, before, after)) in [
            ("/admin", format!("admin|cm|!1|3|{CLUSTER}|"), format!("admin|cm|hm|3|{CLUSTER}|")),
            ("/bare", "!1|!1|!1|!1||".to_owned(), "!1|!1|!1|!1||".to_owned()),
            ("/own", "own|!1|!1|!1|!1|".to_owned(), "own|!1|!1|!1|!1|".to_owned()),
            ("/moved", "!1|!1|!1|!1|!1|".to_owned(), "!1|!1|!1|!1|!1|".to_owned()),
        ]
        .into_iter()
        .enumerate()
        {
            client.ask(get(path)).await;
            let told = told_in_all("metadata", &phases, count + 1).await;
            let last: Vec<_> = told.iter().map(|lines| lines[count].as_str()).collect();
            assert_eq!(last, [&before, &after, &after], "{path}");
        }
    });
}

#[test]
fn a_request_without_a_route_has_none() {
    run(async {
        let text = Setup::echo().plugin("unrouted", &teller(HTTP), "").text();
        let gate = Gate::start(&text.replace("{cluster: backend}", "{match: {path: /only}, cluster: backend}"));
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 404);
        let told = told_in_all("unrouted", &["request_headers", "log"], 1).await;
        assert_eq!(told, [["!1|!1|!1|!1|!1|"], ["!1|!1|!1|!1|!1|"]]);
    });
}

#[test]
fn what_a_plugin_sets_is_no_metadata() {
    run(async {
        let forger = plugin_with(
            r#"(import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))"#,
            &format!(
                r#"(data (i32.const 0x8000) "{}")
                (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
                    (drop (call $set (i32.const 0x8000) (i32.const {}) $"forged"))
                    (i32.const 0))"#,
                PATHS[0].replace('.', "\\00"),
                PATHS[0].len(),
            ),
        );
        let gate = Setup::echo().plugin("forger", &forger, "").plugin("forged", &teller(HTTP), "").start();
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        let told = told_in_all("forged", &["request_headers"], 1).await;
        assert_eq!(told, [["!1|!1|!1|!1||"]]);
    });
}

const TCP: &[(&str, &str, &str)] = &[
    ("new_connection", "(param i32)", "(result i32)"),
    ("upstream_data", "(param i32 i32 i32)", "(result i32)"),
    ("log", "(param i32)", ""),
];

#[test]
fn streams_of_tcp_have_a_cluster_and_a_host() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = Setup::echo().plugin("tcp_metadata", &teller(TCP), "").text();
        let endpoint = format!("{{address: {address}, metadata: {{filter_metadata: {{h: {{k: hm}}}}}}}}");
        let text = text
            .replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}")
            .replace("echo: {}", &format!("metadata: {{filter_metadata: {{c: {{k: cm}}}}}}, endpoints: [{endpoint}]"));
        let gate = Gate::start(&text);
        let mut client = TcpStream::connect(gate.running.addresses[0]).await.unwrap();
        let (mut upstream, _) = within(listener.accept()).await.unwrap();
        upstream.write_all(b"!").await.unwrap();
        assert_eq!(within(client.read_u8()).await.unwrap(), b'!');
        drop((client, upstream));
        let told = told_in_all("tcp_metadata", &["new_connection", "upstream_data", "log"], 1).await;
        let after = format!("!1|cm|hm|!1|{CLUSTER}|");
        assert_eq!(told[0], [format!("!1|cm|!1|!1|{CLUSTER}|")]);
        assert_eq!(told[1][0], after);
        assert_eq!(told[2], [after]);
    });
}
