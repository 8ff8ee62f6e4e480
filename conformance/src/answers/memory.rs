//! Bytes that the host hands to the guest, and where the guest wants them.

use super::row::Stage::{RequestBody, RequestHeaders, Tick, TickOf010, TickWithFunctions};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(RequestHeaders, "proxy_get_header_map_value 0 'x-id' -4 4", 6, "an_address_that_wraps_around"),
    row(RequestBody, "proxy_get_buffer_bytes 0 0 -1 0 65533", 6, "nowhere_for_the_length"),
    row(RequestHeaders, "proxy_get_header_map_pairs 0 0 65533", 6, "nowhere_for_the_length"),
    row(Tick, "proxy_get_property 'plugin_name' 0 65533", 6, "nowhere_for_the_length"),
    row(Tick, "proxy_get_status 64 0 65533", 6, "nowhere_for_the_length"),
    row(TickOf010, "proxy_get_configuration 0 65533", 6, "nowhere_for_the_length"),
    row(
        Tick,
        "proxy_register_shared_queue 'q#' 64; proxy_dequeue_shared_queue @64 0 65533",
        6,
        "nowhere_for_the_length",
    ),
    row(Tick, "proxy_set_shared_data 'k#' 'v' 0; proxy_get_shared_data 'k#' 0 65533 64", 6, "nowhere_for_the_length"),
    row(TickWithFunctions, "proxy_call_foreign_function 'works' 'x' 64 65533", 6, "nowhere_for_the_length"),
];
