//! WASI without files.

use super::row::Stage::Tick;
use super::row::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(Tick, "args_sizes_get 64 68", 0, "none"),
    row(Tick, "args_sizes_get 65533 68", 21, "nowhere_for_the_count"),
    row(Tick, "args_get 0 0", 0, "none"),
    row(Tick, "environ_sizes_get 64 68", 0, "one"),
    row(Tick, "environ_sizes_get 64 65533", 21, "nowhere_for_the_size"),
    row(Tick, "environ_get 64 128", 0, "one"),
    row(Tick, "environ_get 65533 128", 21, "nowhere_for_the_pointer"),
    row(Tick, "environ_get 64 65535", 21, "nowhere_for_the_text"),
    row(Tick, "clock_res_get 0 64", 0, "the_wall_clock"),
    row(Tick, "clock_res_get 1 64", 0, "the_monotonic_clock"),
    row(Tick, "clock_res_get 2 64", 58, "a_cpu_clock"),
    row(Tick, "clock_res_get 0 65529", 21, "nowhere_for_the_resolution"),
    row(Tick, "clock_time_get 0 0 64", 0, "the_wall_clock"),
    row(Tick, "clock_time_get 1 0 64", 0, "the_monotonic_clock"),
    row(Tick, "clock_time_get 3 0 64", 58, "a_cpu_clock"),
    row(Tick, "clock_time_get 0 0 65529", 21, "nowhere_for_the_time"),
    row(Tick, "random_get 64 8", 0, "bytes"),
    row(Tick, "random_get -16 0", 0, "none_wherever"),
    row(Tick, "random_get 0 65537", 28, "too_many"),
    row(Tick, "random_get 65530 8", 21, "nowhere_for_them"),
    row(Tick, "sched_yield", 0, "nothing_waits"),
    row(Tick, "poll_oneoff 64 256 1 512", 0, "a_clock"),
    row(Tick, "poll_oneoff 64 256 0 512", 28, "nothing"),
    row(Tick, "poll_oneoff 64 256 1025 512", 28, "too_many"),
    row(Tick, "poll_oneoff 65530 256 1 512", 21, "a_subscription_beyond_memory"),
    row(Tick, "poll_oneoff 64 65530 1 512", 21, "nowhere_for_the_event"),
    row(Tick, "poll_oneoff 64 256 1 65533", 21, "nowhere_for_the_count"),
    row(Tick, "proc_raise 9", 52, "no_signals"),
    row(Tick, "sock_accept 3 0 64", 58, "no_sockets"),
    row(Tick, "sock_recv 3 64 1 0 128 132", 58, "no_sockets"),
    row(Tick, "sock_send 3 64 1 0 128", 58, "no_sockets"),
    row(Tick, "sock_shutdown 3 1", 58, "no_sockets"),
];
