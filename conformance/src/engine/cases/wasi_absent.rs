//! WASI preview 1 for what a plugin does not have.

use portcullis::abi::{
    HostcallId::fd_fdstat_set_flags, HostcallId::fd_pread, HostcallId::fd_prestat_dir_name, HostcallId::fd_read,
    HostcallId::fd_readdir, HostcallId::path_create_directory, HostcallId::path_filestat_get,
    HostcallId::path_filestat_set_times, HostcallId::path_link, HostcallId::path_open, HostcallId::path_readlink,
    HostcallId::path_remove_directory, HostcallId::path_rename, HostcallId::path_symlink, HostcallId::path_unlink_file,
    HostcallId::proc_raise, HostcallId::sock_accept, HostcallId::sock_recv, HostcallId::sock_send,
    HostcallId::sock_shutdown,
};

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[Case {
    name: "no_directories_no_sockets_no_signals",
    guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $fd_read (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $fd_pread (i32.const 1) (i32.const 1) (i32.const 1) (i64.const 1) (i32.const 1)))
                (call $report (call $fd_fdstat_set_flags (i32.const 1) (i32.const 1)))
                (call $report (call $fd_prestat_dir_name (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $fd_readdir (i32.const 1) (i32.const 1) (i32.const 1) (i64.const 1)
                    (i32.const 1)))
                (call $report (call $path_open (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i64.const 1) (i64.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $path_create_directory (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $path_filestat_get (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i32.const 1)))
                (call $report (call $path_filestat_set_times (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i64.const 1) (i64.const 1) (i32.const 1)))
                (call $report (call $path_link (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $path_readlink (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i32.const 1)))
                (call $report (call $path_remove_directory (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $path_rename (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i32.const 1)))
                (call $report (call $path_symlink (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1)))
                (call $report (call $path_unlink_file (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $proc_raise (i32.const 1)))
                (call $report (call $sock_accept (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $sock_recv (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)
                    (i32.const 1) (i32.const 1)))
                (call $report (call $sock_send (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1) (i32.const 1)))
                (call $report (call $sock_shutdown (i32.const 1) (i32.const 1))))
        "#,
    hostcalls: &[
        fd_read,
        fd_pread,
        fd_fdstat_set_flags,
        fd_prestat_dir_name,
        fd_readdir,
        path_open,
        path_create_directory,
        path_filestat_get,
        path_filestat_set_times,
        path_link,
        path_readlink,
        path_remove_directory,
        path_rename,
        path_symlink,
        path_unlink_file,
        proc_raise,
        sock_accept,
        sock_recv,
        sock_send,
        sock_shutdown,
    ],
    spec: "host#wasi",
    run: |case, engine| {
        let expected = [
            "52", "52", "52", "52", "54", "44", "58", "58", "58", "58", "58", "58", "58", "58", "58", "52", "58", "58",
            "58", "58",
        ];
        assert_eq!(case.tick(engine), expected);
    },
}];
