//! Quotas of per-stream VMs, and the abilities that only a long-lived VM has.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::abi::MetricType;
use crate::resources::in_flight::InFlight;
use crate::vm::usage::CpuBudget;

/// Quotas shared by all VMs of one snapshot, so that limits apply per plugin and not per stream.
#[derive(Debug, Default)]
pub(crate) struct SharedQuotas {
    pub(super) calls: Arc<InFlight>,
    pub(super) grpc: Arc<InFlight>,
    pub(super) lookups: Arc<InFlight>,
    metrics: Mutex<HashSet<(u8, String)>>,
    pub(crate) cpu_budget: CpuBudget,
}

impl SharedQuotas {
    /// Returns whether a plugin may define this metric, if it may define so many in all of its VMs.
    pub(crate) fn defines(&self, metric_type: MetricType, name: &str, most: usize) -> bool {
        let mut known = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        let metric = (metric_type as u8, name.to_owned());
        known.contains(&metric) || known.len() < most && known.insert(metric)
    }
}

/// Something that only a VM can do that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NeedsLongLivedVm {
    /// Ticks: `proxy_set_tick_period_milliseconds`.
    Ticks,
    /// Being told of the items of a queue: `proxy_register_shared_queue`.
    Queue,
    /// An HTTP callout from a start function or `proxy_on_configure`.
    HttpCall,
    /// A gRPC call or stream from there.
    Grpc,
    /// A lookup of a name from there.
    Lookup,
    /// A file that was opened there and is open still, or a preopened directory that was closed or has lost rights.
    File,
    /// Another plugin in the same VM, or a stream.
    Company,
}

impl fmt::Display for NeedsLongLivedVm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticks => "it asks for ticks (proxy_set_tick_period_milliseconds)",
            Self::Queue => "it registers a queue (proxy_register_shared_queue), of whose items its root must be told",
            Self::HttpCall => "it makes an HTTP callout before there is a stream (proxy_http_call)",
            Self::Grpc => "it makes a gRPC callout before there is a stream",
            Self::Lookup => "it looks up a name before there is a stream (envoy_resolve_dns)",
            Self::File => {
                "it leaves a file open, or a preopened directory closed or with fewer rights, before there is a stream (path_open, fd_close, fd_fdstat_set_rights)"
            }
            Self::Company => "its VM has other contexts than its root",
        })
    }
}

impl std::error::Error for NeedsLongLivedVm {}
