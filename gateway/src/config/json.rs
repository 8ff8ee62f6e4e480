//! The configuration as JSON, for the admin interface. Secrets are left out as far as their names show them.

use portcullis::resources::Preopen;
use portcullis::sandbox::Sharing;
use portcullis::transcript::Redaction;
use portcullis_config::reader::duration;
use portcullis_config::{Code, Plugin, RightsConfig, Secrets, Verification, VmConfig};
use serde_json::{Map, Value, json};

use super::admin;
use super::cluster::{Cluster, ClusterKind, Protocol, Server};
use super::listener::Listener;
use super::metadata;
use super::reload;
use super::route::{Route, RouteOrder};
use super::route_action::{RedirectPath, RouteAction};
use super::route_match::{HeaderMatch, HeaderRule, HostMatch, PathMatch, RouteMatch};
use super::service::Service;
use super::{Config, Diagnostic, StatsTag};

/// Placeholder of a secret.
const REDACTED: &str = "<redacted>";

impl Config {
    /// Returns the configuration with all defaults filled in, under the names of the file.
    ///
    /// Configurations of plugins and VMs are replaced by their sizes, as inline code is. The values of environment variables are
    /// replaced, and so are members of metadata that are called like a secret (`password`, `api_key`, ...).
    pub fn to_json(&self) -> Value {
        self.shown(Values::Hidden)
    }

    /// Returns the same, with the configurations of plugins and VMs, but for their members that are called like a secret.
    pub fn to_json_with_values(&self) -> Value {
        self.shown(Values::Shown)
    }

    fn shown(&self, values: Values) -> Value {
        json!({
            "workers": self.workers,
            "admin": admin::to_json(self),
            "watch": self.watch,
            "shutdown_timeout": duration::format(self.shutdown_timeout),
            "drain_delay": duration::format(self.drain_delay),
            "reload": reload::to_json(&self.reload),
            "limits": { "tick_share": self.tick_share.to_string() },
            "max_upstream_connections": self.max_upstream_connections,
            "max_callouts": self.max_callouts,
            "code_cache": self.code_cache.as_ref().map(|folder| folder.to_string_lossy()),
            "stats_config": { "stats_tags": self.stats_tags.iter().map(StatsTag::to_json).collect::<Vec<_>>() },
            "sharing": self.sharing.name(),
            "services": self.services.iter().map(|own| service(own, values)).collect::<Vec<_>>(),
            "listeners": self.listeners.iter().map(|own| listener(own, values)).collect::<Vec<_>>(),
            "clusters": self.clusters.iter().map(cluster).collect::<Vec<_>>(),
            "notices": self.notices.iter().map(Diagnostic::to_string).collect::<Vec<_>>(),
        })
    }
}

/// Returns a cluster with its defaults, as [`Config::to_json`] has it.
pub(crate) fn cluster_to_json(of: &Cluster) -> Value {
    cluster(of)
}

/// Returns the conditions and the action of a route, as [`Config::to_json`] has them.
pub(crate) fn route_to_json(of: &Route) -> Value {
    let (key, value) = action(&of.action);
    json!({ "match": route_match(&of.matcher), key: value })
}

/// Whether configurations of plugins and VMs are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    Hidden,
    Shown,
}

fn service(service: &Service, values: Values) -> Value {
    json!({ "singleton": service.singleton, "config": plugin(&service.plugin, values) })
}

fn listener(listener: &Listener, values: Values) -> Value {
    let mut shown = json!({
        "name": listener.name,
        "address": listener.address.to_string(),
        "tls": listener.tls.as_ref().map(|tls| json!({
            "certificate": tls.certificate.to_string_lossy(),
            "private_key": tls.private_key.to_string_lossy(),
        })),
        "buffer_limit": listener.buffer_limit,
        "max_connections": listener.max_connections,
        "use_remote_address": listener.use_remote_address,
        "plugins": listener.plugins.iter().map(|own| plugin(own, values)).collect::<Vec<_>>(),
        "routes": listener.routes.iter().map(|own| route(own, values)).collect::<Vec<_>>(),
        "route_order": match listener.route_order {
            RouteOrder::Host => "host",
            RouteOrder::File => "file",
        },
        "tcp_proxy": listener.tcp_proxy.as_ref().map(|proxy| json!({
            "cluster": proxy.cluster,
            "idle_timeout": duration::format(proxy.idle_timeout),
        })),
    });
    if let Value::Object(members) = &mut shown {
        for (key, timeout) in listener.timeouts.members(listener.tcp_proxy.is_some()) {
            set(members, key, timeout);
        }
    }
    shown
}

fn route(route: &Route, values: Values) -> Value {
    let chain = |plugins: &Vec<Plugin>| plugins.iter().map(|own| plugin(own, values)).collect::<Vec<_>>();
    let mut shown = json!({
        "name": route.name,
        "match": route_match(&route.matcher),
        "timeout": route.timeout.map(duration::format),
        "prefix_rewrite": route.prefix_rewrite,
        "plugins": route.plugins.as_ref().map(chain),
        "reachable_by_rewrite": route.reachable_by_rewrite,
        "metadata": metadata::to_json(&route.metadata, redact),
    });
    if let Value::Object(members) = &mut shown {
        let (key, value) = action(&route.action);
        set(members, key, value);
    }
    shown
}

fn action(action: &RouteAction) -> (&'static str, Value) {
    match action {
        RouteAction::Forward(forward) => match forward.clusters() {
            [(name, _)] => ("cluster", name.as_str().into()),
            clusters => {
                let clusters = clusters.iter().map(|(name, weight)| json!({ "name": name, "weight": weight }));
                ("weighted_clusters", json!({ "clusters": clusters.collect::<Vec<_>>() }))
            }
        },
        RouteAction::Respond(response) => {
            let headers = response.headers.iter().map(|(name, value)| match is_secret(name) {
                true => (name.clone(), REDACTED.into()),
                false => (name.clone(), Value::from(value.as_str())),
            });
            let body = match std::str::from_utf8(&response.body) {
                Ok(text) => json!({ "inline_string": text }),
                Err(_) => json!({ "inline_bytes": format!("<{} bytes>", response.body.len()) }),
            };
            let headers = Map::from_iter(headers);
            ("direct_response", json!({ "status": response.status, "headers": headers, "body": body }))
        }
        RouteAction::Redirect(redirect) => {
            let mut object = Map::new();
            set(&mut object, "response_code", redirect.code());
            set(&mut object, "scheme_redirect", redirect.scheme.as_deref());
            set(&mut object, "host_redirect", redirect.host.as_deref());
            set(&mut object, "port_redirect", redirect.port);
            match &redirect.path {
                None => {}
                Some(RedirectPath::Whole(path)) => set(&mut object, "path_redirect", path.as_str()),
                Some(RedirectPath::Prefix(path)) => set(&mut object, "prefix_rewrite", path.as_str()),
            }
            set(&mut object, "strip_query", redirect.strip_query);
            ("redirect", object.into())
        }
    }
}

fn route_match(matcher: &RouteMatch) -> Value {
    let mut object = Map::new();
    match &matcher.host {
        None => {}
        Some(HostMatch::Exact(host)) => set(&mut object, "host", host.as_str()),
        Some(HostMatch::Suffix(suffix)) => set(&mut object, "host", format!("*{suffix}")),
        Some(HostMatch::Prefix(prefix)) => set(&mut object, "host", format!("{prefix}*")),
    }
    match &matcher.path {
        PathMatch::Prefix(prefix) => set(&mut object, "prefix", prefix.as_str()),
        PathMatch::Exact(path) => set(&mut object, "path", path.as_str()),
        PathMatch::Separated(path) => set(&mut object, "path_separated_prefix", path.as_str()),
        PathMatch::Regex(pattern) => set(&mut object, "safe_regex", json!({ "regex": pattern.as_str() })),
    }
    let headers: Vec<Value> = matcher.headers.iter().map(header).collect();
    set(&mut object, "headers", headers);
    object.into()
}

fn header(header: &HeaderMatch) -> Value {
    let (rule, ignore_case) = match &header.rule {
        HeaderRule::IgnoreCase(rule) => (&**rule, true),
        rule => (rule, false),
    };
    let (key, value) = match rule {
        HeaderRule::Exact(text) => ("exact", Value::from(text.as_str())),
        HeaderRule::Prefix(text) => ("prefix", text.as_str().into()),
        HeaderRule::Suffix(text) => ("suffix", text.as_str().into()),
        HeaderRule::Contains(text) => ("contains", text.as_str().into()),
        HeaderRule::Regex(pattern) => ("safe_regex", json!({ "regex": pattern.as_str() })),
        HeaderRule::IgnoreCase(_) => ("ignore_case", true.into()),
        HeaderRule::Present(flag) => {
            return json!({ "name": header.name, "present": flag, "invert": header.invert });
        }
    };
    let matcher = json!({ key: value, "ignore_case": ignore_case });
    json!({ "name": header.name, "string_match": matcher, "invert": header.invert })
}

fn cluster(cluster: &Cluster) -> Value {
    let mut object = Map::new();
    set(&mut object, "name", cluster.name.as_str());
    set(&mut object, "metadata", metadata::to_json(&cluster.metadata, redact));
    match &cluster.kind {
        ClusterKind::Echo => set(&mut object, "echo", json!({})),
        ClusterKind::Endpoints(servers) => {
            let endpoints: Vec<Value> = servers.endpoints.iter().map(server).collect();
            set(&mut object, "endpoints", endpoints);
            set(&mut object, "protocol", servers.protocol.name());
            if let Some(tls) = &servers.tls {
                set(&mut object, "tls", tls.to_json());
            }
            set(&mut object, "connect_timeout", duration::format(servers.connect_timeout));
            set(&mut object, "request_timeout", duration::format(servers.request_timeout));
            set(&mut object, "max_idle", servers.max_idle);
            set(&mut object, "idle_timeout", duration::format(servers.idle_timeout));
            if servers.protocol != Protocol::Http1 {
                set(&mut object, "connection_keepalive", servers.keepalive.to_json());
            }
        }
    }
    object.into()
}

fn server(server: &Server) -> Value {
    let address = server.address.to_string();
    match server.metadata.as_ref().map(|metadata| metadata::to_json(metadata, redact)) {
        None => address.into(),
        Some(metadata) => json!({ "address": address, "metadata": metadata }),
    }
}

fn plugin(plugin: &Plugin, values: Values) -> Value {
    json!({
        "name": plugin.name,
        "root_id": plugin.root_id,
        "vm_config": vm(&plugin.vm, values),
        "verify": plugin.verify.iter().map(verification).collect::<Vec<_>>(),
        "configuration": configuration(&plugin.configuration, &plugin.configuration_secrets, values),
        "failure_policy": plugin.failure_policy.name(),
        "reload_config": { "backoff": {
            "base_interval": duration::format(plugin.reload_backoff.base_interval),
            "max_interval": duration::format(plugin.reload_backoff.max_interval),
        }},
        "compatibility": plugin.compatibility.name(),
        "capability_restriction_config": plugin.rights.as_ref().map(RightsConfig::to_json),
        "requested_rights": plugin.requested_rights.name(),
        "allow_on_headers_stop_iteration": plugin.allow_on_headers_stop_iteration,
    })
}

fn verification(verification: &Verification) -> Value {
    match verification {
        Verification::ModuleSignature { keys, .. } => {
            json!({ "module_signature": { "public_keys": { "inline_string": keys.to_string() } } })
        }
        // The type will have more.
        _ => Value::Null,
    }
}

fn vm(vm: &VmConfig, values: Values) -> Value {
    let code = match &vm.code {
        Code::File(path) => json!({ "filename": path.to_string_lossy() }),
        Code::Bytes(bytes) => json!({ "inline_bytes": format!("<{} bytes>", bytes.len()) }),
        Code::Text(text) => json!({ "inline_string": format!("<{} bytes>", text.len()) }),
    };
    let variables = vm.environment.iter().map(|(name, _)| (name.to_owned(), REDACTED.into()));
    let preopens = vm.preopens.iter().map(
        |Preopen { guest, host, write, .. }| json!({ "guest": guest, "host": host.to_string_lossy(), "write": write }),
    );
    let preopens: Vec<Value> = preopens.collect();
    json!({
        "vm_id": vm.vm_id,
        "runtime": vm.runtime.as_ref().map(|runtime| runtime.value.as_str()),
        "code": { "local": code },
        "configuration": configuration(&vm.configuration, &vm.configuration_secrets, values),
        "preopens": preopens,
        "environment_variables": { "key_values": Map::from_iter(variables) },
        "capability_restriction_config": vm.rights.as_ref().map(RightsConfig::to_json),
        "tier": if vm.fast_start { "fast-start" } else { "compiled" },
        "isolation": vm.isolation.name(),
        "snapshot_randomness": vm.snapshot_randomness.name(),
        "sharing": vm.sharing.map(Sharing::name),
        "effective_context": if vm.any_effective_context { "vm" } else { "plugin" },
        "recycle": {
            "memory": vm.recycle.memory,
            "age": vm.recycle.age.map(duration::format),
            "streams": vm.recycle.streams,
            "linger": duration::format(vm.recycle.linger),
        },
        "limits": {
            "memory": vm.limits.memory,
            "table_elements": vm.limits.table_elements,
            "stack": vm.limits.stack,
            "deadline": duration::format(vm.limits.deadline),
            "start_deadline": duration::format(vm.limits.start_deadline),
            "callouts": vm.limits.callouts,
            "metrics": vm.limits.metrics,
            "buffer": vm.limits.buffer,
            "open_files": vm.limits.open_files,
            "debug_info": vm.load.debug_info,
            "compile": {
                "time": duration::format(vm.load.compile.time),
                "memory": vm.load.compile.memory,
            },
            "shared": vm.limits.shared,
            "buffers": vm.limits.buffers,
            "cpu": vm.limits.cpu.map(|cpu| cpu.to_string()),
        },
    })
}

fn set(object: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    object.insert(key.to_owned(), value.into());
}

/// Returns a plugin's configuration as JSON, text or a number of bytes, with references in place of what they refer to; or only its size.
fn configuration(bytes: &[u8], secrets: &Secrets, values: Values) -> Value {
    let redacted = || format!("<redacted, {} bytes>", bytes.len()).into();
    if values == Values::Hidden {
        return if bytes.is_empty() { "".into() } else { redacted() };
    }
    let bytes = secrets.shown(bytes);
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_slice(bytes) {
        return redact(value);
    }
    match std::str::from_utf8(bytes) {
        // Members of what cannot be read cannot be told apart.
        Ok(text) if has_members(text) => redacted(),
        Ok(text) => text.into(),
        Err(_) => format!("<{} bytes>", bytes.len()).into(),
    }
}

/// Returns true for a text that is no plain value: JSON that nests too deep, or has an error in it, and other notations of members of which
/// one is called like a secret.
fn has_members(text: &str) -> bool {
    text.contains(['{', '[']) || text.split([':', '=']).rev().skip(1).any(is_secret)
}

fn redact(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(redact).collect(),
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| match is_secret(&name) {
                true => (name, REDACTED.into()),
                false => (name, redact(value)),
            });
            Value::Object(members.collect())
        }
        other => other,
    }
}

/// Returns whether a member is called like a secret.
fn is_secret(name: &str) -> bool {
    if Redaction::default().hides(name) {
        return true;
    }
    let name: String = name.to_lowercase().replace(['_', '-', '.'], "");
    let words = ["password", "passwd", "secret", "token", "credential", "privatekey", "apikey", "authorization"];
    words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(bytes: &[u8], values: Values) -> Value {
        super::configuration(bytes, &Secrets::default(), values)
    }

    #[test]
    fn secrets_in_a_configuration_are_replaced() {
        let shown =
            configuration(br#"{"users":[{"name":"a","Password":"b"}],"api-key":{"x":1},"limit":3}"#, Values::Shown);
        assert_eq!(shown, json!({"users": [{"name": "a", "Password": REDACTED}], "api-key": REDACTED, "limit": 3}));
    }

    #[test]
    fn a_configuration_is_hidden_whole_unless_it_is_asked_for() {
        assert_eq!(configuration(br#"{"key":"hush"}"#, Values::Hidden), json!("<redacted, 14 bytes>"));
        assert_eq!(configuration(b"", Values::Hidden), json!(""));
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_hidden_whole() {
        let deep = format!("{}{{\"password\":\"hush\"}}{}", "[".repeat(200), "]".repeat(200));
        let deep_members = format!("{}\"hush\"{}", "{\"a\":".repeat(200), "}".repeat(200));
        for text in [
            &deep,
            &deep_members,
            "\u{feff}{\"password\": \"hush\"}",
            "{\"password\": \"hush\",}",
            "\"{\\\"password\\\": \\\"hush\\\"}\"",
            "limit: 1\npassword: hush",
            "a = b\napi_key = hush",
        ] {
            let shown = configuration(text.as_bytes(), Values::Shown);
            assert_eq!(shown, json!(format!("<redacted, {} bytes>", text.len())), "{text}");
        }
        for text in ["a sentence: with a colon", "https://a.example/x?y=z"] {
            assert_eq!(configuration(text.as_bytes(), Values::Shown), json!(text));
        }
    }

    #[test]
    fn a_configuration_that_is_no_json_is_text_or_a_size() {
        assert_eq!(configuration(b"hello", Values::Shown), json!("hello"));
        assert_eq!(configuration(b"42", Values::Shown), json!("42"));
        assert_eq!(configuration(b"", Values::Shown), json!(""));
        assert_eq!(configuration(&[0xff, 0xfe], Values::Shown), json!("<2 bytes>"));
    }
}
