//! A plugin: one configured use of a module.

use bytes::Bytes;

use crate::rights::{Capabilities, OnDenial, Rules};
use crate::vm::usage::Usage;

/// One configured use of a module. It has a root context in its VM and a stream context for each
/// stream that it filters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

impl Plugin {
    /// A plugin with every right and no configuration, which fails closed.
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

    /// The same plugin in another worker, where what it uses is counted apart and into the same sums.
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
pub enum Compatibility {
    /// As Envoy 1.40 does.
    #[default]
    Envoy,
    /// As the specification of ABI 0.2.1 says.
    Spec,
}

/// The fate of streams when the VM of a plugin has failed.
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
