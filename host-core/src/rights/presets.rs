//! Sets of rights for the usual kinds of plugins, each of which holds those before it.

use std::fmt;

use super::Capabilities;

/// A set of rights with a name.
///
/// A right that a preset lacks is denied when it is used: a plugin may import more than its preset holds, and plugins
/// made with the Rust SDK always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// The rights that every plugin needs to start, live and end, and those of an access log or a counter: to read headers and
    /// properties when a stream is over, log, count, tick. It cannot hold or change traffic.
    Logging,
    /// And to see and change headers and trailers, to hold a stream, to answer it or to end it.
    Headers,
    /// And to see and change the bodies of HTTP streams, and TCP streams.
    Bodies,
    /// And to talk with others: HTTP and gRPC callouts, DNS, data and queues that VMs share.
    Callouts,
    /// Every right, also those of later versions: foreign functions, statistics and the rest of WASI.
    All,
}

impl Preset {
    /// Every preset, each contained in the next.
    pub const ALL: &'static [Self] = &[Self::Logging, Self::Headers, Self::Bodies, Self::Callouts, Self::All];

    /// Returns the preset of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|preset| preset.name() == name)
    }

    /// Returns the name of every preset, in the order of [`Self::ALL`].
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().copied().map(Self::name)
    }

    /// Returns the name in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logging => "logging",
            Self::Headers => "headers",
            Self::Bodies => "bodies",
            Self::Callouts => "callouts",
            Self::All => "all",
        }
    }

    /// Describes in a few words what a plugin with these rights can do beyond the preset before.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Logging => "starts, logs, counts, ticks; reads headers and properties at the end of a stream",
            Self::Headers => "sees and changes headers and trailers; holds, answers and ends streams",
            Self::Bodies => "sees and changes bodies and TCP streams",
            Self::Callouts => "makes HTTP and gRPC callouts and DNS lookups; shares data and queues",
            Self::All => "everything, also what later versions add",
        }
    }

    /// Returns the rights.
    pub fn capabilities(self) -> Capabilities {
        if self == Self::All {
            return Capabilities::ALL;
        }
        let held = Self::ALL.iter().copied().filter(|preset| *preset <= self);
        held.flat_map(Self::added).fold(Capabilities::NONE, |set, name| set.or(Capabilities::named(name)))
    }

    /// Returns the capabilities that it holds and the preset before lacks; none for [`Self::All`], which is no list.
    pub const fn added(self) -> &'static [&'static str] {
        match self {
            Self::Logging => LOGGING,
            Self::Headers => HEADERS,
            Self::Bodies => BODIES,
            Self::Callouts => CALLOUTS,
            Self::All => &[],
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// To start, live and end.
const LOGGING: &[&str] = &[
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_configuration",
    "proxy_get_status",
    "proxy_get_property",
    "proxy_get_header_map_value",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    // How a plugin reads its configuration. Bodies are in reach only in the callbacks that bring them.
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    // SDKs choose the context whose callback it is.
    "proxy_set_effective_context",
    "proxy_done",
    // AssemblyScript.
    "abort",
    "seed",
    "trace",
    "now",
    // What the runtimes of Go, Rust, C and C++ call to start, to print, to sleep and to give up; there are no files.
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_validate_configuration",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_delete",
];

/// To see and change headers and trailers, and to decide about a stream.
const HEADERS: &[&str] = &[
    "proxy_set_property",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_clear_route_cache",
    "proxy_continue_stream",
    "proxy_close_stream",
    "proxy_send_local_response",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_set_header_map_pairs",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_request_metadata",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_response_metadata",
];

/// To see and change what streams carry.
const BODIES: &[&str] = &[
    "proxy_set_buffer_bytes",
    "proxy_on_new_connection",
    "proxy_on_downstream_data",
    "proxy_on_upstream_data",
    "proxy_on_downstream_connection_close",
    "proxy_on_upstream_connection_close",
    "proxy_on_request_body",
    "proxy_on_response_body",
];

/// To talk with upstreams, resolvers and other VMs.
const CALLOUTS: &[&str] = &[
    "proxy_http_call",
    "proxy_grpc_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_enqueue_shared_queue",
    "proxy_dequeue_shared_queue",
    "envoy_resolve_dns",
    "proxy_on_queue_ready",
    "proxy_on_http_call_response",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_grpc_close",
    "envoy_on_resolve_dns",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_is_contained_in_the_next_which_holds_more() {
        for pair in Preset::ALL.windows(2) {
            let (smaller, larger) = (pair[0].capabilities(), pair[1].capabilities());
            assert_eq!(smaller.and(larger), smaller, "{} in {}", pair[0], pair[1]);
            assert_ne!(smaller, larger, "{} and {}", pair[0], pair[1]);
        }
    }

    #[test]
    fn every_name_is_a_capability_and_added_once() {
        let added: Vec<_> = Preset::ALL.iter().copied().flat_map(Preset::added).copied().collect();
        let known = Capabilities::from_names(added.iter().copied());
        assert_eq!(known, Ok(Preset::Callouts.capabilities()));
        assert_eq!(Preset::Callouts.capabilities().held().count(), added.len());
    }

    #[test]
    fn names_lead_back_to_presets() {
        assert!(Preset::names().eq(["logging", "headers", "bodies", "callouts", "all"]));
        for &preset in Preset::ALL {
            assert_eq!(Preset::from_name(preset.name()), Some(preset));
        }
        assert_eq!(Preset::from_name("header"), None);
    }

    #[test]
    fn all_is_what_a_plugin_without_rights_of_its_own_has() {
        assert_eq!(Preset::All.capabilities(), Capabilities::ALL);
    }

    #[test]
    fn each_name_stands_in_the_order_of_the_tables() {
        for &preset in Preset::ALL {
            let place = |name: &str| Capabilities::names().position(|known| known == name);
            assert!(preset.added().is_sorted_by_key(|name| place(name)), "{preset}");
        }
    }
}
