//! WASI preview 1: files below preopened directories.

use portcullis::abi::{
    HostcallId::fd_close, HostcallId::fd_fdstat_set_flags, HostcallId::fd_filestat_get,
    HostcallId::fd_filestat_set_size, HostcallId::fd_filestat_set_times, HostcallId::fd_prestat_dir_name,
    HostcallId::fd_prestat_get, HostcallId::fd_read, HostcallId::fd_readdir, HostcallId::fd_seek, HostcallId::fd_tell,
    HostcallId::fd_write, HostcallId::path_create_directory, HostcallId::path_filestat_get, HostcallId::path_open,
    HostcallId::path_readlink, HostcallId::path_remove_directory, HostcallId::path_rename, HostcallId::path_symlink,
    HostcallId::path_unlink_file,
};
use portcullis::engine::AnyEngine;
use portcullis::model::Limits;

use crate::engine::case::Case;
use crate::engine::folder::Folder;
use crate::engine::running::Setup;

/// A guest with helpers. `$open` reports the errno and gives the descriptor, -1 if there is none; `$get`
/// reports the errno and dumps up to 32 bytes; `$put` reports the errno.
macro_rules! guest {
    ($code:literal) => {
        concat!(
            r#"
            (func $open (param $fd i32) (param $path i32) (param $len i32) (param $flags i32) (param $rights i64)
                (result i32)
                (i32.store (i32.const 2000) (i32.const -1))
                (call $report (call $path_open (local.get $fd) (i32.const 1) (local.get $path) (local.get $len)
                    (local.get $flags) (local.get $rights) (i64.const 0xfffffff) (i32.const 0) (i32.const 2000)))
                (i32.load (i32.const 2000)))
            (func $vector (param $at i32) (param $len i32)
                (i32.store (i32.const 2004) (local.get $at))
                (i32.store (i32.const 2008) (local.get $len))
                (i32.store (i32.const 2012) (i32.const 0)))
            (func $get (param $fd i32)
                (call $vector (i32.const 3000) (i32.const 32))
                (call $report (call $fd_read (local.get $fd) (i32.const 2004) (i32.const 1) (i32.const 2012)))
                (call $dump (i32.const 3000) (i32.load (i32.const 2012))))
            (func $put (param $fd i32) (param $at i32) (param $len i32)
                (call $vector (local.get $at) (local.get $len))
                (call $report (call $fd_write (local.get $fd) (i32.const 2004) (i32.const 1) (i32.const 2012))))
            "#,
            $code
        )
    };
}

/// Returns the reports of a guest that ticks once, with one directory.
fn tick(case: &Case, engine: &dyn AnyEngine, folder: &Folder, name: &str, write: bool) -> Vec<String> {
    let preopens = vec![folder.preopen(name, write)];
    let mut guest = case.start_with(engine, Setup { preopens, ..Setup::default() });
    assert_eq!(guest.tick(), Ok(()));
    guest.seen()
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "a_file_is_found_and_read",
        guest: guest!(
            r#"
            (data (i32.const 1024) "dir/hellonone")
            (func (export "proxy_on_tick") (param i32)
                (local $fd i32)
                (call $report (call $fd_prestat_get (i32.const 3) (i32.const 2100)))
                (call $report (i32.load (i32.const 2104)))
                (call $report (call $fd_prestat_dir_name (i32.const 3) (i32.const 2100) (i32.const 5)))
                (call $dump (i32.const 2100) (i32.const 5))
                (call $report (call $fd_prestat_get (i32.const 4) (i32.const 2100)))
                (drop (call $open (i32.const 3) (i32.const 1033) (i32.const 4) (i32.const 0) (i64.const 2)))
                (local.set $fd (call $open
                    (i32.const 3) (i32.const 1024) (i32.const 9) (i32.const 0) (i64.const 0x26)))
                (call $report (local.get $fd))
                (call $get (local.get $fd))
                (call $report (call $fd_seek (local.get $fd) (i64.const -5) (i32.const 2) (i32.const 2100)))
                (call $report64 (i64.load (i32.const 2100)))
                (call $get (local.get $fd))
                (call $report (call $fd_tell (local.get $fd) (i32.const 2100)))
                (call $report64 (i64.load (i32.const 2100)))
                (call $report (call $fd_close (local.get $fd)))
                (call $get (local.get $fd))
                (call $put (local.get $fd) (i32.const 1024) (i32.const 1)))
            "#
        ),
        hostcalls: &[fd_close, fd_prestat_dir_name, fd_prestat_get, fd_read, fd_seek, fd_tell, fd_write, path_open],
        spec: "wasi#path_open",
        run: |case, engine| {
            let folder = Folder::new(&[("dir/hello", "hello, world")]);
            let expected = [
                "0",
                "5",
                "0",
                "/data",
                "8",
                "44",
                "0",
                "4",
                "0",
                "hello, world",
                "0",
                "7",
                "0",
                "world",
                "0",
                "12",
                "0",
                "8",
                "",
                "8",
            ];
            assert_eq!(tick(case, engine, &folder, "", false), expected);
        },
    },
    Case {
        name: "a_directory_is_listed_and_a_cut_entry_comes_again",
        guest: guest!(
            r#"
            (func $list (param $cookie i64) (param $len i32)
                (i32.store (i32.const 2012) (i32.const -1))
                (memory.fill (i32.const 3000) (i32.const 0) (i32.const 100))
                (call $report (call $fd_readdir (i32.const 3) (i32.const 3000) (local.get $len) (local.get $cookie)
                    (i32.const 2012)))
                (call $report (i32.load (i32.const 2012))))
            (func (export "proxy_on_tick") (param i32)
                (call $list (i64.const 0) (i32.const 60))
                (call $dump (i32.const 3024) (i32.const 1))
                (call $dump (i32.const 3049) (i32.const 2))
                (call $list (i64.const 2) (i32.const 100))
                (call $report64 (i64.load (i32.const 3000)))
                (call $report (i32.load (i32.const 3016)))
                (call $report (i32.load (i32.const 3020)))
                (call $dump (i32.const 3024) (i32.const 3))
                (call $list (i64.const 3) (i32.const 100))
                (call $list (i64.const 0) (i32.const 0x10001)))
            "#
        ),
        hostcalls: &[fd_read, fd_readdir, fd_write, path_open],
        spec: "wasi#fd_readdir",
        run: |case, engine| {
            let folder = Folder::new(&[("one", "")]);
            let expected = ["0", "60", ".", "..", "0", "27", "3", "3", "4", "one", "0", "0", "21", "-1"];
            assert_eq!(tick(case, engine, &folder, "", false), expected);
        },
    },
    Case {
        name: "a_read_only_directory_is_not_changed",
        guest: guest!(
            r#"
            (data (i32.const 1024) "filenewchanged")
            (func (export "proxy_on_tick") (param i32)
                (drop (call $open (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 0x40)))
                (drop (call $open (i32.const 3) (i32.const 1028) (i32.const 3) (i32.const 1) (i64.const 2)))
                (drop (call $open (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 8) (i64.const 2)))
                (call $report (call $path_create_directory (i32.const 3) (i32.const 1028) (i32.const 3)))
                (call $report (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 4)))
                (call $report (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 4)
                    (i32.const 3) (i32.const 1028) (i32.const 3)))
                ;; A descriptor to read is none to write.
                (call $put (call $open (i32.const 3) (i32.const 1024) (i32.const 4) (i32.const 0) (i64.const 2))
                    (i32.const 1031) (i32.const 7))
                (call $get (i32.const 4)))
            "#
        ),
        hostcalls: &[fd_read, fd_write, path_create_directory, path_open, path_rename, path_unlink_file],
        spec: "portcullis#preopened directories",
        run: |case, engine| {
            let folder = Folder::new(&[("file", "as it was")]);
            let expected = ["69", "69", "69", "69", "69", "69", "0", "69", "0", "as it was"];
            assert_eq!(tick(case, engine, &folder, "", false), expected);
            assert_eq!(folder.read("file").as_deref(), Some("as it was"));
            assert_eq!(std::fs::read_dir(folder.path("")).map(Iterator::count).ok(), Some(1));
        },
    },
    Case {
        name: "what_is_written_is_read_and_stays",
        guest: guest!(
            r#"
            (data (i32.const 1024) "newhello+")
            (func (export "proxy_on_tick") (param i32)
                (local $fd i32)
                ;; To be made, and not there yet.
                (local.set $fd (call $open
                    (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 5) (i64.const 0xfffffff)))
                (drop (call $open (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 5) (i64.const 0x40)))
                (call $put (local.get $fd) (i32.const 1027) (i32.const 5))
                (call $report (i32.load (i32.const 2012)))
                (call $report (call $fd_seek (local.get $fd) (i64.const 1) (i32.const 0) (i32.const 2100)))
                (call $get (local.get $fd))
                (call $report (call $fd_seek (local.get $fd) (i64.const 0) (i32.const 0) (i32.const 2100)))
                (call $report (call $fd_fdstat_set_flags (local.get $fd) (i32.const 1)))
                (call $put (local.get $fd) (i32.const 1032) (i32.const 1))
                (call $report (call $fd_tell (local.get $fd) (i32.const 2100)))
                (call $report64 (i64.load (i32.const 2100)))
                (call $report (call $fd_filestat_set_size (local.get $fd) (i64.const 7)))
                (call $report (call $fd_filestat_set_times
                    (local.get $fd) (i64.const 0) (i64.const 5000000007) (i32.const 4)))
                (call $report (call $fd_filestat_get (local.get $fd) (i32.const 2100)))
                (call $report (i32.load8_u (i32.const 2116)))
                (call $report64 (i64.load (i32.const 2132)))
                (call $report64 (i64.load (i32.const 2148))))
            "#
        ),
        hostcalls: &[
            fd_fdstat_set_flags,
            fd_filestat_get,
            fd_filestat_set_size,
            fd_filestat_set_times,
            fd_read,
            fd_seek,
            fd_tell,
            fd_write,
            path_open,
        ],
        spec: "wasi#fd_write",
        run: |case, engine| {
            let folder = Folder::new(&[]);
            let expected =
                ["0", "20", "0", "5", "0", "0", "ello", "0", "0", "0", "0", "6", "0", "0", "0", "4", "7", "5000000007"];
            assert_eq!(tick(case, engine, &folder, "", true), expected);
            assert_eq!(folder.read("new").as_deref(), Some("hello+\0"));
        },
    },
    Case {
        name: "no_path_leads_out",
        guest: guest!(
            r#"
            (data (i32.const 1024) "../secret")
            (data (i32.const 1040) "sub/../../secret")
            (data (i32.const 1060) "/data/file")
            (data (i32.const 1080) "relative")
            (data (i32.const 1090) "absolute")
            (data (i32.const 1100) "up/secret")
            (data (i32.const 1120) "sub/../file")
            (data (i32.const 1140) "good")
            (data (i32.const 1150) "../new")
            (data (i32.const 1160) "made")
            (func $try (param $path i32) (param $len i32)
                (drop (call $open (i32.const 3) (local.get $path) (local.get $len) (i32.const 0) (i64.const 2)))
                (call $report (call $path_filestat_get (i32.const 3) (i32.const 1) (local.get $path) (local.get $len)
                    (i32.const 2100))))
            (func (export "proxy_on_tick") (param i32)
                (call $try (i32.const 1024) (i32.const 9))
                (call $try (i32.const 1040) (i32.const 16))
                (call $try (i32.const 1060) (i32.const 10))
                (call $try (i32.const 1080) (i32.const 8))
                (call $try (i32.const 1090) (i32.const 8))
                (call $try (i32.const 1100) (i32.const 9))
                ;; What stays inside is found.
                (call $try (i32.const 1120) (i32.const 11))
                (call $try (i32.const 1140) (i32.const 4))
                (call $get (i32.const 5))
                ;; Nothing is made, moved or removed outside.
                (drop (call $open (i32.const 3) (i32.const 1150) (i32.const 6) (i32.const 1) (i64.const 0x40)))
                (call $report (call $path_create_directory (i32.const 3) (i32.const 1150) (i32.const 6)))
                (call $report (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 9)))
                (call $report (call $path_rename (i32.const 3) (i32.const 1140) (i32.const 4)
                    (i32.const 3) (i32.const 1150) (i32.const 6)))
                (call $report (call $path_rename (i32.const 3) (i32.const 1024) (i32.const 9)
                    (i32.const 3) (i32.const 1160) (i32.const 4)))
                ;; Links: to the root there is none, a crooked one leads nowhere, and one's end is not told.
                (call $report (call $path_symlink (i32.const 1060) (i32.const 10)
                    (i32.const 3) (i32.const 1160) (i32.const 4)))
                (call $report (call $path_symlink (i32.const 1024) (i32.const 9)
                    (i32.const 3) (i32.const 1160) (i32.const 4)))
                (call $try (i32.const 1160) (i32.const 4))
                (call $report (call $path_readlink (i32.const 3) (i32.const 1090) (i32.const 8)
                    (i32.const 2200) (i32.const 100) (i32.const 2012)))
                (call $report (call $path_readlink (i32.const 3) (i32.const 1140) (i32.const 4)
                    (i32.const 2200) (i32.const 100) (i32.const 2012)))
                (call $dump (i32.const 2200) (i32.load (i32.const 2012))))
            "#
        ),
        hostcalls: &[
            fd_read,
            fd_write,
            path_create_directory,
            path_filestat_get,
            path_open,
            path_readlink,
            path_rename,
            path_symlink,
            path_unlink_file,
        ],
        spec: "portcullis#preopened directories",
        run: |case, engine| {
            let folder = Folder::new(&[("secret", "secret"), ("in/file", "mine"), ("in/sub/x", "")]);
            folder.link("../secret", "in/relative");
            folder.link(folder.path("secret"), "in/absolute");
            folder.link("..", "in/up");
            folder.link("sub/../file", "in/good");
            let out = ["63"; 12];
            let inside = ["0", "0", "0", "0", "0", "mine"];
            let changes = ["63", "63", "63", "63", "63"];
            let links = ["63", "0", "63", "63", "63", "0", "sub/../file"];
            assert_eq!(tick(case, engine, &folder, "in", true), [&out[..], &inside, &changes, &links].concat());
            assert_eq!(folder.read("secret").as_deref(), Some("secret"));
            assert!(!folder.path("new").exists());
        },
    },
    Case {
        name: "files_are_few",
        guest: guest!(
            r#"
            (data (i32.const 1024) "anew")
            (func $a (result i32)
                (call $open (i32.const 3) (i32.const 1024) (i32.const 1) (i32.const 0) (i64.const 2)))
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $a))
                (call $report (call $a))
                (call $report (call $a))
                (drop (call $open (i32.const 3) (i32.const 1025) (i32.const 3) (i32.const 1) (i64.const 0x40)))
                (call $report (call $fd_close (i32.const 4)))
                (call $get (i32.const 4))
                (call $report (call $a))
                (call $get (i32.const 4)))
            "#
        ),
        hostcalls: &[fd_close, fd_read, fd_write, path_open],
        spec: "portcullis#limits",
        run: |case, engine| {
            let folder = Folder::new(&[("a", "text")]);
            let limits = Limits::default().with_open_files(2);
            let preopens = vec![folder.preopen("", true)];
            let mut guest = case.start_with(engine, Setup { preopens, limits, ..Setup::default() });
            assert_eq!(guest.tick(), Ok(()));
            let expected = ["0", "4", "0", "5", "33", "-1", "33", "0", "8", "", "0", "4", "0", "text"];
            assert_eq!(guest.seen(), expected);
            assert!(!folder.path("new").exists(), "nothing is made that cannot be opened");
        },
    },
    Case {
        name: "names_are_made_moved_and_removed",
        guest: guest!(
            r#"
            (data (i32.const 1024) "a/b")
            (data (i32.const 1030) "file")
            (func (export "proxy_on_tick") (param i32)
                (call $report (call $path_create_directory (i32.const 3) (i32.const 1024) (i32.const 1)))
                (call $report (call $path_create_directory (i32.const 3) (i32.const 1024) (i32.const 1)))
                (call $report (call $path_rename (i32.const 3) (i32.const 1030) (i32.const 4)
                    (i32.const 3) (i32.const 1024) (i32.const 3)))
                (call $report (call $path_remove_directory (i32.const 3) (i32.const 1024) (i32.const 1)))
                (call $report (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 1)))
                (call $get (call $open (i32.const 3) (i32.const 1024) (i32.const 3) (i32.const 0) (i64.const 2)))
                (call $report (call $path_unlink_file (i32.const 3) (i32.const 1024) (i32.const 3)))
                (call $report (call $path_remove_directory (i32.const 3) (i32.const 1024) (i32.const 1)))
                (call $report (call $path_remove_directory (i32.const 3) (i32.const 1024) (i32.const 1))))
            "#
        ),
        hostcalls: &[
            fd_read,
            fd_write,
            path_create_directory,
            path_open,
            path_remove_directory,
            path_rename,
            path_unlink_file,
        ],
        spec: "wasi#path_rename",
        run: |case, engine| {
            let folder = Folder::new(&[("file", "moved")]);
            let expected = ["0", "20", "0", "55", "31", "0", "0", "moved", "0", "0", "44"];
            assert_eq!(tick(case, engine, &folder, "", true), expected);
            assert_eq!(std::fs::read_dir(folder.path("")).map(Iterator::count).ok(), Some(0));
        },
    },
    Case {
        name: "a_directory_that_is_not_there_is_named",
        guest: "",
        hostcalls: &[],
        spec: "portcullis#preopened directories",
        run: |case, engine| {
            let folder = Folder::new(&[]);
            let setup = Setup { preopens: vec![folder.preopen("absent", false)], ..Setup::default() };
            let error = case.try_start(engine, setup).err().map(|error| error.to_string()).unwrap_or_default();
            let expected = format!("preopen \"/data\": cannot open the directory {}", folder.path("absent").display());
            assert!(error.starts_with(&expected), "{error}");
        },
    },
];
