//! Arguments with which a hostcall does what it is for, so that one bad argument among them is the one that counts.

use portcullis::abi::{HostcallId, HostcallId::*};

/// The pairs `:method: GET`, `:path: /` and `:authority: a`.
pub(super) const PAIRS: &[u8] = b"\x03\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0\
    :method\0GET\0:path\0/\0:authority\0a\0";

/// Contents of the address that a parameter names.
pub(super) fn bytes(hostcall: HostcallId, parameter: &str) -> &'static [u8] {
    match (hostcall, parameter) {
        (_, "upstream") => b"auth",
        (_, "headers" | "trailers" | "metadata" | "pairs") => PAIRS,
        (proxy_get_property, "path") => b"plugin_name",
        (proxy_get_header_map_value, "key") => b":path",
        (proxy_call_foreign_function, "name") => b"echo",
        (proxy_log, "message") => b"hello, world",
        (proxy_resolve_shared_queue, "vm_id") => b"",
        (path_symlink | path_link | path_rename, "new_path") => b"new",
        (path_create_directory, "path") => b"made",
        (path_remove_directory, "path") => b"folder",
        (path_readlink, "path") => b"link",
        // A vector of 8 bytes.
        (_, "iovs") => &[0, 6, 0, 0, 8, 0, 0, 0],
        // A string of AssemblyScript: its length stands before it.
        (abort | trace, "message" | "file") => b"a\0b\0",
        (poll_oneoff, "subscriptions") => &[0; 48],
        // A file, or an item of shared data or a queue.
        _ => b"some",
    }
}

/// Returns the argument for a parameter that is no address.
pub(super) fn number(hostcall: HostcallId, parameter: &str, with_directory: bool) -> i64 {
    match (hostcall, parameter) {
        // Not trace, which is where the guest reports.
        (proxy_log, "level") => 2,
        (proxy_send_local_response, "code") => 200,
        (proxy_get_buffer_bytes, "max_len") => 5,
        // The first stream and the first counter of a VM, and the first queue of what VMs share.
        (proxy_grpc_send, "stream") | (proxy_grpc_cancel | proxy_grpc_close, "id") => 6,
        (_, "metric") => 4,
        (proxy_increment_metric, "delta") | (pthread_equal, "b") => 1,
        (_, "queue") => 1,
        (poll_oneoff, "count") => 1,
        // The preopened directory, and the file that was opened in it.
        (fd_prestat_get | fd_prestat_dir_name | fd_readdir, "fd") => 3,
        (_, "fd") if with_directory && !is_of_a_path(hostcall) => 4,
        (path_open, "base") => 2,
        (_, "fd" | "old_fd" | "new_fd") if is_of_a_path(hostcall) => 3,
        (_, "fd") => 1,
        _ => 0,
    }
}

fn is_of_a_path(hostcall: HostcallId) -> bool {
    hostcall.decl().name.starts_with("path_")
}

/// Returns hostcalls and code of the guest before each call, so that there is something to be had. Addresses
/// from 1536 on are its own; at 1600 stands `some`, at 1604 a 0.
pub(super) fn lead(hostcall: HostcallId) -> (&'static [HostcallId], &'static str) {
    match hostcall {
        proxy_get_shared_data => (
            &[proxy_set_shared_data],
            "(drop (call $proxy_set_shared_data
                (i32.const 1600) (i32.const 4) (i32.const 1600) (i32.const 4) (i32.const 0)))",
        ),
        proxy_resolve_shared_queue | proxy_enqueue_shared_queue => (
            &[proxy_register_shared_queue],
            "(drop (call $proxy_register_shared_queue (i32.const 1600) (i32.const 4) (i32.const 1608)))",
        ),
        proxy_dequeue_shared_queue => (
            &[proxy_register_shared_queue, proxy_enqueue_shared_queue],
            "(drop (call $proxy_register_shared_queue (i32.const 1600) (i32.const 4) (i32.const 1608)))
             (drop (call $proxy_enqueue_shared_queue (i32.const 1) (i32.const 1600) (i32.const 4)))",
        ),
        proxy_get_metric | proxy_increment_metric | proxy_record_metric => (
            &[proxy_define_metric],
            "(drop (call $proxy_define_metric (i32.const 0) (i32.const 1600) (i32.const 4) (i32.const 1608)))",
        ),
        proxy_grpc_send | proxy_grpc_cancel | proxy_grpc_close => (
            &[proxy_grpc_stream],
            "(drop (call $proxy_grpc_stream (i32.const 1612) (i32.const 4) (i32.const 1600) (i32.const 4)
                (i32.const 1600) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 1608)))",
        ),
        _ => (&[], ""),
    }
}
