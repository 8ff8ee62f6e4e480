//! The callbacks, one a line, as `abi/1.40.txt` has them; a test compares the two.

use std::ffi::{CStr, c_void};

use super::types::{
    Config, ConfigScheduler, Connection, ConnectionScheduler, EnvoyBytes, EnvoyHeader, OwnBytes, OwnHeader, Stream,
    StreamScheduler, Timing,
};

macro_rules! callbacks {
    ($( $name:ident: fn($($type:ty),*) $(-> $result:ty)?; )*) => {
        /// Envoy's callbacks.
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct Callbacks {
            $( pub(crate) $name: unsafe extern "C" fn($($type),*) $(-> $result)?, )*
        }

        impl Callbacks {
            /// The name and the declaration of each.
            #[cfg(test)]
            pub(crate) const DECLARED: &[(&str, &str)] = &[
                $( (concat!("envoy_dynamic_module_callback_", stringify!($name)), stringify!(fn($($type),*) $(-> $result)?)), )*
            ];

            /// Looks all of them up by their names.
            pub(super) fn load(find: impl Fn(&CStr) -> *mut c_void) -> Result<Self, &'static str> {
                Ok(Self { $( $name: {
                    let name = concat!("envoy_dynamic_module_callback_", stringify!($name), "\0");
                    let found = CStr::from_bytes_with_nul(name.as_bytes()).map(&find).unwrap_or(std::ptr::null_mut());
                    if found.is_null() {
                        return Err(name.trim_end_matches('\0'));
                    }
                    // SAFETY: the function of this name has this type in every Envoy that has it: what a release has keeps its meaning.
                    unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) $(-> $result)?>(found) }
                }, )* })
            }
        }
    };
}

callbacks! {
    log: fn(u32, OwnBytes<'_>);
    log_enabled: fn(u32) -> bool;
    get_concurrency: fn() -> u32;

    http_get_headers_size: fn(Stream, u32) -> usize;
    http_get_headers: fn(Stream, u32, *mut EnvoyHeader) -> bool;
    http_add_header: fn(Stream, u32, OwnBytes<'_>, OwnBytes<'_>) -> bool;
    http_set_header: fn(Stream, u32, OwnBytes<'_>, OwnBytes<'_>) -> bool;

    http_get_body_size: fn(Stream, u32) -> usize;
    http_get_body_chunks: fn(Stream, u32, *mut EnvoyBytes) -> bool;
    http_get_body_chunks_size: fn(Stream, u32) -> usize;
    http_append_body: fn(Stream, u32, OwnBytes<'_>) -> bool;
    http_drain_body: fn(Stream, u32, usize) -> bool;
    http_get_buffer_limit: fn(Stream) -> u64;

    http_send_response: fn(Stream, u32, *const OwnHeader<'_>, usize, OwnBytes<'_>, OwnBytes<'_>);
    http_send_response_headers: fn(Stream, *const OwnHeader<'_>, usize, bool);
    http_send_response_data: fn(Stream, OwnBytes<'_>, bool);

    http_received_buffered_request_body: fn(Stream) -> bool;
    http_received_buffered_response_body: fn(Stream) -> bool;
    http_filter_continue_decoding: fn(Stream);
    http_filter_continue_encoding: fn(Stream);
    http_filter_get_worker_index: fn(Stream) -> u32;
    http_filter_reset_stream: fn(Stream, u32, OwnBytes<'_>);
    http_clear_route_cache: fn(Stream);
    get_most_specific_route_config: fn(Stream) -> *const c_void;

    http_filter_get_attribute_string: fn(Stream, u32, *mut EnvoyBytes) -> bool;
    http_filter_get_attribute_int: fn(Stream, u32, *mut u64) -> bool;
    http_filter_get_attribute_bool: fn(Stream, u32, *mut bool) -> bool;
    http_get_timing_info: fn(Stream, *mut Timing);
    http_get_cluster_host_count: fn(Stream, u32, *mut usize, *mut usize, *mut usize) -> bool;
    http_get_metadata_number: fn(Stream, u32, OwnBytes<'_>, OwnBytes<'_>, *mut f64) -> bool;
    http_get_metadata_string: fn(Stream, u32, OwnBytes<'_>, OwnBytes<'_>, *mut EnvoyBytes) -> bool;
    http_get_metadata_bool: fn(Stream, u32, OwnBytes<'_>, OwnBytes<'_>, *mut bool) -> bool;
    http_get_filter_state_typed: fn(Stream, OwnBytes<'_>, *mut EnvoyBytes) -> bool;
    http_set_filter_state_bytes: fn(Stream, OwnBytes<'_>, OwnBytes<'_>) -> bool;

    http_filter_start_http_stream: fn(Stream, *mut u64, OwnBytes<'_>, *const OwnHeader<'_>, usize, OwnBytes<'_>, bool, u64) -> u32;
    http_filter_reset_http_stream: fn(Stream, u64);
    http_stream_send_data: fn(Stream, u64, OwnBytes<'_>, bool) -> bool;
    http_stream_send_trailers: fn(Stream, u64, *const OwnHeader<'_>, usize) -> bool;
    http_filter_config_start_http_stream: fn(Config, *mut u64, OwnBytes<'_>, *const OwnHeader<'_>, usize, OwnBytes<'_>, bool, u64) -> u32;
    http_filter_config_reset_http_stream: fn(Config, u64);
    http_filter_config_stream_send_data: fn(Config, u64, OwnBytes<'_>, bool) -> bool;
    http_filter_config_stream_send_trailers: fn(Config, u64, *const OwnHeader<'_>, usize) -> bool;

    http_filter_scheduler_new: fn(Stream) -> StreamScheduler;
    http_filter_scheduler_commit: fn(StreamScheduler, u64);
    http_filter_scheduler_delete: fn(StreamScheduler);
    http_filter_config_scheduler_new: fn(Config) -> ConfigScheduler;
    http_filter_config_scheduler_commit: fn(ConfigScheduler, u64);
    http_filter_config_scheduler_delete: fn(ConfigScheduler);

    http_filter_config_define_counter: fn(Config, OwnBytes<'_>, *const OwnBytes<'_>, usize, *mut usize) -> u32;
    http_filter_config_define_gauge: fn(Config, OwnBytes<'_>, *const OwnBytes<'_>, usize, *mut usize) -> u32;
    http_filter_config_define_histogram: fn(Config, OwnBytes<'_>, *const OwnBytes<'_>, usize, *mut usize) -> u32;
    http_filter_config_increment_counter: fn(Config, usize, *const OwnBytes<'_>, usize, u64) -> u32;
    http_filter_config_set_gauge: fn(Config, usize, *const OwnBytes<'_>, usize, u64) -> u32;
    http_filter_config_record_histogram_value: fn(Config, usize, *const OwnBytes<'_>, usize, u64) -> u32;

    network_filter_get_read_buffer_chunks_size: fn(Connection) -> usize;
    network_filter_get_read_buffer_chunks: fn(Connection, *mut EnvoyBytes) -> bool;
    network_filter_get_write_buffer_chunks_size: fn(Connection) -> usize;
    network_filter_get_write_buffer_chunks: fn(Connection, *mut EnvoyBytes) -> bool;
    network_filter_drain_read_buffer: fn(Connection, usize) -> bool;
    network_filter_drain_write_buffer: fn(Connection, usize) -> bool;
    network_filter_append_read_buffer: fn(Connection, OwnBytes<'_>) -> bool;
    network_filter_append_write_buffer: fn(Connection, OwnBytes<'_>) -> bool;
    network_filter_inject_read_data: fn(Connection, OwnBytes<'_>, bool);
    network_filter_inject_write_data: fn(Connection, OwnBytes<'_>, bool);
    network_filter_continue_reading: fn(Connection);
    network_filter_close_with_details: fn(Connection, u32, OwnBytes<'_>);
    network_filter_read_disable: fn(Connection, bool) -> u32;
    network_filter_get_buffer_limit: fn(Connection) -> u32;
    network_filter_get_worker_index: fn(Connection) -> u32;
    network_filter_get_connection_id: fn(Connection) -> u64;
    network_filter_get_attribute_string: fn(Connection, u32, *mut EnvoyBytes) -> bool;
    network_filter_get_attribute_int: fn(Connection, u32, *mut u64) -> bool;
    network_filter_get_attribute_bool: fn(Connection, u32, *mut bool) -> bool;
    network_filter_get_cluster_host_count: fn(Connection, OwnBytes<'_>, u32, *mut usize, *mut usize, *mut usize) -> bool;
    network_set_filter_state_bytes: fn(Connection, OwnBytes<'_>, OwnBytes<'_>) -> bool;
    network_get_filter_state_typed: fn(Connection, OwnBytes<'_>, *mut EnvoyBytes) -> bool;
    network_filter_http_callout: fn(Connection, *mut u64, OwnBytes<'_>, *const OwnHeader<'_>, usize, OwnBytes<'_>, u64) -> u32;
    network_filter_scheduler_new: fn(Connection) -> ConnectionScheduler;
    network_filter_scheduler_commit: fn(ConnectionScheduler, u64);
    network_filter_scheduler_delete: fn(ConnectionScheduler);
}
