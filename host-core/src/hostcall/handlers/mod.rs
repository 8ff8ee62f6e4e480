//! The handlers of hostcalls. They are plain functions over guest memory and the VM's state; they
//! never re-enter the guest.

mod buffer;
mod context;
mod dns;
mod foreign;
mod grpc;
mod header;
mod http;
mod log;
mod metric;
mod property;
mod shared;
mod stream;
mod timer;
mod toolchain;
mod wasi;
mod wasi_absent;
mod wasi_directory;
mod wasi_file;
mod wasi_io;
mod wasi_path;
mod wasi_poll;

pub(super) use buffer::{get_buffer_bytes, get_buffer_status, get_configuration, set_buffer_bytes};
pub(super) use context::{done, get_status, set_effective_context};
pub(super) use dns::envoy_resolve_dns;
pub(super) use foreign::call_foreign_function;
pub(super) use grpc::{grpc_call, grpc_cancel, grpc_close, grpc_send, grpc_stream};
pub(super) use header::{
    add_header_map_value, get_header_map_pairs, get_header_map_size, get_header_map_value, remove_header_map_value,
    replace_header_map_value, set_header_map_pairs,
};
pub(super) use http::http_call;
pub(super) use log::{get_log_level, log};
pub(super) use metric::{define_metric, get_metric, increment_metric, record_metric};
pub(super) use property::{get_property, set_property};
pub(super) use shared::{
    dequeue_shared_queue, enqueue_shared_queue, get_shared_data, register_shared_queue, resolve_shared_queue,
    set_shared_data,
};
pub(super) use stream::{
    clear_route_cache, close_stream, continue_request, continue_response, continue_stream, send_local_response,
};
pub(super) use timer::{get_current_time_nanoseconds, set_tick_period_milliseconds};
pub(super) use toolchain::{abort, date_now, emscripten_notify_memory_growth, pthread_equal, seed, trace};
pub(super) use wasi::{
    args_get, args_sizes_get, clock_res_get, clock_time_get, environ_get, environ_sizes_get, proc_exit, random_get,
    sched_yield,
};
pub(super) use wasi_absent::{proc_raise, sock_accept, sock_recv, sock_send, sock_shutdown};
pub(super) use wasi_directory::{fd_prestat_dir_name, fd_prestat_get, fd_readdir};
pub(super) use wasi_file::{
    fd_advise, fd_allocate, fd_close, fd_datasync, fd_fdstat_get, fd_fdstat_set_flags, fd_fdstat_set_rights,
    fd_filestat_get, fd_filestat_set_size, fd_filestat_set_times, fd_renumber, fd_sync,
};
pub(super) use wasi_io::{fd_pread, fd_pwrite, fd_read, fd_seek, fd_tell, fd_write};
pub(super) use wasi_path::{
    path_create_directory, path_filestat_get, path_filestat_set_times, path_link, path_open, path_readlink,
    path_remove_directory, path_rename, path_symlink, path_unlink_file,
};
pub(super) use wasi_poll::poll_oneoff;
