//! The configuration as its users meet it: the examples, and what the gateway says of mistakes.

use std::net::SocketAddr;
use std::path::Path;

use portcullis_gateway::config::{ClusterKind, Config, FailurePolicy, Plugin, RightsConfig};

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
    fn reload() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/reload.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let guests = format!("filename: {}/../guests/", env!("CARGO_MANIFEST_DIR"));
        let config = Config::parse(path.to_str().unwrap(), &text.replace("filename: guests/", &guests)).unwrap();
        assert_eq!(config.notices, []);
        assert!(config.watch);
        let plugin = &config.listeners[0].plugins[0];
        assert_eq!(plugin.configuration, b"1000");
        assert_eq!(plugin.secrets().collect::<Vec<_>>(), ["1000", &std::env::var("PATH").unwrap()]);
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

/// Messages of the gateway about mistakes, word for word. Read them aloud when you change one.
mod messages;
mod recycle;

mod limits;

#[test]
fn a_code_cache_stands_beside_the_configuration() {
    let text = format!("code_cache: cache\n{}", with_plugins("      []"));
    let config = Config::parse("/etc/portcullis/gateway.yaml", &text).unwrap();
    assert_eq!(config.code_cache.as_deref(), Some(Path::new("/etc/portcullis/cache")));
    assert_eq!(config.to_json()["code_cache"], "/etc/portcullis/cache");
}
