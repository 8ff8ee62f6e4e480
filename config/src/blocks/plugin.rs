//! One plugin: Envoy's `envoy.extensions.wasm.v3.PluginConfig`.

use std::fmt;
use std::time::Duration;

use portcullis::model::Compatibility;

use super::any;
use super::rights::{self, RightsConfig};
use super::secrets::Secrets;
use super::verify::{self, VERIFY, Verification};
use super::vm::{self, VmConfig};
use crate::error::Origin;
use crate::reader::{Key, Kind, Mapping, Read, Refused, Section, Type, Value, duration};

/// One configured use of a module. `Debug` does not show its configuration.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Plugin {
    /// The name for logs and metrics.
    pub name: String,
    /// Which root context of the module this is; may be empty.
    pub root_id: String,
    /// The code and its VM.
    pub vm: VmConfig,
    /// Conditions of the code, without which none of it runs.
    pub verify: Vec<Verification>,
    /// The bytes that `proxy_on_configure` is given.
    pub configuration: Vec<u8>,
    /// The values in `configuration` that stand elsewhere.
    pub configuration_secrets: Secrets,
    /// The treatment of traffic when the plugin fails.
    pub failure_policy: FailurePolicy,
    /// How long to wait before a failed VM is built anew, with [`FailurePolicy::Reload`].
    pub reload_backoff: Backoff,
    /// The rights of the plugin. None is no restriction.
    pub rights: Option<RightsConfig>,
    /// Whether the rights that its module requests have to be among them.
    pub requested_rights: RequestedRights,
    /// Whether a plugin that returned `StopIteration` on headers still gets the body.
    pub allow_on_headers_stop_iteration: bool,
    /// The host that the plugin is made for.
    pub compatibility: Compatibility,
    /// Where the plugin is defined.
    pub origin: Origin,
    /// The place of `root_id`; without one, that of the plugin's definition.
    pub root_id_origin: Origin,
    /// The place of `configuration`; without one, that of the plugin's definition.
    pub configuration_origin: Origin,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .field("root_id", &self.root_id)
            .field("vm", &self.vm)
            .field("failure_policy", &self.failure_policy)
            .field("rights", &self.rights)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Returns the values that it, its VM and its environment variables have from elsewhere, and that nobody is to see.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let own = self.configuration_secrets.values().chain(self.vm.configuration_secrets.values());
        own.chain(self.vm.environment.secrets())
    }
}

/// Treatment of traffic when a plugin fails.
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
    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "FAIL_CLOSED",
            Self::Open => "FAIL_OPEN",
            Self::Reload => "FAIL_RELOAD",
        }
    }
}

/// Treatment of a plugin whose module requests more rights than the plugin is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RequestedRights {
    /// Refusal, with the difference.
    #[default]
    Enforce,
    /// None: it runs with the rights that it is allowed.
    Ignore,
}

impl RequestedRights {
    /// Returns the name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Ignore => "ignore",
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
    /// Applies Envoy's rule: the longest interval is ten times the first.
    fn from_base(base_interval: Duration) -> Self {
        Self { base_interval, max_interval: base_interval * 10 }
    }
}

/// Reads a plugin. `default_name` is for one without a name of its own.
pub(crate) fn read(value: &Value<'_>, default_name: &str) -> Read<Plugin> {
    read_without(value, default_name, &[OLD_FORM])
}

/// Reads a plugin, with reasons against some other keys.
pub(crate) fn read_without(value: &Value<'_>, default_name: &str, refused: &[Refused]) -> Read<Plugin> {
    let mapping = value.mapping_without(&PLUGIN, refused)?;
    let name = mapping.or(NAME, default_name.to_owned(), Value::name);
    let root_id = mapping.or(ROOT_ID, String::new(), |id| id.string().map(str::to_owned));
    let vm = mapping.required(VM_CONFIG, "add `vm_config: {code: {local: {filename: plugin.wasm}}}`", vm::read);
    let verify = mapping.or(VERIFY, Vec::new(), verify::read);
    let configuration = mapping.or(CONFIGURATION, Default::default(), any::read);
    let failure_policy = failure_policy(&mapping);
    let reload_backoff = mapping.or(RELOAD_CONFIG, Backoff::default(), |reload| {
        reload.mapping(&RELOAD)?.or(BACKOFF, Backoff::default(), backoff)
    });
    let rights = mapping.optional(RIGHTS, rights::read);
    let requested = mapping.or(REQUESTED, RequestedRights::Enforce, |choice| choice.one_of(REQUESTED_RIGHTS));
    let compatibility = mapping.or(COMPATIBLE, Compatibility::Envoy, |whose| whose.one_of(COMPATIBILITY));
    let stop_iteration = mapping.or(STOP_ITERATION, false, wrapped_boolean);
    let (configuration, configuration_secrets) = configuration?;
    Ok(Plugin {
        name: name?,
        root_id: root_id?,
        vm: vm?,
        verify: verify?,
        configuration,
        configuration_secrets,
        failure_policy: failure_policy?,
        reload_backoff: reload_backoff?,
        rights: rights?.flatten(),
        requested_rights: requested?,
        allow_on_headers_stop_iteration: stop_iteration?,
        compatibility: compatibility?,
        origin: value.origin(),
        root_id_origin: mapping.get(ROOT_ID).unwrap_or(value).origin(),
        configuration_origin: mapping.get(CONFIGURATION).unwrap_or(value).origin(),
    })
}

const NAME: Key = Key::new("name", Type::Name, "The name for logs, metrics and chains.").computed("`plugin_INDEX`");
const ROOT_ID: Key =
    Key::new("root_id", Type::Text, "The root context of the module that this plugin is, where a module has several.")
        .default("''");
const VM_CONFIG: Key = Key::new("vm_config", Type::Section(&vm::VM), "The code and its VM.").required();
const CONFIGURATION: Key =
    Key::new("configuration", any::CONFIGURATION, "The bytes that `proxy_on_configure` is given.").default("''");
const FAIL_OPEN: Key = Key::new("fail_open", Type::Boolean, "Envoy's old form of `failure_policy`; deprecated.");
const FAILURE_POLICY: Key = Key::new(
    "failure_policy",
    Type::Words(&["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD", "UNSPECIFIED"]),
    "Treatment of traffic when the plugin fails: an error, no plugin, or an error until the plugin has been started again.",
)
.default("FAIL_CLOSED");
const RELOAD_CONFIG: Key =
    Key::new("reload_config", Type::Section(&RELOAD), "The wait before a failed plugin is started again.");
const RIGHTS: Key = Key::new(
    "capability_restriction_config",
    Type::Section(&rights::RIGHTS),
    "The rights of the plugin; without the key all of them.",
);
const REQUESTED: Key = Key::new(
    "requested_rights",
    Type::Words(&["enforce", "ignore"]),
    "Whether a plugin whose module requests more rights than these is refused, or runs without them.",
)
.default("enforce");
const COMPATIBLE: Key = Key::new(
    "compatibility",
    Type::Words(&["envoy", "spec"]),
    "The host that the plugin is made for, where Envoy and the specification differ.",
)
.default("envoy");
const STOP_ITERATION: Key = Key::new(
    "allow_on_headers_stop_iteration",
    Type::Either(const { &[Type::Boolean, Type::Section(&BOOL_VALUE)] }),
    "Whether the body goes on to the plugin while it holds the headers back with StopIteration.",
)
.default("false");

/// The keys of a plugin.
pub static PLUGIN: Section = Section::new(
    "plugin",
    "plugins[], listeners[].plugins[], listeners[].routes[].plugins[], services[]",
    "One configured use of a module, with Envoy's names.",
    &[
        NAME,
        ROOT_ID,
        VM_CONFIG,
        VERIFY,
        CONFIGURATION,
        FAIL_OPEN,
        FAILURE_POLICY,
        RELOAD_CONFIG,
        RIGHTS,
        REQUESTED,
        COMPATIBLE,
        STOP_ITERATION,
    ],
)
.page("failures.md");

const BACKOFF: Key = Key::new("backoff", Type::Section(&INTERVALS), "The time between attempts.");

static RELOAD: Section =
    Section::new("reload_config", "plugin.reload_config", "When a failed plugin is built anew.", &[BACKOFF]);

const BASE_INTERVAL: Key =
    Key::new("base_interval", Type::Positive, "Before the first attempt; at least 1 ms.").required();
const MAX_INTERVAL: Key = Key::new("max_interval", Type::Positive, "The longest, at least `base_interval`.")
    .computed("ten times `base_interval`");

static INTERVALS: Section = Section::new(
    "backoff",
    "plugin.reload_config.backoff",
    "The time between attempts, which grows; without it from 1s to 10s.",
    &[BASE_INTERVAL, MAX_INTERVAL],
);

const VALUE: Key = Key::new("value", Type::Boolean, "The flag.").default("false");

static BOOL_VALUE: Section = Section::new(
    "bool_value",
    "plugin.allow_on_headers_stop_iteration",
    "Envoy's `BoolValue` around a flag.",
    &[VALUE],
);

/// `{name: envoy.filters.http.wasm, config: {config: ...}}`.
pub(crate) const OLD_FORM: Refused = (
    "config",
    "this is Envoy's form before 1.18",
    "write typed_config with an @type, as in examples/gateway.yaml, or the plugin's keys without anything around them",
);

const COMPATIBILITY: &[(&str, Compatibility)] = &[("envoy", Compatibility::Envoy), ("spec", Compatibility::Spec)];

const REQUESTED_RIGHTS: &[(&str, RequestedRights)] = &[
    (RequestedRights::Enforce.name(), RequestedRights::Enforce),
    (RequestedRights::Ignore.name(), RequestedRights::Ignore),
];

/// The names of `failure_policy`; None leaves it to `fail_open`.
const POLICIES: &[(&str, Option<FailurePolicy>)] = &[
    ("FAIL_CLOSED", Some(FailurePolicy::Closed)),
    ("FAIL_OPEN", Some(FailurePolicy::Open)),
    ("FAIL_RELOAD", Some(FailurePolicy::Reload)),
    ("UNSPECIFIED", None),
];

fn failure_policy(mapping: &Mapping<'_>) -> Read<FailurePolicy> {
    let policy = mapping.optional(FAILURE_POLICY, |policy| policy.one_of(POLICIES));
    let fail_open = mapping.optional(FAIL_OPEN, Value::boolean);
    let (policy, fail_open) = (policy?.flatten(), fail_open?.unwrap_or(false));
    let Some(flag) = mapping.get(FAIL_OPEN) else {
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
    let mapping = value.mapping(&INTERVALS)?;
    let base = mapping.required(BASE_INTERVAL, "add `base_interval: 1s`", at_least_a_millisecond);
    let max = mapping.optional(MAX_INTERVAL, at_least_a_millisecond);
    let (backoff, max) = (Backoff::from_base(base?), max?);
    match (max, mapping.get(MAX_INTERVAL)) {
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

/// Reads a flag, or Envoy's `BoolValue` around it.
fn wrapped_boolean(value: &Value<'_>) -> Read<bool> {
    match value.kind() {
        Kind::Mapping => value.mapping(&BOOL_VALUE)?.or(VALUE, false, Value::boolean),
        _ => value.boolean(),
    }
}
