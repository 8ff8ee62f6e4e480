//! Filters as they stand in Envoy's files, under traffic.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::e2e::cli::{file, portcullis, text};
use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, get, guest, run, within};

const HTTP: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const NETWORK: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";

/// A file in which a plugin's own entry stands in something else.
fn around(setup: &Setup, name: &str, wasm: &Path, wrap: impl Fn(&str) -> String) -> String {
    let own = Setup::plugin_entry(name, wasm, "");
    let text = setup.text();
    assert!(text.contains(&own), "{text}");
    text.replace(&own, &wrap(&own))
}

#[test]
fn a_typed_struct_serves() {
    run(async {
        let wasm = guest("header_tour");
        let setup = Setup::echo().plugin("tour", &wasm, "");
        for name in ["udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"] {
            let text = around(&setup, "tour", &wasm, |own| {
                let any =
                    format!("{{\"@type\": type.googleapis.com/{name}, typeUrl: {HTTP}, value: {{config: {own}}}}}");
                format!("{{name: envoy.filters.http.wasm, typedConfig: {any}}}")
            });
            let answer = Gate::start(&text).h1().await.ask(get("/")).await;
            assert_eq!(answer.header("x-plugin"), "header_tour");
        }
    });
}

#[test]
fn a_network_filter_serves_tcp() {
    run(async {
        let functions = r#"
  (func (export "proxy_on_downstream_data") (param i32 i32 i32) (result i32)
    (if (local.get 1) (then (drop (call $buffer (i32.const 2) (i32.const 0) (i32.const 0) $"<"))))
    (i32.const 0))
"#;
        let wasm = plugin_with("", functions);
        let setup = Setup::echo().plugin("edit", &wasm, "");
        let text = around(&setup, "edit", &wasm, |own| {
            format!("{{name: envoy.filters.network.wasm, typed_config: {{\"@type\": {NETWORK}, config: {own}}}}}")
        });
        let gate = Gate::start(&text.replace("routes:\n      - {cluster: backend}", "tcp_proxy: {cluster: backend}"));
        let mut client = TcpStream::connect(gate.running.addresses[0]).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within(client.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, b"<hello");
    });
}

#[test]
fn a_null_plugin_has_no_module() {
    let vm = "{runtime: envoy.wasm.runtime.null, code: {local: {inline_string: envoy.wasm.stats}}}";
    let config = format!(
        "listeners:\n- address: 127.0.0.1:0\n  routes: [{{cluster: e}}]\n  plugins:\n  - vm_config: {vm}\nclusters: [{{name: e, echo: {{}}}}]\n"
    );
    let path = file("null.yaml", &config);
    let output = portcullis(&["check", path.to_str().unwrap()]);
    let expected = "listeners[0].plugins[0].vm_config.runtime: null plugins are C++ inside Envoy: there is no .wasm of \
                    envoy.wasm.stats to run; remove this plugin\n";
    assert!(text(&output.stderr).ends_with(expected), "{}", text(&output.stderr));
}
