//! Metrics.

use super::row::Stage::{Tick, TickWithoutRoom};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(Tick, "proxy_define_metric 0 'c' 64", 0, "a_counter"),
    row(Tick, "proxy_define_metric 2 'h' 64; proxy_define_metric 2 'h' 68", 0, "the_same_again"),
    row(Tick, "proxy_define_metric 3 'x' 64", 2, "a_type_above_the_last"),
    row(Tick, "proxy_define_metric 0 '\\ff' 64", 2, "a_name_that_is_no_text"),
    row(TickWithoutRoom, "proxy_define_metric 0 'c' 64", 10, "too_many"),
    row(Tick, "proxy_define_metric 3 -16 16 64", 6, "memory_before_the_type"),
    row(Tick, "proxy_define_metric 0 'c' 65533", 6, "nowhere_for_the_id"),
    row(Tick, "proxy_define_metric 0 'c' 64; proxy_increment_metric @64 1", 0, "a_counter"),
    row(Tick, "proxy_define_metric 1 'g' 64; proxy_increment_metric @64 -1", 0, "a_gauge_goes_down"),
    row(Tick, "proxy_define_metric 0 'c' 64; proxy_increment_metric @64 0", 2, "a_counter_by_0"),
    row(Tick, "proxy_define_metric 0 'c' 64; proxy_increment_metric @64 -1", 2, "a_counter_does_not_go_down"),
    row(Tick, "proxy_define_metric 2 'h' 64; proxy_increment_metric @64 1", 2, "a_histogram"),
    row(Tick, "proxy_increment_metric 7 1", 2, "no_id_of_a_type"),
    row(Tick, "proxy_increment_metric 400000004 1", 1, "an_unknown_counter"),
    row(Tick, "proxy_increment_metric 0 1", 1, "id_0"),
    row(Tick, "proxy_define_metric 0 'c' 64; proxy_record_metric @64 5", 0, "a_counter_is_added_to"),
    row(Tick, "proxy_define_metric 1 'g' 64; proxy_record_metric @64 5", 0, "a_gauge_is_set"),
    row(Tick, "proxy_define_metric 2 'h' 64; proxy_record_metric @64 5", 0, "a_histogram"),
    row(Tick, "proxy_record_metric 400000005 1", 1, "an_unknown_gauge"),
    row(Tick, "proxy_record_metric 7 1", 1, "no_id_of_a_type"),
    row(Tick, "proxy_define_metric 1 'g' 64; proxy_get_metric @64 68", 0, "a_gauge"),
    row(Tick, "proxy_get_metric 400000004 68", 1, "an_unknown_counter"),
    row(Tick, "proxy_define_metric 2 'h' 64; proxy_get_metric @64 68", 2, "a_histogram"),
    row(Tick, "proxy_get_metric 400000006 68", 2, "an_unknown_histogram"),
    row(Tick, "proxy_get_metric 7 68", 2, "no_id_of_a_type"),
    row(Tick, "proxy_define_metric 0 'c' 64; proxy_get_metric @64 65529", 6, "nowhere_for_the_value"),
];
