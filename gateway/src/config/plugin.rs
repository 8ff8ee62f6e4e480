//! One plugin: Envoy's `envoy.extensions.wasm.v3.PluginConfig`.

use std::time::Duration;

use portcullis::core::Compatibility;

use super::any;
use super::capabilities::{self, Restriction};
use super::document::Read;
use super::duration;
use super::error::Origin;
use super::mapping::{Mapping, Refused};
use super::value::{Kind, Value};
use super::vm::{self, VmConfig};

/// One configured use of a module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plugin {
    /// The name for logs and metrics.
    pub name: String,
    /// Which root context of the module this is; may be empty.
    pub root_id: String,
    /// The code and its VM.
    pub vm: VmConfig,
    /// What `proxy_on_configure` is given.
    pub configuration: Vec<u8>,
    /// What happens to traffic when the plugin fails.
    pub failure_policy: FailurePolicy,
    /// How long to wait before a failed VM is built anew, with [`FailurePolicy::Reload`].
    pub reload_backoff: Backoff,
    /// What the plugin may do. None is no restriction.
    pub restriction: Option<Restriction>,
    /// Whether `StopIteration` on headers lets the body go on to the plugin.
    pub allow_on_headers_stop_iteration: bool,
    /// Whose ways the plugin is made for.
    pub compatibility: Compatibility,
    /// Where the plugin is defined.
    pub origin: Origin,
    /// Where `root_id` stands; without one, where the plugin is defined.
    pub root_id_origin: Origin,
    /// Where `configuration` stands; without one, where the plugin is defined.
    pub configuration_origin: Origin,
}

/// What happens to traffic when a plugin fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Requests are answered with an error.
    #[default]
    Closed,
    /// Requests pass the plugin by.
    Open,
    /// A new VM is built; until then requests are answered with an error.
    Reload,
}

impl FailurePolicy {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "FAIL_CLOSED",
            Self::Open => "FAIL_OPEN",
            Self::Reload => "FAIL_RELOAD",
        }
    }
}

/// The time between attempts: from `base_interval`, growing up to `max_interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// Before the first attempt.
    pub base_interval: Duration,
    /// The longest.
    pub max_interval: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::from_base(Duration::from_secs(1))
    }
}

impl Backoff {
    /// Envoy's rule: the longest interval is ten times the first.
    fn from_base(base_interval: Duration) -> Self {
        Self { base_interval, max_interval: base_interval * 10 }
    }
}

/// Reads a plugin. `default_name` is for one without a name of its own.
pub(super) fn read(value: &Value<'_>, default_name: &str) -> Read<Plugin> {
    let mapping = value.mapping_without(KEYS, &[OLD_FORM])?;
    let name = mapping.or("name", default_name.to_owned(), Value::name);
    let root_id = mapping.or("root_id", String::new(), |id| id.string().map(str::to_owned));
    let vm = mapping.required("vm_config", "add `vm_config: {code: {local: {filename: plugin.wasm}}}`", vm::read);
    let configuration = mapping.or("configuration", Vec::new(), any::read);
    let failure_policy = failure_policy(&mapping);
    let reload_backoff = mapping.or("reload_config", Backoff::default(), |reload| {
        reload.mapping(&["backoff"])?.or("backoff", Backoff::default(), backoff)
    });
    let restriction = mapping.optional("capability_restriction_config", capabilities::read);
    let compatibility = mapping.or("compatibility", Compatibility::Envoy, |whose| whose.one_of(COMPATIBILITY));
    let stop_iteration = mapping.or("allow_on_headers_stop_iteration", false, wrapped_boolean);
    Ok(Plugin {
        name: name?,
        root_id: root_id?,
        vm: vm?,
        configuration: configuration?,
        failure_policy: failure_policy?,
        reload_backoff: reload_backoff?,
        restriction: restriction?.flatten(),
        allow_on_headers_stop_iteration: stop_iteration?,
        compatibility: compatibility?,
        origin: value.origin(),
        root_id_origin: mapping.get("root_id").unwrap_or(value).origin(),
        configuration_origin: mapping.get("configuration").unwrap_or(value).origin(),
    })
}

const KEYS: &[&str] = &[
    "name",
    "root_id",
    "vm_config",
    "configuration",
    "fail_open",
    "failure_policy",
    "reload_config",
    "capability_restriction_config",
    "compatibility",
    "allow_on_headers_stop_iteration",
];

/// `{name: envoy.filters.http.wasm, config: {config: ...}}`.
const OLD_FORM: Refused = (
    "config",
    "this is Envoy's form before 1.18",
    "write typed_config with an @type, as in examples/gateway.yaml, or the plugin's keys without anything around them",
);

const COMPATIBILITY: &[(&str, Compatibility)] = &[("envoy", Compatibility::Envoy), ("spec", Compatibility::Spec)];

/// The names of `failure_policy`; None leaves it to `fail_open`.
const POLICIES: &[(&str, Option<FailurePolicy>)] = &[
    ("FAIL_CLOSED", Some(FailurePolicy::Closed)),
    ("FAIL_OPEN", Some(FailurePolicy::Open)),
    ("FAIL_RELOAD", Some(FailurePolicy::Reload)),
    ("UNSPECIFIED", None),
];

fn failure_policy(mapping: &Mapping<'_>) -> Read<FailurePolicy> {
    let policy = mapping.optional("failure_policy", |policy| policy.one_of(POLICIES));
    let fail_open = mapping.optional("fail_open", Value::boolean);
    let (policy, fail_open) = (policy?.flatten(), fail_open?.unwrap_or(false));
    let Some(flag) = mapping.get("fail_open") else {
        return Ok(policy.unwrap_or_default());
    };
    match (policy, fail_open) {
        (Some(_), true) => Err(flag.fail("only one of fail_open and failure_policy can be set", "remove fail_open")),
        (Some(policy), false) => {
            flag.notice("fail_open is deprecated, and failure_policy decides", "remove fail_open");
            Ok(policy)
        }
        (None, _) => {
            let policy = if fail_open { FailurePolicy::Open } else { FailurePolicy::Closed };
            flag.notice("fail_open is deprecated", format!("write `failure_policy: {}`", policy.name()));
            Ok(policy)
        }
    }
}

fn backoff(value: &Value<'_>) -> Read<Backoff> {
    let mapping = value.mapping(&["base_interval", "max_interval"])?;
    let base = mapping.required("base_interval", "add `base_interval: 1s`", at_least_a_millisecond);
    let max = mapping.optional("max_interval", at_least_a_millisecond);
    let (backoff, max) = (Backoff::from_base(base?), max?);
    match (max, mapping.get("max_interval")) {
        (Some(max), Some(place)) if max < backoff.base_interval => {
            let base = duration::format(backoff.base_interval);
            Err(place.expected(format!("at least {base}, the base_interval"), "make it longer, or remove it"))
        }
        _ => Ok(Backoff { max_interval: max.unwrap_or(backoff.max_interval), ..backoff }),
    }
}

fn at_least_a_millisecond(value: &Value<'_>) -> Read<Duration> {
    let duration = duration::read(value)?;
    match duration < Duration::from_millis(1) {
        true => Err(value.expected("a duration of at least 1ms", "make it longer")),
        false => Ok(duration),
    }
}

/// A flag, or Envoy's `BoolValue` around it.
fn wrapped_boolean(value: &Value<'_>) -> Read<bool> {
    match value.kind() {
        Kind::Mapping => value.mapping(&["value"])?.or("value", false, Value::boolean),
        _ => value.boolean(),
    }
}
