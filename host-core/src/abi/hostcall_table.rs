//! The hostcall table.

/// Calls `$emit!` with every hostcall. A hostcall is declared here and nowhere else.
///
/// A row reads: import modules · name, which is also the capability's name · typed signature ·
/// how it answers (an [`Outcome`](crate::abi::outcome::Outcome)) · first and last ABI version · handler, a function of
/// `hostcall/handlers` · what the handler sees, `Memory` or `Numbers` · when a guest may call it, a variant of `When` in
/// `abi/hostcall.rs`.
///
/// Names of parameters have a meaning: one that begins with `ret_` says where the guest wants a result, and one that ends
/// with `_len` is the length of what the parameter before it points to.
#[macro_export]
macro_rules! for_each_hostcall {
    ($emit:ident) => { $emit! {
        // Log, time, status
        ["env"] proxy_log(level: i32, message: i32, message_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => log(Memory, Allocator);
        ["env"] proxy_get_log_level(ret_level: i32) -> $crate::abi::Status, V0_2_1 ..= V0_2_1 => get_log_level(Memory, Plugin);
        ["env"] proxy_get_current_time_nanoseconds(ret_time: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_current_time_nanoseconds(Memory, Plugin);
        ["env"] proxy_set_tick_period_milliseconds(period: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_tick_period_milliseconds(Numbers, Plugin);
        ["env"] proxy_get_configuration(ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_1_0 => get_configuration(Memory, Plugin);
        ["env"] proxy_get_status(ret_code: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_status(Memory, Plugin);
        // Properties
        ["env"] proxy_get_property(path: i32, path_len: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_property(Memory, Plugin);
        ["env"] proxy_set_property(path: i32, path_len: i32, value: i32, value_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_property(Memory, Plugin);
        // Streams
        ["env"] proxy_continue_request() -> $crate::abi::Status, V0_1_0 ..= V0_1_0 => continue_request(Numbers, Plugin);
        ["env"] proxy_continue_response() -> $crate::abi::Status, V0_1_0 ..= V0_1_0 => continue_response(Numbers, Plugin);
        ["env"] proxy_clear_route_cache() -> $crate::abi::Status, V0_1_0 ..= V0_1_0 => clear_route_cache(Numbers, Plugin);
        ["env"] proxy_continue_stream(stream: i32) -> $crate::abi::Status, V0_2_0 ..= V0_2_1 => continue_stream(Numbers, Plugin);
        ["env"] proxy_close_stream(stream: i32) -> $crate::abi::Status, V0_2_0 ..= V0_2_1 => close_stream(Numbers, Plugin);
        ["env"] proxy_send_local_response(code: i32, details: i32, details_len: i32, body: i32, body_len: i32, headers: i32, headers_len: i32, grpc_status: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => send_local_response(Memory, Plugin);
        // Header maps
        ["env"] proxy_get_header_map_value(map: i32, key: i32, key_len: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_header_map_value(Memory, Plugin);
        ["env"] proxy_add_header_map_value(map: i32, key: i32, key_len: i32, value: i32, value_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => add_header_map_value(Memory, Plugin);
        ["env"] proxy_replace_header_map_value(map: i32, key: i32, key_len: i32, value: i32, value_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => replace_header_map_value(Memory, Plugin);
        ["env"] proxy_remove_header_map_value(map: i32, key: i32, key_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => remove_header_map_value(Memory, Plugin);
        ["env"] proxy_get_header_map_pairs(map: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_header_map_pairs(Memory, Plugin);
        ["env"] proxy_set_header_map_pairs(map: i32, pairs: i32, pairs_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_header_map_pairs(Memory, Plugin);
        ["env"] proxy_get_header_map_size(map: i32, ret_size: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_header_map_size(Memory, Plugin);
        // Buffers
        ["env"] proxy_get_buffer_bytes(buffer: i32, start: i32, max_len: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_buffer_bytes(Memory, Plugin);
        ["env"] proxy_get_buffer_status(buffer: i32, ret_len: i32, ret_flags: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_buffer_status(Memory, Plugin);
        ["env"] proxy_set_buffer_bytes(buffer: i32, start: i32, len: i32, data: i32, data_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_buffer_bytes(Memory, Plugin);
        // Callouts
        ["env"] proxy_http_call(upstream: i32, upstream_len: i32, headers: i32, headers_len: i32, body: i32, body_len: i32, trailers: i32, trailers_len: i32, timeout: i32, ret_call: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => http_call(Memory, Plugin);
        ["env"] proxy_grpc_call(upstream: i32, upstream_len: i32, service: i32, service_len: i32, method: i32, method_len: i32, metadata: i32, metadata_len: i32, message: i32, message_len: i32, timeout: i32, ret_call: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => grpc_call(Memory, Plugin);
        ["env"] proxy_grpc_stream(upstream: i32, upstream_len: i32, service: i32, service_len: i32, method: i32, method_len: i32, metadata: i32, metadata_len: i32, ret_stream: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => grpc_stream(Memory, Plugin);
        ["env"] proxy_grpc_send(stream: i32, message: i32, message_len: i32, end_of_stream: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => grpc_send(Memory, Plugin);
        ["env"] proxy_grpc_cancel(id: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => grpc_cancel(Numbers, Plugin);
        ["env"] proxy_grpc_close(id: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => grpc_close(Numbers, Plugin);
        // Shared data and queues
        ["env"] proxy_get_shared_data(key: i32, key_len: i32, ret_ptr: i32, ret_len: i32, ret_cas: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_shared_data(Memory, Plugin);
        ["env"] proxy_set_shared_data(key: i32, key_len: i32, value: i32, value_len: i32, cas: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_shared_data(Memory, Plugin);
        ["env"] proxy_register_shared_queue(name: i32, name_len: i32, ret_queue: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => register_shared_queue(Memory, Plugin);
        ["env"] proxy_resolve_shared_queue(vm_id: i32, vm_id_len: i32, name: i32, name_len: i32, ret_queue: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => resolve_shared_queue(Memory, Plugin);
        ["env"] proxy_enqueue_shared_queue(queue: i32, value: i32, value_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => enqueue_shared_queue(Memory, Plugin);
        ["env"] proxy_dequeue_shared_queue(queue: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => dequeue_shared_queue(Memory, Plugin);
        // Metrics
        ["env"] proxy_define_metric(metric_type: i32, name: i32, name_len: i32, ret_metric: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => define_metric(Memory, Plugin);
        ["env"] proxy_increment_metric(metric: i32, delta: i64) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => increment_metric(Numbers, Plugin);
        ["env"] proxy_record_metric(metric: i32, value: i64) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => record_metric(Numbers, Plugin);
        ["env"] proxy_get_metric(metric: i32, ret_value: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => get_metric(Memory, Plugin);
        // Contexts and foreign functions
        ["env"] proxy_set_effective_context(context: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => set_effective_context(Numbers, Plugin);
        ["env"] proxy_done() -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => done(Numbers, Plugin);
        ["env"] proxy_call_foreign_function(name: i32, name_len: i32, arguments: i32, arguments_len: i32, ret_ptr: i32, ret_len: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => call_foreign_function(Memory, Plugin);
        ["env"] envoy_resolve_dns(address: i32, address_len: i32, ret_token: i32) -> $crate::abi::Status, V0_1_0 ..= V0_2_1 => envoy_resolve_dns(Memory, Plugin);
        // What toolchains import besides
        ["env"] pthread_equal(a: i32, b: i32) -> $crate::abi::outcome::Word, V0_1_0 ..= V0_2_1 => pthread_equal(Memory, Always);
        ["env"] emscripten_notify_memory_growth(memory: i32) -> (), V0_1_0 ..= V0_2_1 => emscripten_notify_memory_growth(Memory, Always);
        ["env"] abort(message: i32, file: i32, line: i32, column: i32) -> (), V0_1_0 ..= V0_2_1 => abort(Memory, Start);
        ["env"] seed() -> $crate::abi::outcome::Float, V0_1_0 ..= V0_2_1 => seed(Memory, Start);
        ["env"] trace(message: i32, count: i32, a: f64, b: f64, c: f64, d: f64, e: f64) -> (), V0_1_0 ..= V0_2_1 => trace(Memory, Start);
        ["Date"] now() -> $crate::abi::outcome::Float, V0_1_0 ..= V0_2_1 => date_now(Memory, Start);
        // WASI preview 1
        ["wasi_unstable", "wasi_snapshot_preview1"] args_get(argv: i32, argv_buf: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => args_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] args_sizes_get(ret_count: i32, ret_size: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => args_sizes_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] environ_get(environ: i32, environ_buf: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => environ_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] environ_sizes_get(ret_count: i32, ret_size: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => environ_sizes_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] clock_res_get(clock: i32, ret_resolution: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => clock_res_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] clock_time_get(clock: i32, precision: i64, ret_time: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => clock_time_get(Memory, Allocator);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_advise(fd: i32, offset: i64, len: i64, advice: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_advise(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_allocate(fd: i32, offset: i64, len: i64) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_allocate(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_close(fd: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_close(Memory, Plugin);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_datasync(fd: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_datasync(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_fdstat_get(fd: i32, ret_stat: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_fdstat_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_fdstat_set_flags(fd: i32, flags: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_fdstat_set_flags(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_fdstat_set_rights(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_filestat_get(fd: i32, ret_stat: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_filestat_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_filestat_set_size(fd: i32, size: i64) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_filestat_set_size(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_filestat_set_times(fd: i32, access: i64, modification: i64, flags: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_filestat_set_times(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_pread(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_prestat_dir_name(fd: i32, path: i32, path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_prestat_dir_name(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_prestat_get(fd: i32, ret_stat: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_prestat_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_pwrite(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_read(fd: i32, iovs: i32, iovs_len: i32, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_read(Memory, Plugin);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_readdir(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_renumber(fd: i32, to: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_renumber(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_seek(fd: i32, offset: i64, whence: i32, ret_offset: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_seek(Memory, Plugin);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_sync(fd: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_sync(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_tell(fd: i32, ret_offset: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_tell(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] fd_write(fd: i32, iovs: i32, iovs_len: i32, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => fd_write(Memory, Allocator);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_create_directory(fd: i32, path: i32, path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_create_directory(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, ret_stat: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_filestat_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_filestat_set_times(fd: i32, flags: i32, path: i32, path_len: i32, access: i64, modification: i64, time_flags: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_filestat_set_times(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_link(old_fd: i32, old_flags: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_link(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_open(fd: i32, dir_flags: i32, path: i32, path_len: i32, open_flags: i32, base: i64, inheriting: i64, fd_flags: i32, ret_fd: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_open(Memory, Plugin);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_readlink(fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_readlink(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_remove_directory(fd: i32, path: i32, path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_remove_directory(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_rename(fd: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_rename(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_symlink(old_path: i32, old_path_len: i32, fd: i32, new_path: i32, new_path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_symlink(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] path_unlink_file(fd: i32, path: i32, path_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => path_unlink_file(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] poll_oneoff(subscriptions: i32, events: i32, count: i32, ret_count: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => poll_oneoff(Memory, Allocator);
        ["wasi_unstable", "wasi_snapshot_preview1"] proc_exit(code: i32) -> (), V0_1_0 ..= V0_2_1 => proc_exit(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] proc_raise(signal: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => proc_raise(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] random_get(buf: i32, buf_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => random_get(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] sched_yield() -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => sched_yield(Numbers, Plugin);
        ["wasi_unstable", "wasi_snapshot_preview1"] sock_accept(fd: i32, flags: i32, ret_fd: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => sock_accept(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] sock_recv(fd: i32, iovs: i32, iovs_len: i32, flags: i32, ret_len: i32, ret_flags: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => sock_recv(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] sock_send(fd: i32, iovs: i32, iovs_len: i32, flags: i32, ret_len: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => sock_send(Memory, Start);
        ["wasi_unstable", "wasi_snapshot_preview1"] sock_shutdown(fd: i32, how: i32) -> $crate::abi::Errno, V0_1_0 ..= V0_2_1 => sock_shutdown(Memory, Start);
    } };
}
