//! The configuration as its users meet it: the examples, and what the gateway says of mistakes.

use std::net::SocketAddr;
use std::path::Path;

use portcullis_gateway::config::{ClusterKind, Config, FailurePolicy, Plugin, Restriction};

/// The smallest block of a plugin.
const VM: &str = "vm_config: {code: {local: {inline_string: (module)}}}";

/// The findings in a file, one a line.
fn errors(text: &str) -> String {
    match Config::parse("gateway.yaml", text) {
        Ok(config) => panic!("no error in {config:?}"),
        Err(error) => error.to_string(),
    }
}

fn parse(text: &str) -> Config {
    Config::parse("gateway.yaml", text).unwrap_or_else(|error| panic!("{error}"))
}

/// A file with one listener, whose chain is `plugins`.
fn with_plugins(plugins: &str) -> String {
    format!(
        "listeners:\n  - address: 127.0.0.1:8080\n    routes: [{{cluster: e}}]\n    plugins:\n{plugins}\nclusters: [{{name: e, echo: {{}}}}]\n"
    )
}

/// The one plugin of a file with these keys below its `vm_config`.
fn plugin(keys: &str) -> (Plugin, Vec<String>) {
    let config = parse(&with_plugins(&format!("      - {VM}\n{keys}")));
    let notices = config.notices.iter().map(ToString::to_string).collect();
    (config.listeners[0].plugins[0].clone(), notices)
}

/// An example from the top folder of the repository, with its paths made to start there.
fn example(name: &str) -> Config {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let text = std::fs::read_to_string(top.join("examples").join(name)).unwrap();
    let guests = format!("filename: {}/guests/", top.display());
    parse(&text.replace("filename: guests/", &guests))
}

mod examples {
    use super::*;

    #[test]
    fn quickstart() {
        let config = example("quickstart.yaml");
        assert_eq!(config.notices, []);
        assert_eq!(config.admin, Some(SocketAddr::from(([127, 0, 0, 1], 9901))));
        assert_eq!(config.listeners[0].address, SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(config.listeners[0].plugins[0].name, "header_tour");
        assert_eq!(config.listeners[0].routes[0].cluster(|| 0), Some("echo"));
        assert_eq!(config.clusters[0].kind, ClusterKind::Echo);
    }

    #[test]
    fn gateway() {
        let config = example("gateway.yaml");
        assert_eq!(config.notices, []);
        let listener = &config.listeners[0];
        let names = |plugins: &[Plugin]| -> Vec<String> { plugins.iter().map(|plugin| plugin.name.clone()).collect() };
        assert_eq!(names(&listener.plugins), ["header_tour", "counter"]);
        assert_eq!(listener.plugins[1].configuration, b"1000");
        assert_eq!(listener.buffer_limit, 256 << 10);
        let route = |name: &str| listener.routes.iter().find(|route| route.name == name).unwrap();
        let api = route("api");
        assert_eq!(names(api.plugins.as_ref().unwrap()), ["auth", "header_tour", "body_rewrite"]);
        assert_eq!(route("health").plugins, Some(Vec::new()));
        assert_eq!(route("everything_else").plugins, None);
        let header = |name: &str| match name {
            "x-env" => Some(std::borrow::Cow::Borrowed(&b"prod"[..])),
            ":method" => Some(std::borrow::Cow::Borrowed(&b"GET"[..])),
            _ => None,
        };
        let all = |_: &str| Some(std::borrow::Cow::Borrowed(&b"prod"[..]));
        assert!(api.matcher.matches(b"a.example.com:8080", b"/api/x?y", header));
        assert!(!api.matcher.matches(b"a.example.com", b"/api/x", all));
    }

    #[test]
    fn the_admin_view_uses_the_names_of_the_file() {
        let json = example("gateway.yaml").to_json();
        assert_eq!(json["shutdown_timeout"], "10s");
        assert_eq!(json["limits"]["tick_share"], "20%");
        assert_eq!(json["listeners"][0]["routes"][0]["match"]["host"], "*.example.com");
        assert_eq!(json["listeners"][0]["plugins"][1]["configuration"], "<redacted, 4 bytes>");
        let json = example("gateway.yaml").to_json_with_values();
        assert_eq!(json["listeners"][0]["plugins"][1]["configuration"], "1000");
        assert_eq!(json["clusters"][0]["endpoints"][1]["address"], "localhost:9001");
        assert_eq!(json["clusters"][2]["echo"], serde_json::json!({}));
    }
}

/// What the gateway says of mistakes, word for word. Read them aloud when you change one.
mod messages {
    use super::*;

    /// Compares the findings in a file with what is expected, without their common start.
    #[track_caller]
    fn says(text: &str, expected: &[&str]) {
        let found = errors(text);
        // A line of the file, and the caret below it, are indented.
        let found = found.lines().filter(|line| !line.starts_with(' '));
        let found: Vec<&str> = found.map(|line| line.strip_prefix("gateway.yaml:").unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_file_that_is_no_configuration() {
        says("# nothing", &[" the file is empty; start from examples/quickstart.yaml"]);
        says("hello", &["1:1: expected a mapping, found \"hello\"; write `key: value` lines below, indented"]);
        says(
            "static_resources: {}",
            &["1:1: this is a configuration for Envoy; copy its Wasm filters to the plugins of a listener; see \
               examples/gateway.yaml"],
        );
        says(
            "listeners:\n\t- address: x",
            &["2:2: not valid YAML: tabs disallowed within this context (block indentation); indent with spaces"],
        );
        says(
            "listeners:\n  - address: [::1]:8080\n",
            &[
                "2:19: not valid YAML: while parsing a block mapping, did not find expected key; put an IPv6 address in \
               quotes: \"[::1]:8080\"",
            ],
        );
        says(
            "a: 1\n---\nb: 2\n",
            &["3:1: the file holds several YAML documents; keep one, and remove the line `---` that starts the second"],
        );
        assert_eq!(
            errors("listeners:\n  - address: x\n    plugins:\n      - name: a\n      vm_config: {}\n"),
            "gateway.yaml:5:7: \"vm_config\" stands left of \"name\" in line 4; indent it to column 9\n  \
             5 |       vm_config: {}\n    |       ^"
        );
        let missing = Config::load("no/such.yaml").unwrap_err().to_string();
        assert_eq!(
            missing,
            "no/such.yaml: cannot read the configuration: No such file or directory (os error 2); correct the path, or \
             start from examples/quickstart.yaml"
        );
    }

    #[test]
    fn keys() {
        says("listner: []", &["1:1: unknown key \"listner\"; did you mean \"listeners\"?"]);
        // The cause, and not what follows from it.
        says(
            "listeners: [{address: 127.0.0.1:1, routes: [{cluster: e}]}]\ncluster: [{name: e, echo: {}}]",
            &["2:1: unknown key \"cluster\"; did you mean \"clusters\"?"],
        );
        says(
            "listeners: [{address: 127.0.0.1:1, plugins: [p], routes: [{cluster: e}]}]\nplugin: [{name: p}]\nclusters: [{name: e, echo: {}}]",
            &["2:1: unknown key \"plugin\"; did you mean \"plugins\"?"],
        );
        says(
            "zzz: 1\nlisteners: [{address: 127.0.0.1:1}]",
            &["1:1: unknown key \"zzz\"; the keys here are workers, admin, shutdown_timeout, limits, \
               max_upstream_connections, max_callouts, code_cache, stats_config, sharing, plugins, services, bootstrap_extensions, \
               listeners, clusters"],
        );
        says(
            "limits: {tick_share: 20}\nlisteners: [{address: 127.0.0.1:1, routes: [{cluster: e}]}]\nclusters: [{name: e, echo: {}}]",
            &["1:22: limits.tick_share: expected a percentage such as 20%, found the number 20; did you mean 20%?"],
        );
        says("{}", &["1:1: missing key \"listeners\"; add one, as `listeners: [{address: 127.0.0.1:8080}]`"]);
        says(
            "listeners:",
            &["1:10: listeners: there is nothing behind this key; add one, as `listeners: [{address: \
               127.0.0.1:8080}]`"],
        );
        says(
            "workers: 1\nlisteners: [{address: 127.0.0.1:1, tls: {}, name: a, name: b}]\nworkers: 2\n",
            &[
                "2:41: listeners[0].tls: missing key \"certificate\"; add the path of the certificate chain, a PEM file",
                "2:41: listeners[0].tls: missing key \"private_key\"; add the path of the private key, a PEM file",
                "2:54: listeners[0]: duplicate key \"name\", first written in line 2; keep one of the two",
                "3:1: duplicate key \"workers\", first written in line 1; keep one of the two",
            ],
        );
    }

    #[test]
    fn values() {
        says(
            "
workers: 2000
admin: localhost:9901
shutdown_timeout: 30
listeners: [{address: 127.0.0.1, name: 8080, buffer_limit: 1MB}, {address: 8080, plugins: {}}]
",
            &[
                "2:10: workers: expected a whole number from 1 to 1024, found the number 2000; choose one in this range",
                "3:8: admin: expected an IP address and port such as 127.0.0.1:8080, found \"localhost:9901\"; write \
                 127.0.0.1:9901",
                "4:19: shutdown_timeout: expected a duration such as 250ms or 1.5s, found the number 30; add the unit: \
                 30s or 30ms",
                "5:23: listeners[0].address: expected an IP address and port such as 127.0.0.1:8080, found \
                 \"127.0.0.1\"; add a port",
                "5:40: listeners[0].name: expected text, found the number 8080; put it in quotes: \"8080\"",
                "5:60: listeners[0].buffer_limit: expected a size such as 65536, 64KiB or 1MiB, found \"1MB\"; did you \
                 mean 1MiB?",
                "5:76: listeners[1].address: expected an IP address and port such as 127.0.0.1:8080, found the number \
                 8080; write the host, a colon and the port",
                "5:91: listeners[1].plugins: expected a list, found a mapping; start each item with \"- \", or write [] \
                 for none",
            ],
        );
    }

    #[test]
    fn names_that_do_not_fit_together() {
        says(
            "
admin: 127.0.0.1:1
listeners:
  - {address: 127.0.0.1:1, name: a, routes: [{cluster: bakend}, {cluster: x}]}
  - {address: 127.0.0.1:2, name: a, plugins: [tour, x]}
clusters: [{name: backend, echo: {}}, {name: backend, endpoints: [http://a]}, {name: c}]
plugins: [{name: tours}]
",
            &[
                "4:15: listeners[0].address: duplicate address \"127.0.0.1:1\", first used in line 2; choose another one",
                "4:56: listeners[0].routes[0].cluster: no cluster is called \"bakend\"; did you mean \"backend\"?",
                "4:75: listeners[0].routes[1].cluster: no cluster is called \"x\"; the clusters are backend, c",
                "5:34: listeners[1].name: duplicate listener name \"a\", first used in line 4; choose another one",
                "5:47: listeners[1].plugins[0]: no plugin is called \"tour\"; did you mean \"tours\"?",
                "5:53: listeners[1].plugins[1]: no plugin is called \"x\"; the plugins at the top of the file are tours",
                "6:46: clusters[1].name: duplicate cluster name \"backend\", first used in line 6; choose another one",
                "6:67: clusters[1].endpoints[0]: expected a host and port such as 127.0.0.1:9000, found \"http://a\"; \
                 leave out the scheme",
                "6:79: clusters[2]: missing key \"endpoints\"; add `endpoints: [127.0.0.1:9000]`, or `echo: {}`",
                "7:11: plugins[0]: missing key \"vm_config\"; add `vm_config: {code: {local: {filename: \
                 plugin.wasm}}}`",
            ],
        );
    }

    #[test]
    fn routes() {
        says(
            "
listeners:
  - address: 127.0.0.1:1
    routes:
      - match: {prefix: /a, path: /b}
        cluster: c
      - match: {prefix: a, host: 'x:80', headers: [{name: 'x y', present: true}, {name: z}]}
        cluster: c
      - route: {cluster: c}
clusters: [{name: c, echo: {}, protocol: http2}]
",
            &[
                "5:35: listeners[0].routes[0].match.path: both \"prefix\" and \"path\" are given; keep one of them",
                "7:25: listeners[0].routes[1].match.prefix: expected a path, found \"a\"; start it with \"/\"",
                "7:34: listeners[0].routes[1].match.host: expected a host such as example.com or \"*.example.com\", found \
                 \"x:80\"; leave out the port: routes do not look at it",
                "7:59: listeners[0].routes[1].match.headers[0].name: expected the name of a header, found \"x y\"; write \
                 a name such as x-env",
                "7:82: listeners[0].routes[1].match.headers[1]: no rule for the header's value; add exact, prefix, \
                 string_match or `present: true`",
                "10:42: clusters[0].protocol: this has no effect on an echo cluster; remove it, or remove echo",
            ],
        );
    }

    #[test]
    fn plugins() {
        let text = with_plugins(
            "      - name: a
        vm_config:
          cod: {}
          environment_variables: {host_env_keys: [A], key_values: {A: hunter2, B: 3}}
        fail_open: true
        failure_policy: FAIL_OPEN
      - vm_config: {code: {remote: {}}}
        failure_policy: fail_open
        reload_config: {backoff: {base_interval: 2s, max_interval: 1s}}
        capability_restriction_config: {allowed_capabilities: {proxy_log: {rate: [{}]}}}
        configuration: {\"@type\": google.protobuf.Duration}
      - vm_config: {code: {local: {inline_bytes: 'a!'}}}
        capability_restriction_config: {allowed_capabilities: }
      - name: envoy.filters.http.router
        typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}",
        );
        says(
            &text,
            &[
                "7:11: listeners[0].plugins[0].vm_config: unknown key \"cod\"; did you mean \"code\"?",
                "8:83: listeners[0].plugins[0].vm_config.environment_variables.key_values.B: the value of a variable \
                 must be text; put it in quotes",
                "9:20: listeners[0].plugins[0].fail_open: only one of fail_open and failure_policy can be set; remove \
                 fail_open",
                "11:28: listeners[0].plugins[1].vm_config.code: remote code is not fetched; download the file and name \
                 it in code.local.filename",
                "12:25: listeners[0].plugins[1].failure_policy: expected FAIL_CLOSED, FAIL_OPEN, FAIL_RELOAD or \
                 UNSPECIFIED, found \"fail_open\"; did you mean \"FAIL_OPEN\"?",
                "13:68: listeners[0].plugins[1].reload_config.backoff.max_interval: expected at least 2s, the \
                 base_interval, found \"1s\"; make it longer, or remove it",
                "14:83: listeners[0].plugins[1].capability_restriction_config.allowed_capabilities.proxy_log.rate[0]: \
                 expected text or a number, found a mapping; write a single value, or a list of them",
                "15:34: listeners[0].plugins[1].configuration[\"@type\"]: the type \"google.protobuf.Duration\" is not \
                 supported for a configuration; use StringValue, BytesValue or Struct from \
                 type.googleapis.com/google.protobuf, or write the value without \"@type\"",
                "16:50: listeners[0].plugins[2].vm_config.code.local.inline_bytes: not base64: unexpected '!' at \
                 character 2; encode the bytes with `base64 -w0 FILE`",
                "17:61: listeners[0].plugins[2].capability_restriction_config.allowed_capabilities: expected a mapping \
                 of capability names, found nothing; write {} to allow nothing, or remove \
                 capability_restriction_config to allow everything",
                "19:33: listeners[0].plugins[3].typed_config[\"@type\"]: \
                 \"type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\" is not a Wasm plugin; remove \
                 this entry: the listener's routes do its work",
            ],
        );
    }

    #[test]
    fn environment_variables_that_are_given_twice() {
        let variables = "environment_variables: {host_env_keys: [A], key_values: {A: hunter2}}";
        let text = with_plugins(&format!("      - vm_config: {{code: {{local: {{inline_string: x}}}}, {variables}}}"));
        says(
            &text,
            &["5:116: listeners[0].plugins[0].vm_config.environment_variables.key_values.A: the environment variable \
               \"A\" is given twice; all keys must be unique; keep it in host_env_keys or in key_values"],
        );
    }

    #[test]
    fn files_that_are_not_there() {
        let here = std::env::current_dir().unwrap();
        let text = with_plugins(
            "      - vm_config: {code: {local: {filename: nope.wasm}}}\n      - vm_config: {code: {local: {filename: /nope.wasm}}}",
        );
        let relative = format!(
            "5:46: listeners[0].plugins[0].vm_config.code.local.filename: there is no file \"nope.wasm\", neither in the \
             working directory ({}) nor beside this file; build the plugin, or correct the path",
            here.display()
        );
        says(
            &text,
            &[
                &relative,
                "6:46: listeners[0].plugins[1].vm_config.code.local.filename: there is no file \"/nope.wasm\"; build the \
                 plugin, or correct the path",
            ],
        );
    }

    #[test]
    fn blocks_of_envoy() {
        says(
            "listeners: [{address: {socket_address: {address: 10.0.0.1, port_value: 80}}, routes: [{cluster: e}]}]\n\
             clusters: [{name: f, type: STRICT_DNS}, {name: e, endpoints: [{address: {socketAddress: {address: \"::1\", portValue: 90}}}]}]",
            &[
                "1:23: listeners[0].address: expected an IP address and port such as 127.0.0.1:8080, found a mapping; write \
                 10.0.0.1:80",
                "2:22: clusters[0]: a cluster is the list of its endpoints, whose names are looked up whenever a connection is \
                 opened; remove the key",
                "2:73: clusters[1].endpoints[0].address: expected a host and port such as 127.0.0.1:9000, found a mapping; \
                 write \"[::1]:90\"",
            ],
        );
        says(
            "listeners: [{address: 127.0.0.1:1, codecType: AUTO, tcp_proxy: {cluster: e, tunneling_config: {}}}]\n\
             clusters: [{name: e, echo: {}}]\nlayered_runtime: {}",
            &["3:1: there is no runtime to change settings; remove the key"],
        );
        says(
            "listeners: [{address: 127.0.0.1:1, routes: [{cluster: e, route_specifiers: []}]}]\nclusters: [{name: e, echo: {}}]",
            &["1:58: listeners[0].routes[0]: a route says by itself where requests go; write `cluster: NAME`"],
        );
    }

    #[test]
    fn notices() {
        let keys = "
        fail_open: true
        capability_restriction_config: {allowed_capabilities: {}}";
        let (plugin, notices) = plugin(keys);
        assert_eq!((plugin.failure_policy, plugin.restriction), (FailurePolicy::Open, Some(Restriction::default())));
        assert_eq!(
            notices,
            [
                "gateway.yaml:7:20: listeners[0].plugins[0].fail_open: fail_open is deprecated; write `failure_policy: \
                 FAIL_OPEN`",
                "gateway.yaml:8:63: listeners[0].plugins[0].capability_restriction_config.allowed_capabilities: an empty \
                 allowed_capabilities allows nothing, where Envoy allows everything; to allow everything, remove \
                 capability_restriction_config",
            ]
        );
        let spare = format!("plugins: [{{name: spare, {VM}}}, {{name: used, {VM}}}]\n{}", with_plugins("      - used"));
        let notices: Vec<String> = parse(&spare).notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            notices,
            [
                "gateway.yaml:1:18: plugins[0].name: plugin \"spare\" is in no chain, so it never runs; add its name to the \
              plugins of a listener or route, or to services, or remove it"
            ]
        );
        let text = "
admin: 0.0.0.0:9901
listeners:
  - {address: 127.0.0.1:1, routes: [{cluster: e}, {cluster: e}]}
  - address: 127.0.0.1:2
    plugins:
      - vm_config: {code: {local: {inline_string: x}}, allow_precompiled: true, nack_on_code_cache_miss: false}
clusters: [{name: e, echo: {}}]
";
        let notices: Vec<String> = parse(text).notices.iter().map(ToString::to_string).collect();
        assert_eq!(
            notices,
            [
                "gateway.yaml:2:8: admin: the admin interface has no access control, and other machines can reach it; \
                 use 127.0.0.1:9901, or keep the port private",
                "gateway.yaml:4:51: listeners[0].routes[1]: this route is never reached: route \"route_0\" before it takes \
                 every request; move it up, or remove it",
                "gateway.yaml:5:5: listeners[1]: the listener has no routes: it answers 404 unless a plugin answers; add \
                 one, such as `routes: [{cluster: backend}]`",
                "gateway.yaml:7:75: listeners[1].plugins[0].vm_config.allow_precompiled: allow_precompiled is ignored: \
                 compiled code is used where `code_cache` allows it; remove the key",
            ]
        );
    }
}

mod limits {
    use std::time::Duration;

    use portcullis::core::Limits;
    use portcullis_gateway::config::{CompileLimits, LoadLimits};

    use super::*;

    /// A file whose plugin has these limits.
    fn with(limits: &str) -> String {
        let plugin =
            format!("      - vm_config: {{code: {{local: {{inline_string: (module)}}}}, limits: {{{limits}}}}}");
        with_plugins(&plugin)
    }

    fn read(limits: &str) -> Limits {
        parse(&with(limits)).listeners[0].plugins[0].vm.limits.clone()
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        assert_eq!(read(""), Limits::default());
        let all = "memory: 16MiB, table_elements: 10, stack: 1MiB, deadline: 250ms, start_deadline: 2s, callouts: 3, \
                   metrics: 4, buffer: 1KiB, open_files: 5, debug_info: 0, compile: {time: 5s, memory: 1GiB}, \
                   shared: 6KiB, buffers: 2GiB, cpu: 50%";
        let expected = Limits {
            memory: 16 << 20,
            table_elements: 10,
            stack: 1 << 20,
            deadline: Duration::from_millis(250),
            start_deadline: Duration::from_secs(2),
            callouts: 3,
            metrics: 4,
            buffer: 1 << 10,
            open_files: 5,
            shared: 6 << 10,
            buffers: 2 << 30,
            cpu: portcullis::core::Percent::new(50),
        };
        assert_eq!(read(all), expected);
        let load = |limits: &str| parse(&with(limits)).listeners[0].plugins[0].vm.load.clone();
        let compile = CompileLimits { time: Duration::from_secs(5), memory: 1 << 30 };
        assert_eq!(load(all), LoadLimits { debug_info: 0, compile });
        assert_eq!(load(""), LoadLimits::default());
        assert_eq!(load("compile: {time: 5s}").compile.memory, 2 << 30);
    }

    #[test]
    fn mistakes_have_a_remedy() {
        for (limits, expected) in [
            ("compile: {memory: 1MiB}", "choose one from 32MiB to 64GiB"),
            ("compile: 5s", "expected a mapping"),
            ("memory: 5GiB", "choose one from 64KiB to 4GiB"),
            ("stack: 1KiB", "choose one from 64KiB to 16MiB"),
            ("deadline: 0s", "expected a duration longer than 0s"),
            ("deadline: 5", "add the unit: 5s or 5ms"),
            ("cpu: 150%", "write a whole number from 1 to 100, with %"),
            ("table_elements: -1", "a whole number from 0 to 10000000"),
            ("memori: 1MiB", "unknown key \"memori\"; did you mean \"memory\"?"),
        ] {
            let errors = errors(&with(limits));
            assert!(errors.contains("vm_config.limits") && errors.contains(expected), "{limits}: {errors}");
        }
    }

    #[test]
    fn they_are_shown_by_the_admin_interface() {
        let json = parse(&with("stack: 1MiB, deadline: 250ms")).to_json();
        let limits = &json["listeners"][0]["plugins"][0]["vm_config"]["limits"];
        assert_eq!((&limits["stack"], &limits["deadline"]), (&(1 << 20).into(), &"250ms".into()));
    }
}

#[test]
fn a_code_cache_stands_beside_the_configuration() {
    let text = format!("code_cache: cache\n{}", with_plugins("      []"));
    let config = Config::parse("/etc/portcullis/gateway.yaml", &text).unwrap();
    assert_eq!(config.code_cache.as_deref(), Some(Path::new("/etc/portcullis/cache")));
    assert_eq!(config.to_json()["code_cache"], "/etc/portcullis/cache");
}
