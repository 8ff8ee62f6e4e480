//! Configurations for hosts that are to be examined.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use portcullis_core::abi::{AbiVersion, HostcallId};
use serde_json::{Value, json};

use crate::probe::Probe;
use crate::suite::start_configuration;

/// The first port by default.
pub const BASE_PORT: u16 = 10_000;

/// A host whose configuration the kit can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Flavour {
    /// Portcullis's own gateway.
    Portcullis,
    /// Envoy 1.33 or newer.
    Envoy,
    /// Envoy 1.40 with the dynamic module of Portcullis (`adapters/envoy`) in place of its own Wasm filters.
    EnvoyModule,
    /// A program that reads its plugins with `portcullis-config`: a file for each version of the ABI, `plugins-VERSION.yaml`, with the probe
    /// as its only plugin.
    Plugins,
    /// Any other: the probes and, in `vm_configuration-VERSION.txt`, the string that their VM's configuration must be.
    Other,
}

/// Six ports of 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports(u16);

impl From<u16> for Ports {
    fn from(base: u16) -> Self {
        Self(base)
    }
}

impl Ports {
    /// Probes before the HTTP upstream, by version.
    pub fn targets(self) -> Vec<(AbiVersion, String)> {
        VERSIONS.iter().zip(0..).map(|(abi, offset)| (*abi, self.at(offset).to_string())).collect()
    }

    /// Returns the probe before the TCP upstream.
    pub fn tcp(self) -> SocketAddr {
        self.at(2)
    }

    /// Returns the host's own pages.
    pub fn admin(self) -> SocketAddr {
        self.at(3)
    }

    /// Returns the HTTP upstream.
    pub fn upstream(self) -> SocketAddr {
        self.at(4)
    }

    /// Returns the TCP upstream.
    pub fn tcp_upstream(self) -> SocketAddr {
        self.at(5)
    }

    fn at(self, offset: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0.saturating_add(offset)).into()
    }
}

/// Versions of the probe, one listener each.
const VERSIONS: [AbiVersion; 2] = [AbiVersion::V0_2_1, AbiVersion::V0_1_0];

/// Hostcalls that Envoy does not link: a module that imports one of these does not load there. `path_link` and `path_symlink` it
/// has with other types than WASI.
const NOT_IN_ENVOY: [HostcallId; 7] = [
    HostcallId::abort,
    HostcallId::seed,
    HostcallId::trace,
    HostcallId::now,
    HostcallId::path_link,
    HostcallId::path_symlink,
    HostcallId::proc_raise,
];

/// Writes probes and configuration into a folder; what to do next. The probes do not import what `without` names.
///
/// # Errors
/// They cannot be written.
pub fn write(
    flavour: Flavour,
    dir: &Path,
    ports: Ports,
    engine: Option<&str>,
    without: &[HostcallId],
) -> io::Result<String> {
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let missing: &[_] = if flavour == Flavour::Envoy { &NOT_IN_ENVOY } else { &[] };
    let mut plugins = Vec::new();
    for abi in VERSIONS {
        let probe = Probe { abi, without: [missing, without].concat() };
        let file = dir.join(format!("probe-{abi}.wasm"));
        fs::write(&file, probe.wasm().map_err(io::Error::other)?)?;
        let code = json!({ "local": { "filename": file } });
        plugins.push((code, start_configuration(&probe)));
    }
    let (configuration, command) = match flavour {
        Flavour::Portcullis => (portcullis(ports, &plugins, engine), "portcullis serve"),
        Flavour::Envoy => (envoy(ports, &plugins, &WASM), "envoy --concurrency 1 -c"),
        Flavour::EnvoyModule => {
            (envoy(ports, &plugins, &MODULE), "ENVOY_DYNAMIC_MODULES_SEARCH_PATH=FOLDER envoy --concurrency 1 -c")
        }
        Flavour::Plugins => {
            for (abi, of) in VERSIONS.iter().zip(&plugins) {
                let file = serde_json::to_vec_pretty(&json!({ "plugins": [plugin(of, engine)] }))?;
                fs::write(dir.join(format!("plugins-{abi}.yaml")), file)?;
            }
            return Ok(format!("{} has a file of plugins for each probe\n", dir.display()));
        }
        Flavour::Other => {
            for (abi, (_, configuration)) in VERSIONS.iter().zip(&plugins) {
                fs::write(dir.join(format!("vm_configuration-{abi}.txt")), configuration)?;
            }
            return Ok(format!("each probe in {} wants the VM's configuration of its version\n", dir.display()));
        }
    };
    // JSON is YAML.
    let file = dir.join("host.yaml");
    fs::write(&file, serde_json::to_vec_pretty(&configuration)?)?;
    Ok(format!("{command} {}\n", file.display()))
}

/// Returns the plugin, in the words that both hosts understand.
fn plugin((code, configuration): &(Value, String), engine: Option<&str>) -> Value {
    let string = |value: &str| json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": value });
    let mut vm = json!({
        "code": code,
        "configuration": string(configuration),
        "environment_variables": { "key_values": { "K": "v" } },
    });
    if let Some(engine) = engine {
        vm["runtime"] = engine.into();
    }
    json!({
        "name": "test",
        "configuration": string("{}"),
        "vm_config": vm,
        // A program may end the VM; the next one wants another.
        "failure_policy": "FAIL_RELOAD",
        "reload_config": { "backoff": { "base_interval": "0.05s", "max_interval": "0.1s" } },
    })
}

fn portcullis(ports: Ports, plugins: &[(Value, String)], engine: Option<&str>) -> Value {
    let listener = |(plugin_of, (_, address)): (&(Value, String), (AbiVersion, String))| {
        json!({
            "address": address,
            "plugins": [plugin(plugin_of, engine)],
            "routes": [{ "name": "every", "match": { "prefix": "/" }, "cluster": "auth" }],
        })
    };
    let mut listeners: Vec<_> = plugins.iter().zip(ports.targets()).map(listener).collect();
    let plugins: Vec<_> = plugins.iter().take(1).map(|of| plugin(of, engine)).collect();
    listeners.push(json!({
        "address": ports.tcp(),
        "plugins": plugins,
        "tcp_proxy": { "cluster": "tcp" },
    }));
    json!({
        "workers": 1,
        "admin": ports.admin(),
        "listeners": listeners,
        "clusters": [
            { "name": "auth", "protocol": "http2", "endpoints": [ports.upstream()] },
            { "name": "tcp", "endpoints": [ports.tcp_upstream()] },
        ],
    })
}

/// The filters that run plugins in Envoy: the kinds of the HTTP filter and of the network filter, and how each has its plugin.
struct Filters {
    http: &'static str,
    network: &'static str,
    runtime: Option<&'static str>,
    with: fn(Value) -> Value,
}

/// The Wasm filters of Envoy.
const WASM: Filters = Filters {
    http: "filters.http.wasm.v3.Wasm",
    network: "filters.network.wasm.v3.Wasm",
    runtime: Some("envoy.wasm.runtime.v8"),
    with: |plugin| json!({ "config": plugin }),
};

/// The filters of the module.
const MODULE: Filters = Filters {
    http: "filters.http.dynamic_modules.v3.DynamicModuleFilter",
    network: "filters.network.dynamic_modules.v3.DynamicModuleNetworkFilter",
    runtime: None,
    with: |plugin| {
        json!({
            "dynamic_module_config": { "name": "portcullis_envoy", "do_not_close": true },
            "filter_name": "probe",
            "filter_config": { "@type": "type.googleapis.com/google.protobuf.Struct", "value": plugin },
        })
    },
};

fn envoy(ports: Ports, plugins: &[(Value, String)], filters: &Filters) -> Value {
    let address = |at: SocketAddr| json!({ "socket_address": { "address": at.ip(), "port_value": at.port() } });
    let typed = |name: &str, kind: &str, mut fields: Value| {
        fields["@type"] = format!("type.googleapis.com/envoy.extensions.{kind}").into();
        json!({ "name": name, "typed_config": fields })
    };
    let of_plugin = |of: &(Value, String)| (filters.with)(plugin(of, filters.runtime));
    let listener = |(of, (_, at)): (&(Value, String), (AbiVersion, String))| {
        let at: SocketAddr = at.parse().unwrap_or_else(|_| ports.admin());
        let filters =
            [typed("probe", filters.http, of_plugin(of)), typed("router", "filters.http.router.v3.Router", json!({}))];
        let route = json!({ "name": "every", "match": { "prefix": "/" }, "route": { "cluster": "auth" } });
        let manager = json!({
            "stat_prefix": "probe",
            "http_protocol_options": { "enable_trailers": true },
            "http_filters": filters,
            "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
        });
        let manager = typed("http", "filters.network.http_connection_manager.v3.HttpConnectionManager", manager);
        json!({ "address": address(at), "filter_chains": [{ "filters": [manager] }] })
    };
    let mut listeners: Vec<_> = plugins.iter().zip(ports.targets()).map(listener).collect();
    let filters: Vec<_> = plugins
        .iter()
        .take(1)
        .map(|of| typed("probe", filters.network, of_plugin(of)))
        .chain([typed(
            "tcp",
            "filters.network.tcp_proxy.v3.TcpProxy",
            json!({ "stat_prefix": "tcp", "cluster": "tcp" }),
        )])
        .collect();
    listeners.push(json!({ "address": address(ports.tcp()), "filter_chains": [{ "filters": filters }] }));
    let cluster = |name: &str, at: SocketAddr| {
        json!({
            "name": name,
            "type": "STATIC",
            "connect_timeout": "1s",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(at) } }] }],
            },
        })
    };
    let mut auth = cluster("auth", ports.upstream());
    auth["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    json!({
        "admin": { "address": address(ports.admin()) },
        "static_resources": { "listeners": listeners, "clusters": [auth, cluster("tcp", ports.tcp_upstream())] },
    })
}
