//! Log, time, ticks, status, configuration.

use super::row::Stage::{CallResponse, RequestHeaders, Tick, TickOf010};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(Tick, "proxy_log 2 'x'", 0, "any_bytes"),
    row(Tick, "proxy_log 5 ''", 0, "the_highest_level"),
    row(Tick, "proxy_log 6 'x'", 2, "a_level_above_critical"),
    row(Tick, "proxy_log -1 'x'", 2, "a_negative_level"),
    row(Tick, "proxy_log 6 -16 16", 2, "the_level_is_looked_at_first"),
    row(Tick, "proxy_log 2 -16 16", 6, "a_message_beyond_memory"),
    row(Tick, "proxy_log 2 -16 0", 6, "a_pointer_beyond_memory_to_nothing"),
    row(Tick, "proxy_log 2 0 0", 0, "a_null_pointer_to_nothing"),
    row(Tick, "proxy_log 2 65536 0", 0, "the_end_of_memory_and_nothing"),
    row(Tick, "proxy_get_log_level 64", 0, "a_level"),
    row(Tick, "proxy_get_log_level 0", 0, "address_0_is_memory"),
    row(Tick, "proxy_get_log_level 65533", 6, "a_word_across_the_end"),
    row(Tick, "proxy_get_current_time_nanoseconds 65", 0, "no_alignment"),
    row(Tick, "proxy_get_current_time_nanoseconds 65529", 6, "eight_bytes_across_the_end"),
    row(Tick, "proxy_set_tick_period_milliseconds 0", 0, "ticks_end"),
    row(Tick, "proxy_set_tick_period_milliseconds -1", 0, "the_longest_period"),
    row(RequestHeaders, "proxy_set_tick_period_milliseconds 10", 0, "from_a_stream_for_its_root"),
    row(Tick, "proxy_get_status 64 0 4", 0, "before_anything_happened"),
    row(CallResponse, "proxy_get_status 64 0 4", 0, "in_an_answer"),
    row(Tick, "proxy_get_status 65533 0 4", 6, "nowhere_for_the_code"),
    row(Tick, "proxy_get_status 64 65533 4", 6, "nowhere_for_the_message"),
    row(TickOf010, "proxy_get_configuration 0 4", 0, "the_vms_outside_of_configure"),
    row(TickOf010, "proxy_get_configuration 65533 4", 6, "nowhere_for_the_address"),
];
