//! The configuration of a filter: Envoy's `PluginConfig` as JSON.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::chain::{Backoff, Isolation};
use portcullis::engine::{self, EngineInfo};
use portcullis::model::{FailurePolicy, Plugin};
use portcullis::sandbox::VmSpec;
use serde::Deserialize;
use serde_json::Value;

/// A plugin as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct Configured {
    pub(crate) plugin: Plugin,
    pub(crate) code: PathBuf,
    pub(crate) engine: &'static EngineInfo,
    pub(crate) vm: VmSpec,
    pub(crate) reload: Backoff,
    pub(crate) isolation: Isolation,
}

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Invalid(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    name: String,
    #[serde(default)]
    root_id: String,
    vm_config: Vm,
    #[serde(default)]
    configuration: Value,
    #[serde(default)]
    fail_open: bool,
    failure_policy: Option<String>,
    #[serde(default)]
    allow_on_headers_stop_iteration: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vm {
    #[serde(default)]
    vm_id: String,
    #[serde(default)]
    runtime: String,
    code: Code,
    #[serde(default)]
    configuration: Value,
    #[serde(default)]
    isolation: String,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    local: Local,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Local {
    filename: PathBuf,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    deadline: Option<String>,
}

/// Reads a configuration.
pub(crate) fn read(text: &[u8]) -> Result<Configured, Invalid> {
    let written: Written = serde_json::from_slice(text)
        .map_err(|error| Invalid(format!("filter_config: {error}; write Envoy's PluginConfig as JSON")))?;
    let mut plugin = Plugin::new(written.name)
        .with_root_id(written.root_id)
        .with_vm_id(written.vm_config.vm_id)
        .with_configuration(any(&written.configuration));
    plugin.failure_policy = match written.failure_policy.as_deref() {
        Some("FAIL_RELOAD") => FailurePolicy::Reload,
        Some("FAIL_OPEN") => FailurePolicy::Open,
        None | Some("UNSPECIFIED") if written.fail_open => FailurePolicy::Open,
        None | Some("UNSPECIFIED" | "FAIL_CLOSED") => FailurePolicy::Closed,
        Some(other) => {
            return Err(Invalid(format!(
                "failure_policy: {other:?} is none; use FAIL_CLOSED, FAIL_OPEN or FAIL_RELOAD"
            )));
        }
    };
    let stop = &written.allow_on_headers_stop_iteration;
    plugin.allow_on_headers_stop_iteration = stop.get("value").unwrap_or(stop).as_bool().unwrap_or_default();
    let choice =
        engine::find(&written.vm_config.runtime).map_err(|error| Invalid(format!("vm_config.runtime: {error}")))?;
    let mut vm = VmSpec::default().with_configuration(any(&written.vm_config.configuration));
    if let Some(deadline) = &written.vm_config.limits.deadline {
        vm.limits.deadline = duration(deadline)?;
    }
    let isolation = match written.vm_config.isolation.as_str() {
        "" | "worker" => Isolation::Worker,
        "stream" => Isolation::Stream,
        other => return Err(Invalid(format!("vm_config.isolation: {other:?} is none; use worker or stream"))),
    };
    let code = written.vm_config.code.local.filename;
    Ok(Configured { plugin, code, engine: choice.engine, vm, reload: Backoff::default(), isolation })
}

/// Returns the bytes of an `Any`: those of a StringValue, or the JSON of a Struct.
fn any(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        other => match other.get("value") {
            Some(Value::String(text)) => text.clone().into_bytes(),
            Some(value) => value.to_string().into_bytes(),
            None => other.to_string().into_bytes(),
        },
    }
}

fn duration(text: &str) -> Result<Duration, Invalid> {
    let number = |suffix| text.strip_suffix(suffix).and_then(|number: &str| number.parse::<u64>().ok());
    let read = number("ms").map(Duration::from_millis).or_else(|| number("s").map(Duration::from_secs));
    read.ok_or_else(|| Invalid(format!("vm_config.limits.deadline: {text:?} is no duration; write `100ms` or `1s`")))
}
