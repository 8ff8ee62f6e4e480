//! WASI preview 1 files, of which there are two: standard output and standard error.

use portcullis::abi::LogLevel;
use portcullis::abi::{
    HostcallId::fd_advise, HostcallId::fd_allocate, HostcallId::fd_close, HostcallId::fd_datasync,
    HostcallId::fd_fdstat_get, HostcallId::fd_fdstat_set_rights, HostcallId::fd_filestat_get,
    HostcallId::fd_filestat_set_size, HostcallId::fd_filestat_set_times, HostcallId::fd_prestat_get,
    HostcallId::fd_pwrite, HostcallId::fd_renumber, HostcallId::fd_seek, HostcallId::fd_sync, HostcallId::fd_tell,
    HostcallId::fd_write, HostcallId::path_open,
};

use crate::engine::case::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_write_is_a_log_line",
        guest: r#"
            (data (i32.const 1024) "onetwo\n\n")
            (data (i32.const 1040) "\00\04\00\00\03\00\00\00\03\04\00\00\04\00\00\00\07\04\00\00\01\00\00\00\f0\ff\00\00\11\00\00\00")
            (func $write (param $fd i32) (param $iovs i32) (param $count i32)
                (i32.store (i32.const 1100) (i32.const -1))
                (call $report (call $fd_write (local.get $fd) (local.get $iovs) (local.get $count) (i32.const 1100)))
                (call $report (i32.load (i32.const 1100))))
            (func (export "proxy_on_tick") (param i32)
                (call $write (i32.const 1) (i32.const 1040) (i32.const 2))
                (call $write (i32.const 2) (i32.const 1040) (i32.const 3))
                ;; An empty line, nothing, another descriptor, a bad vector, too many vectors.
                (call $write (i32.const 1) (i32.const 1056) (i32.const 1))
                (call $write (i32.const 1) (i32.const 0) (i32.const 0))
                (call $write (i32.const 3) (i32.const 1040) (i32.const 1))
                (call $write (i32.const 1) (i32.const 1040) (i32.const 4))
                (call $write (i32.const 1) (i32.const 1040) (i32.const 0x20000000))
                (call $report (call $fd_pwrite
                    (i32.const 1) (i32.const 1040) (i32.const 1) (i64.const 5) (i32.const 1100))))
        "#,
        hostcalls: &[fd_write, fd_pwrite],
        spec: "wasi#fd_write",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert_eq!(guest.tick(), Ok(()));
            let (lines, numbers): (Vec<_>, Vec<_>) =
                guest.lines().into_iter().partition(|line| line.level != LogLevel::Trace);
            let lines: Vec<_> = lines.iter().map(|line| (line.level, line.text.as_str())).collect();
            let expected = [(LogLevel::Info, "onetwo"), (LogLevel::Error, r"onetwo\n"), (LogLevel::Info, "one")];
            assert_eq!(lines, expected);
            let numbers: Vec<_> = numbers.iter().map(|line| line.text.as_str()).collect();
            let expected = ["0", "7", "0", "8", "0", "1", "0", "0", "8", "-1", "21", "-1", "21", "-1", "0"];
            assert_eq!(numbers, expected);
        },
    },
    Case {
        name: "pieces_of_a_line_are_one_record",
        guest: r#"
            (data (i32.const 1024) "one, two\nthree")
            (func $write (param $fd i32) (param $from i32) (param $len i32)
                (i32.store (i32.const 1040) (local.get $from))
                (i32.store (i32.const 1044) (local.get $len))
                (drop (call $fd_write (local.get $fd) (i32.const 1040) (i32.const 1) (i32.const 1100))))
            (func (export "proxy_on_tick") (param i32)
                (call $write (i32.const 2) (i32.const 1024) (i32.const 3))
                (call $write (i32.const 1) (i32.const 1024) (i32.const 3))
                (call $write (i32.const 2) (i32.const 1027) (i32.const 8))
                (call $dump (i32.const 1024) (i32.const 1))
                (call $write (i32.const 2) (i32.const 1035) (i32.const 3))
                unreachable)
        "#,
        hostcalls: &[fd_write],
        spec: "portcullis#standard output",
        run: |case, engine| {
            let mut guest = case.start(engine);
            assert!(guest.tick().is_err());
            let lines = guest.lines();
            let lines: Vec<_> = lines.iter().map(|line| (line.level, line.text.as_str(), line.from_host)).collect();
            let failed = lines.last().filter(|(level, _, from_host)| *from_host && *level == LogLevel::Error);
            assert!(failed.is_some(), "the failure comes last: {lines:?}");
            // What is not ended comes before what is logged after it.
            let expected = [
                (LogLevel::Error, "one, two", false),
                (LogLevel::Info, "one", false),
                (LogLevel::Error, "th", false),
                (LogLevel::Debug, "o", false),
                (LogLevel::Error, "ree", false),
            ];
            assert_eq!(lines[..5], expected);
        },
    },
    Case {
        name: "standard_output_is_for_writing",
        guest: r#"
            (func (export "proxy_on_tick") (param i32)
                (memory.fill (i32.const 1024) (i32.const 0xff) (i32.const 25))
                (call $report (call $fd_fdstat_get (i32.const 1) (i32.const 1024)))
                (call $dump (i32.const 1024) (i32.const 25))
                (call $report (call $fd_fdstat_get (i32.const 0) (i32.const 1024)))
                (call $report (call $fd_prestat_get (i32.const 3) (i32.const 1024)))
                (call $report (call $fd_filestat_get (i32.const 1) (i32.const 1024)))
                (call $report (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 1024))))
        "#,
        hostcalls: &[fd_fdstat_get, fd_prestat_get, fd_filestat_get, path_open],
        spec: "host#wasi fd_fdstat_get",
        run: |case, engine| {
            let stat = b"\0\0\0\0\0\0\0\0@\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff".escape_ascii().to_string();
            assert_eq!(case.tick(engine), ["0", &stat, "8", "8", "8", "44"]);
        },
    },
    Case {
        name: "what_has_no_effect_is_accepted_for_open_descriptors",
        guest: r#"
            (func $try (param i32)
                (i64.store (i32.const 1024) (i64.const -1))
                (call $report (call $fd_tell (local.get 0) (i32.const 1024)))
                (call $report64 (i64.load (i32.const 1024)))
                (call $report (call $fd_seek (local.get 0) (i64.const 5) (i32.const 0) (i32.const 1024)))
                (call $report (call $fd_close (local.get 0)))
                (call $report (call $fd_sync (local.get 0)))
                (call $report (call $fd_datasync (local.get 0)))
                (call $report (call $fd_allocate (local.get 0) (i64.const 0) (i64.const 1)))
                (call $report (call $fd_fdstat_set_rights (local.get 0) (i64.const 0) (i64.const 0)))
                (call $report (call $fd_filestat_set_size (local.get 0) (i64.const 0)))
                (call $report (call $fd_filestat_set_times (local.get 0) (i64.const 0) (i64.const 0) (i32.const 0)))
                (call $report (call $fd_advise (local.get 0) (i64.const 0) (i64.const 0) (i32.const 0)))
                (call $report (call $fd_renumber (local.get 0) (i32.const 1))))
            (func (export "proxy_on_tick") (param i32)
                (call $try (i32.const 2))
                (call $try (i32.const 3)))
        "#,
        hostcalls: &[
            fd_tell,
            fd_seek,
            fd_close,
            fd_sync,
            fd_datasync,
            fd_allocate,
            fd_fdstat_set_rights,
            fd_filestat_set_size,
            fd_filestat_set_times,
            fd_advise,
            fd_renumber,
        ],
        spec: "portcullis#wasi files",
        run: |case, engine| {
            let open = ["0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "0", "58"];
            let closed = ["8", "-1", "8", "8", "8", "8", "8", "8", "8", "8", "0", "8"];
            assert_eq!(case.tick(engine), [open, closed].concat());
        },
    },
];
