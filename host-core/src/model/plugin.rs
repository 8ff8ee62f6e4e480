//! A plugin: one configured use of a module.

use std::fmt;

use bytes::Bytes;

use crate::rights::{Capabilities, OnDenial, Rules};
use crate::setters::setters;
use crate::vm::usage::Usage;

/// One configured use of a module. It has a root context in its VM and a stream context for each
/// stream that it filters. `Debug` shows the length of its configuration, which may have secrets.
///
/// ```
/// use portcullis_core::model::{FailurePolicy, Plugin};
/// use portcullis_core::rights::Preset;
///
/// let plugin = Plugin::new("auth")
///     .with_configuration("{}")
///     .with_capabilities(Preset::Headers.capabilities())
///     .with_failure_policy(FailurePolicy::Open);
/// assert_eq!(plugin.name, "auth");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Plugin {
    /// The operator's name for it; in logs and metrics, and the property `plugin_name`.
    pub name: String,
    /// Chooses among the roots that a module registers; the property `plugin_root_id`.
    pub root_id: String,
    /// The id of the VM it asks for; the property `plugin_vm_id`.
    pub vm_id: String,
    /// The configuration that it reads in `proxy_on_configure`.
    pub configuration: Bytes,
    /// The hostcalls and callbacks that it may use.
    pub capabilities: Capabilities,
    /// The arguments that it may use them with.
    pub rules: Rules,
    /// The consequence of doing anything else.
    pub on_denial: OnDenial,
    /// Whether `StopIteration` from a headers callback holds the headers alone, so that body
    /// callbacks still come. If not, it stops the whole direction.
    pub allow_on_headers_stop_iteration: bool,
    /// The host whose behaviour it is made for, where hosts differ.
    pub compatibility: Compatibility,
    /// The fate of streams when its VM has failed.
    pub failure_policy: FailurePolicy,
    /// Counts what it uses.
    pub usage: Usage,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Taken apart whole: a field that is added does not compile until somebody has decided whether it is shown.
        let Self {
            name,
            root_id,
            vm_id,
            configuration,
            capabilities,
            rules,
            on_denial,
            allow_on_headers_stop_iteration,
            compatibility,
            failure_policy,
            usage,
        } = self;
        f.debug_struct("Plugin")
            .field("name", name)
            .field("root_id", root_id)
            .field("vm_id", vm_id)
            .field("configuration", &format_args!("{} bytes", configuration.len()))
            .field("capabilities", capabilities)
            .field("rules", rules)
            .field("on_denial", on_denial)
            .field("allow_on_headers_stop_iteration", allow_on_headers_stop_iteration)
            .field("compatibility", compatibility)
            .field("failure_policy", failure_policy)
            .field("usage", usage)
            .finish()
    }
}

impl Plugin {
    /// Returns a plugin with every right and no configuration, which fails closed.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            root_id: String::new(),
            vm_id: String::new(),
            configuration: Bytes::new(),
            capabilities: Capabilities::ALL,
            rules: Rules::NONE,
            on_denial: OnDenial::Answer,
            allow_on_headers_stop_iteration: false,
            compatibility: Compatibility::Envoy,
            failure_policy: FailurePolicy::Closed,
            usage: Usage::default(),
        }
    }

    setters! {
        with_root_id(impl Into<String>) -> root_id;
        with_vm_id(impl Into<String>) -> vm_id;
        with_configuration(impl Into<Bytes>) -> configuration;
        with_capabilities(Capabilities) -> capabilities;
        with_rules(Rules) -> rules;
        with_on_denial(OnDenial) -> on_denial;
        with_allow_on_headers_stop_iteration(bool) -> allow_on_headers_stop_iteration;
        with_compatibility(Compatibility) -> compatibility;
        with_failure_policy(FailurePolicy) -> failure_policy;
        with_usage(Usage) -> usage;
    }

    /// Returns the same plugin in another worker, where what it uses is counted apart and into the same sums.
    #[must_use]
    pub fn for_worker(&self) -> Self {
        Self { usage: self.usage.shard(), ..self.clone() }
    }
}

/// The host whose behaviour a plugin is made for, where deployed hosts and the specification differ and a plugin can tell.
///
/// | | `Envoy` | `Spec` |
/// |---|---|---|
/// | the end of an HTTP stream | `proxy_on_log`, then `proxy_on_done` | `proxy_on_done`, then `proxy_on_log` |
/// | `proxy_get_buffer_bytes` and `_status` of a stream's buffer that is not there | Ok and empty | `NotFound` |
/// | `proxy_record_metric` of a counter | adds | sets |
/// | `proxy_set_shared_data` with a version of a key that there is not | Ok | `CasMismatch` |
///
/// Every SDK survives each of these answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compatibility {
    /// As Envoy 1.40 does.
    #[default]
    Envoy,
    /// As the specification of ABI 0.2.1 says.
    Spec,
}

impl Compatibility {
    /// Returns the name that configurations give it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Spec => "spec",
        }
    }
}

/// The fate of streams when the VM of a plugin has failed. Whoever drives streams has to decide for each of these, so a further
/// one is a breaking change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// They get a 503 response, or are cut when a response has begun.
    #[default]
    Closed,
    /// They go on without the plugin.
    Open,
    /// As `Closed`, but a new VM is started for later streams.
    Reload,
}
