//! Properties and foreign functions.

use super::row::Stage::{RequestHeaders, Tick, TickWithFunctions};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(Tick, "proxy_get_property 'plugin_name' 0 4", 0, "of_the_plugin"),
    row(Tick, "proxy_get_property 'plugin_root_id~' 0 4", 0, "a_zero_byte_behind_it"),
    row(RequestHeaders, "proxy_get_property 'request~path' 0 4", 0, "of_the_request"),
    row(RequestHeaders, "proxy_get_property 'response~code' 0 4", 1, "not_to_be_had_yet"),
    row(RequestHeaders, "proxy_get_property 'nope' 0 4", 1, "unknown"),
    row(Tick, "proxy_get_property 'request~path' 0 4", 1, "no_stream"),
    row(RequestHeaders, "proxy_get_property '' 0 4", 3, "an_empty_path"),
    row(RequestHeaders, "proxy_get_property 'request' 0 4", 3, "an_object_without_a_value"),
    row(RequestHeaders, "proxy_get_property -16 16 0 4", 6, "a_path_beyond_memory"),
    row(RequestHeaders, "proxy_get_property 'plugin_name' 65533 4", 6, "nowhere_for_the_address"),
    row(RequestHeaders, "proxy_set_property 'a' 'b'", 0, "any_name"),
    row(
        RequestHeaders,
        "proxy_set_property 'a~b' 'c'; proxy_get_property 'a~b' 0 4",
        0,
        "what_was_set_by_several_segments",
    ),
    row(Tick, "proxy_set_property 'a' 'b'", 1, "no_stream"),
    row(
        RequestHeaders,
        "proxy_call_foreign_function 'declare' '' 0 0; proxy_set_property 'big' 0 65536; proxy_set_property 'big1' 0 65536; proxy_set_property 'big2' 0 65536; proxy_set_property 'big3' 0 65536",
        2,
        "no_room_left",
    ),
    row(RequestHeaders, "proxy_set_property -16 16 'b'", 6, "a_path_beyond_memory"),
    row(RequestHeaders, "proxy_set_property 'a' -16 16", 6, "a_value_beyond_memory"),
    row(TickWithFunctions, "proxy_call_foreign_function 'works' 'x' 0 4", 0, "what_it_returned"),
    row(TickWithFunctions, "proxy_call_foreign_function 'works' 'x' 0 0", 0, "null_pointers_want_nothing"),
    row(Tick, "proxy_call_foreign_function 'nope' 'x' 0 4", 1, "an_unknown_name"),
    row(TickWithFunctions, "proxy_call_foreign_function 'fails' '' 0 4", 2, "what_the_function_returned"),
    row(TickWithFunctions, "proxy_call_foreign_function 'cannot' '' 0 4", 3, "what_the_function_returned"),
    row(TickWithFunctions, "proxy_call_foreign_function 'breaks' '' 0 4", 10, "what_the_function_returned"),
    row(Tick, "proxy_call_foreign_function -16 16 '' 64 68", 6, "a_name_beyond_memory"),
    row(TickWithFunctions, "proxy_call_foreign_function 'works' -16 16 64 68", 6, "arguments_beyond_memory"),
    row(TickWithFunctions, "proxy_call_foreign_function 'works' 'x' 65533 68", 6, "nowhere_for_the_address"),
];
