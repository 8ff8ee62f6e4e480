//! Refusals of configurations: each message with its place and its remedy.

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
        &["2:19: not valid YAML: while parsing a block mapping, did not find expected key; put an IPv6 address in \
           quotes: \"[::1]:8080\""],
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
        &[
            "1:1: unknown key \"zzz\"; the keys here are workers, admin, watch, shutdown_timeout, drain_delay, reload, limits, \
           max_upstream_connections, max_callouts, code_cache, stats_config, sharing, plugins, services, bootstrap_extensions, \
           listeners, clusters",
        ],
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
    assert_eq!((plugin.failure_policy, plugin.rights), (FailurePolicy::Open, Some(RightsConfig::default())));
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
        ["gateway.yaml:1:18: plugins[0].name: plugin \"spare\" is in no chain, so it never runs; add its name to the \
          plugins of a listener or route, or to services, or remove it"]
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
            "gateway.yaml:2:8: admin: anybody can read the pages of the admin interface, and other machines can reach it; \
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
