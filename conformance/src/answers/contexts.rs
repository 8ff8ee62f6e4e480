//! Contexts, and what toolchains import.

use super::row::Stage::{RequestHeaders, Tick, TickOfPending};
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(RequestHeaders, "proxy_set_effective_context 1", 0, "its_root"),
    row(Tick, "proxy_set_effective_context 0", 0, "the_real_one_again"),
    row(Tick, "proxy_set_effective_context 99", 2, "an_unknown_one"),
    row(TickOfPending, "proxy_done", 0, "a_root_that_asked_for_time"),
    row(TickOfPending, "proxy_done; proxy_done", 1, "twice"),
    row(Tick, "proxy_done", 1, "a_root_that_did_not_ask"),
    row(RequestHeaders, "proxy_done", 1, "a_stream"),
    row(Tick, "pthread_equal 1 1", 1, "the_same"),
    row(Tick, "pthread_equal 1 2", 0, "another"),
    row(Tick, "emscripten_notify_memory_growth 0", 0, "nothing"),
];
