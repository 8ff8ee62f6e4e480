//! Filters as they stand in the files of Envoy's users, and whole files of other programs.

use portcullis_gateway::config::Config;

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";

/// The keys of a plugin in snake case and, as protobuf's JSON allows, in camel case.
const PLUGIN: &str = "{name: mine, root_id: r, configuration: {\"@type\": type.googleapis.com/google.protobuf.StringValue, \
                      value: hello}, vm_config: {vm_id: v, code: {local: {inline_string: (module)}}}, failure_policy: FAIL_OPEN}";
const CAMEL: &str = "{name: mine, rootId: r, configuration: {\"@type\": type.googleapis.com/google.protobuf.StringValue, \
                     value: hello}, vmConfig: {vmId: v, code: {local: {inlineString: (module)}}}, failurePolicy: FAIL_OPEN}";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("gateway.yaml", text).map_err(|error| error.to_string())
}

/// A file whose chain is one entry; `rest` is the listener's other key.
fn with(entry: &str, rest: &str) -> String {
    format!(
        "listeners:\n- address: 127.0.0.1:0\n  {rest}\n  plugins:\n  - {entry}\nclusters: [{{name: e, echo: {{}}}}]\n"
    )
}

const ROUTES: &str = "routes: [{cluster: e}]";
const TCP: &str = "tcp_proxy: {cluster: e}";

/// Returns the fault of a file whose chain is this entry, without the place.
fn refused(entry: &str, rest: &str) -> String {
    let error = parse(&with(entry, rest)).expect_err("no error");
    assert_eq!(error.lines().count(), 1, "{error}");
    error.split_once(": ").unwrap().1.to_owned()
}

#[test]
fn every_form_of_an_entry_is_the_same_plugin() {
    let typed_structs = ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"];
    let mut forms = vec![
        format!("{{\"@type\": {HTTP}, config: {PLUGIN}}}"),
        format!("{{name: envoy.filters.http.wasm, typed_config: {{\"@type\": {HTTP}, config: {PLUGIN}}}}}"),
        format!("{{name: envoy.filters.http.wasm, typedConfig: {{\"@type\": {HTTP}, config: {CAMEL}}}}}"),
        CAMEL.to_owned(),
    ];
    for name in typed_structs {
        for (key, plugin) in [("type_url", PLUGIN), ("typeUrl", CAMEL)] {
            let any = format!("{{\"@type\": type.googleapis.com/{name}, {key}: {HTTP}, value: {{config: {plugin}}}}}");
            forms.push(format!("{{name: envoy.filters.http.wasm, typed_config: {any}}}"));
            forms.push(any);
        }
    }
    let plain = parse(&with(PLUGIN, ROUTES)).unwrap().listeners[0].plugins.clone();
    assert_eq!((plain[0].name.as_str(), plain[0].configuration.as_slice()), ("mine", b"hello".as_slice()));
    for form in forms {
        let config = parse(&with(&form, ROUTES)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(config.listeners[0].plugins, plain, "{form}");
        let named = format!("plugins:\n- {form}\n{}", with("mine", ROUTES));
        assert_eq!(parse(&named).unwrap().listeners[0].plugins, plain, "by name: {form}");
    }
}

#[test]
fn a_network_filter_belongs_to_a_listener_for_tcp() {
    let network = format!("{{name: n, typed_config: {{\"@type\": {NETWORK}, config: {PLUGIN}}}}}");
    let config = parse(&with(&network, TCP)).unwrap();
    assert_eq!((config.listeners[0].plugins[0].name.as_str(), config.notices.len()), ("mine", 0));
    let expected = format!(
        "listeners[0].plugins[0]: \"{NETWORK}\" is a filter for TCP, and this chain is fed with HTTP; put it into a \
         listener with tcp_proxy"
    );
    assert_eq!(refused(&network, ROUTES), expected);
    let by_name = format!("plugins:\n- {network}\n{}", with("mine", ROUTES));
    assert!(parse(&by_name).unwrap_err().contains("is a filter for TCP"));

    let http = format!("{{\"@type\": {HTTP}, config: {PLUGIN}}}");
    let notices = parse(&with(&http, TCP)).unwrap().notices;
    assert!(notices[0].to_string().contains("is a filter for HTTP, and this chain is fed with TCP"), "{notices:?}");
}

#[test]
fn names_in_camel_case_are_names_and_configurations_stay_as_they_are() {
    let text = "
codeCache: cache
listeners:
- address: 127.0.0.1:0
  bufferLimit: 4KiB
  routes: [{cluster: e, prefixRewrite: /x, match: {headers: [{name: X-Env, exact: a}]}}]
  plugins:
  - vmConfig:
      code: {local: {inlineString: (module)}}
      environmentVariables: {keyValues: {someKey: x}}
    configuration: {someKey: 1, vmConfig: 2}
    capabilityRestrictionConfig: {allowedCapabilities: {proxy_log: {}}}
    reloadConfig: {backoff: {baseInterval: 2s}}
clusters: [{name: e, endpoints: ['a:1'], connectTimeout: 1s}]
";
    let config = parse(text).unwrap();
    let plugin = &config.listeners[0].plugins[0];
    assert_eq!(config.listeners[0].buffer_limit, 4 << 10);
    assert_eq!(plugin.configuration, br#"{"someKey":1,"vmConfig":2}"#);
    assert_eq!(plugin.vm.environment.iter().collect::<Vec<_>>(), [("someKey", "x")]);
    assert_eq!(plugin.rights.as_ref().unwrap().allowed[0].name.value, "proxy_log");
    assert_eq!(plugin.reload_backoff.base_interval.as_secs(), 2);
    let twice = "{root_id: a, rootId: b, vm_config: {code: {local: {inline_string: x}}}}";
    assert_eq!(
        refused(twice, ROUTES),
        "listeners[0].plugins[0]: \"rootId\" is another name of \"root_id\", written in line 5; keep one of the two"
    );
}

#[test]
fn entries_that_are_known_and_not_supported_say_why() {
    let typed = |rest: &str| format!("{{name: x, typed_config: {{{rest}}}}}");
    for (entry, expected) in [
        (
            typed(
                "\"@type\": xds.type.v3.TypedStruct, type_url: a.b/envoy.extensions.filters.http.lua.v3.Lua, value: {}",
            ),
            "listeners[0].plugins[0].typed_config.type_url: a TypedStruct of type_url \
             \"a.b/envoy.extensions.filters.http.lua.v3.Lua\" is not a Wasm plugin; only \
             type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm (or network.wasm in a listener with tcp_proxy) \
             can be used here",
        ),
        (
            typed("\"@type\": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"),
            "listeners[0].plugins[0].typed_config[\"@type\"]: \
             \"type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy\" is not a Wasm plugin; remove \
             this entry, and write `tcp_proxy: {cluster: NAME}` into the listener",
        ),
        (
            "{name: envoy.filters.http.wasm, config: {config: {}}}".to_owned(),
            "listeners[0].plugins[0]: this is Envoy's form before 1.18; write typed_config with an @type, as in \
             examples/gateway.yaml, or the plugin's keys without anything around them",
        ),
        (
            "{name: x, config_discovery: {config_source: {}}}".to_owned(),
            "listeners[0].plugins[0]: filters are not fetched from a management server; write the filter's \
             typed_config in its place",
        ),
        (
            format!("{{name: x, disabled: true, typed_config: {{\"@type\": {HTTP}, config: {PLUGIN}}}}}"),
            "listeners[0].plugins[0].disabled: a filter that is off until a route turns it on is not supported; remove \
             it here, and write it into the plugins of the routes that want it",
        ),
    ] {
        assert_eq!(refused(&entry, ROUTES), expected, "{entry}");
    }
}

#[test]
fn a_whole_file_of_another_program_is_one_finding() {
    for (text, expected) in [
        (
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: x}\nspec: {configPatches: []}\n",
            "1:1: this is an Istio EnvoyFilter; paste what stands under patch.value into the plugins of a listener",
        ),
        (
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec: {url: oci://x}\n",
            "1:1: this is an Istio WasmPlugin; download the module, name it in vm_config.code.local.filename, and write \
             pluginConfig as configuration",
        ),
        (
            "node: {id: x}\nstaticResources: {listeners: []}\nlayered_runtime: {}\n",
            "2:1: this is a configuration for Envoy; copy its Wasm filters to the plugins of a listener; see \
             examples/gateway.yaml",
        ),
        (
            "http_filters: []",
            "1:1: this is a part of a configuration for Envoy; copy its Wasm filters to the plugins of a listener; see \
             examples/gateway.yaml",
        ),
    ] {
        assert_eq!(parse(text).unwrap_err(), format!("gateway.yaml:{expected}"));
    }
}
