//! Streams.

use super::row::Stage::{Downstream, Log, RequestHeaders, RequestHeadersOf010, Tick, TickOf010};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(RequestHeaders, "proxy_continue_stream 0", 0, "nothing_paused"),
    row(RequestHeaders, "proxy_continue_stream 1", 0, "no_response_yet"),
    row(Tick, "proxy_continue_stream 0", 0, "no_stream"),
    row(Tick, "proxy_continue_stream 2", 0, "no_tcp_stream"),
    row(Downstream, "proxy_continue_stream 3", 0, "the_upstream_half_of_tcp"),
    row(RequestHeaders, "proxy_continue_stream 3", 12, "the_upstream_half_of_http"),
    row(Tick, "proxy_continue_stream 4", 2, "a_type_above_the_last"),
    row(Tick, "proxy_continue_stream -1", 2, "a_negative_type"),
    row(RequestHeaders, "proxy_close_stream 0", 0, "a_request"),
    row(Tick, "proxy_close_stream 3", 0, "no_stream"),
    row(Tick, "proxy_close_stream 4", 2, "a_type_above_the_last"),
    row(RequestHeadersOf010, "proxy_continue_request", 0, "nothing_paused"),
    row(RequestHeadersOf010, "proxy_continue_response", 0, "no_response_yet"),
    row(RequestHeadersOf010, "proxy_clear_route_cache", 0, "a_request"),
    row(TickOf010, "proxy_clear_route_cache", 0, "no_stream"),
    row(RequestHeaders, "proxy_send_local_response 200 'd' 'b' '' -1", 0, "a_response"),
    row(
        RequestHeaders,
        "proxy_send_local_response 200 '' '' '' -1; proxy_send_local_response 404 '' '' '' -1",
        0,
        "the_first_wins",
    ),
    row(Tick, "proxy_send_local_response 200 '' '' '' 99", 0, "no_stream"),
    row(Log, "proxy_send_local_response 200 '' '' '' -1", 0, "after_the_end"),
    row(Downstream, "proxy_send_local_response 200 '' '' '' -1", 0, "no_http"),
    row(RequestHeaders, "proxy_send_local_response 99 '' '' '' -1", 0, "a_status_that_is_none"),
    row(RequestHeaders, "proxy_send_local_response 199 '' '' '' -1", 0, "a_status_of_no_response"),
    row(RequestHeaders, "proxy_send_local_response 200 '' '' 'x' -1", 2, "malformed_headers"),
    row(RequestHeaders, "proxy_send_local_response 200 -16 16 '' '' -1", 6, "details_beyond_memory"),
    row(RequestHeaders, "proxy_send_local_response 200 '' -16 16 '' -1", 6, "a_body_beyond_memory"),
    row(RequestHeaders, "proxy_send_local_response 200 '' '' -16 16 -1", 6, "headers_beyond_memory"),
];
