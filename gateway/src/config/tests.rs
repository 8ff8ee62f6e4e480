//! Files and the configurations that they are read into.

mod preopens;

use std::path::PathBuf;
use std::time::Duration;

use portcullis::model::Compatibility;

use super::*;

/// The smallest block of a plugin.
const VM: &str = "vm_config: {code: {local: {inline_string: (module)}}}";

fn parse(text: &str) -> Config {
    Config::parse("gateway.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns a file with one listener, whose chain is `plugins`.
fn with_plugins(plugins: &str) -> String {
    format!(
        "listeners:\n  - address: 127.0.0.1:8080\n    routes: [{{cluster: e}}]\n    plugins:\n{plugins}\nclusters: [{{name: e, echo: {{}}}}]\n"
    )
}

/// Returns the one plugin of a file with these keys below its `vm_config`.
fn plugin(keys: &str) -> (Plugin, Vec<String>) {
    let config = parse(&with_plugins(&format!("      - {VM}\n{keys}")));
    let notices = config.notices.iter().map(ToString::to_string).collect();
    (config.listeners[0].plugins[0].clone(), notices)
}

#[test]
fn defaults_are_filled_in() {
    let config = parse("listeners: [{address: 127.0.0.1:0}]\nclusters: [{name: a, endpoints: [\"b:80\"]}]");
    assert!(config.workers >= 1);
    assert_eq!(config.admin, None);
    assert_eq!(config.shutdown_timeout, Duration::from_secs(30));
    assert_eq!(config.listeners[0].name, "listener_0");
    assert_eq!(config.listeners[0].buffer_limit, 1 << 20);
    assert_eq!(config.listeners[0].tls, None);
    let ClusterKind::Endpoints(servers) = &config.cluster("a").unwrap().kind else { panic!() };
    assert_eq!(servers.endpoints[0].address.to_string(), "b:80");
    assert_eq!(servers.protocol, Protocol::Http1);
    assert_eq!(servers.connect_timeout, Duration::from_secs(5));
    assert_eq!(servers.request_timeout, Duration::from_secs(15));
    assert_eq!(servers.max_idle, 128);
}

#[test]
fn routes_and_matches() {
    let config = parse(
        "
listeners:
  - address: '[::1]:8080'
    routes:
      - match: {host: API.example.com, path: /x, headers: [{name: X-Env, prefix: pr}]}
        cluster: a
        timeout: 0s
        prefix_rewrite: /y
      - {match: {host: '*'}, cluster: a}
clusters:
  - {name: a, endpoints: ['[::1]:80'], protocol: http2, max_idle: 0, request_timeout: 1m}
",
    );
    let [first, second] = config.listeners[0].routes.as_slice() else { panic!() };
    assert_eq!(first.matcher.host, Some(HostMatch::Exact("api.example.com".to_owned())));
    assert_eq!(first.matcher.path, PathMatch::Exact("/x".to_owned()));
    assert_eq!(first.matcher.headers[0].name, "x-env");
    assert_eq!(first.matcher.headers[0].rule, HeaderRule::Prefix("pr".to_owned()));
    assert_eq!((first.name.as_str(), first.timeout), ("route_0", Some(Duration::ZERO)));
    assert_eq!(first.prefix_rewrite.as_deref(), Some("/y"));
    assert_eq!((second.timeout, second.matcher.is_catch_all()), (None, true));
}

#[test]
fn files_of_tls_can_be_references() {
    let text = |certificate: &str| {
        format!(
            "listeners: [{{address: 127.0.0.1:0, tls: {{certificate: {certificate}, private_key: Cargo.toml}}, routes: []}}]"
        )
    };
    let config = parse(&text("{file: Cargo.toml}"));
    let tls = config.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.certificate, tls.private_key);
    for (certificate, expected) in [
        ("{env: PATH}", "tls.certificate.env: an environment variable is no file; write `file: PATH`"),
        ("{credential: a}", "tls.certificate.credential: there are no credentials: CREDENTIALS_DIRECTORY is not set"),
        ("{file: nowhere}", "tls.certificate.file: there is no file \"nowhere\""),
        ("{}", "tls.certificate: no file is referred to"),
        ("[]", "tls.certificate: expected text, found a list"),
    ] {
        let error = Config::parse("gateway.yaml", &text(certificate)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_plugin_as_envoy_has_it() {
    let keys = r#"
        name: full
        root_id: root
        configuration: {"@type": type.googleapis.com/google.protobuf.Struct, value: {limit: 3}}
        failure_policy: FAIL_RELOAD
        reload_config: {backoff: {base_interval: 0.25s}}
        allow_on_headers_stop_iteration: {value: true}
        compatibility: spec
        capability_restriction_config:
          allowed_capabilities:
            proxy_log: {}
            fd_write:
"#;
    let (plugin, notices) = plugin(keys);
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!((plugin.name.as_str(), plugin.root_id.as_str()), ("full", "root"));
    assert_eq!(plugin.configuration, br#"{"limit":3}"#);
    assert_eq!(plugin.failure_policy, FailurePolicy::Reload);
    let (base_interval, max_interval) = (Duration::from_millis(250), Duration::from_millis(2500));
    assert_eq!(plugin.reload_backoff, Backoff { base_interval, max_interval });
    assert!(plugin.allow_on_headers_stop_iteration);
    assert_eq!((plugin.compatibility, plugin.vm.any_effective_context), (Compatibility::Spec, false));
    let allowed = plugin.rights.unwrap().allowed;
    let place = |name: &Located| (name.value.clone(), name.origin.line, name.origin.column);
    let places: Vec<_> = allowed.iter().map(|allowed| place(&allowed.name)).collect();
    let place = |name: &str, line, column| (name.to_owned(), line, column);
    assert_eq!(places, [place("proxy_log", 16, 13), place("fd_write", 17, 13)]);
    assert_eq!(plugin.origin.path, "listeners[0].plugins[0]");
}

#[test]
fn a_plugin_has_defaults_too() {
    let (plugin, notices) = plugin("");
    assert_eq!(notices, Vec::<String>::new());
    assert_eq!((plugin.name.as_str(), plugin.root_id.as_str()), ("plugin_0", ""));
    assert_eq!(plugin.vm.code, Code::Text("(module)".to_owned()));
    assert_eq!((plugin.vm.runtime, plugin.rights), (None, None));
    assert_eq!((plugin.configuration, plugin.vm.configuration), (Vec::new(), Vec::new()));
    assert_eq!(plugin.failure_policy, FailurePolicy::Closed);
    assert_eq!(plugin.reload_backoff.base_interval, Duration::from_secs(1));
}

#[test]
fn equal_plugins_are_equal_wherever_they_stand() {
    let config = parse(&with_plugins(&format!("      - {{name: a, {VM}}}\n      - {{name: a, {VM}}}")));
    let plugins = &config.listeners[0].plugins;
    assert_eq!(plugins[0], plugins[1]);
}

#[test]
fn inline_bytes_are_decoded() {
    let config = parse(&with_plugins("      - vm_config: {code: {local: {inline_bytes: AGFzbQ==}}}"));
    assert_eq!(config.listeners[0].plugins[0].vm.code, Code::Bytes(b"\0asm".to_vec()));
}

#[test]
fn the_environment_is_resolved_and_never_shown() {
    let text = with_plugins(
        "      - vm_config:
          code: {local: {inline_string: x}}
          environment_variables:
            host_env_keys: [CARGO_PKG_NAME, PORTCULLIS_TEST_IS_NOT_SET]
            key_values: {API: hunter2}",
    );
    let config = parse(&text);
    let variables: Vec<_> = config.listeners[0].plugins[0].vm.environment.iter().collect();
    assert_eq!(variables, [("API", "hunter2"), ("CARGO_PKG_NAME", "portcullis-gateway")]);
    assert!(!format!("{config:?}").contains("hunter2"));
    let json = config.to_json();
    assert!(!json.to_string().contains("hunter2"));
    let shown = &json["listeners"][0]["plugins"][0]["vm_config"]["environment_variables"]["key_values"];
    assert_eq!(shown["API"], "<redacted>");
}

#[test]
fn aliases_stand_for_their_anchors() {
    let text = with_plugins(&format!("      - &a {{name: a, {VM}}}\n      - *a"));
    assert_eq!(parse(&text).listeners[0].plugins.len(), 2);
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_do_no_harm() {
    let config = parse("\u{feff}workers: 3\r\nlisteners:\r\n  - address: 127.0.0.1:8080\r\n    name: main\r\n");
    assert_eq!((config.workers, config.listeners[0].name.as_str()), (3, "main"));
}

#[test]
fn an_error_shows_its_line_however_lines_end() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["workers: 3", "admin: a: b", ""].join(end);
        let error = Config::parse("gateway.yaml", &text).unwrap_err().to_string();
        assert!(error.contains("gateway.yaml:2:"), "{end:?}: {error}");
        assert!(error.contains("2 | admin: a: b\n"), "{end:?}: {error}");
    }
}

#[test]
fn files_are_found_beside_the_configuration() {
    let folder = std::env::temp_dir().join(format!("portcullis-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("beside.wasm"), b"\0asm").unwrap();
    let file = folder.join("gateway.yaml");
    let plugins = "      - vm_config: {code: {local: {filename: beside.wasm}}}";
    std::fs::write(&file, with_plugins(plugins)).unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.listeners[0].plugins[0].vm.code, Code::File(folder.join("beside.wasm")));

    // What is in the working directory goes first, and stays as it is written.
    let config = parse(&with_plugins("      - vm_config: {code: {local: {filename: Cargo.toml}}}"));
    assert_eq!(config.listeners[0].plugins[0].vm.code, Code::File(PathBuf::from("Cargo.toml")));
}

#[test]
fn time_limits_of_listeners_and_clusters() {
    let config = parse(
        "
listeners:
  - address: 127.0.0.1:0
    request_headers_timeout: 5s
    idle_timeout: 2m
    stream_idle_timeout: 0s
    max_stream_duration: 1h
    write_timeout: 250ms
    transport_socket_connect_timeout: 1s
    connection_keepalive: {interval: 0s}
  - {address: 127.0.0.1:0, tcp_proxy: {cluster: a}, transport_socket_connect_timeout: 0s, write_timeout: 1s}
clusters:
  - {name: a, endpoints: ['b:80'], idle_timeout: 0s, connection_keepalive: {timeout: 1s}}
",
    );
    let seconds = Duration::from_secs;
    let expected = Timeouts {
        handshake: seconds(1),
        request_headers: seconds(5),
        idle: seconds(120),
        stream_idle: Duration::ZERO,
        max_stream_duration: seconds(3600),
        write: Duration::from_millis(250),
        keepalive: Keepalive { interval: Duration::ZERO, timeout: seconds(20) },
    };
    assert_eq!(config.listeners[0].timeouts, expected);
    assert_eq!(config.listeners[1].timeouts.handshake, Duration::ZERO);
    let shown = config.to_json();
    assert_eq!(shown["listeners"][0]["write_timeout"], "250ms");
    assert_eq!(shown["listeners"][0]["connection_keepalive"]["interval"], "0s");
    assert_eq!(shown["listeners"][1]["write_timeout"], serde_json::Value::Null);
    let ClusterKind::Endpoints(servers) = &config.cluster("a").unwrap().kind else { panic!() };
    assert_eq!((servers.idle_timeout, servers.keepalive.timeout), (Duration::ZERO, seconds(1)));
    let notices: Vec<_> = config.notices.iter().map(ToString::to_string).collect();
    assert!(notices.iter().any(|notice| notice.contains("write_timeout is ignored: TCP streams")), "{notices:?}");
    assert!(notices.iter().any(|notice| notice.contains("connection_keepalive is ignored: HTTP/1.1")), "{notices:?}");
}

#[test]
fn a_time_limit_is_a_duration() {
    let found = |keys: &str| {
        let text = format!(
            "listeners: [{{address: 127.0.0.1:0, routes: [{{cluster: e}}], {keys}}}]\nclusters: [{{name: e, echo: {{}}}}]"
        );
        Config::parse("gateway.yaml", &text).unwrap_err().to_string()
    };
    for (keys, expected) in [
        ("idle_timeout: 5", "idle_timeout: expected a duration such as 250ms or 1.5s"),
        ("stream_idle_timeout: 9000h", "the longest duration is 8760h, a year"),
        ("connection_keepalive: {timeout: 0s}", "connection_keepalive.timeout: expected a duration longer than 0s"),
        ("connection_keepalive: 5s", "connection_keepalive: expected a mapping"),
    ] {
        let found = found(keys);
        assert!(found.contains(expected), "{found}");
    }
}
