//! Files that a plugin reads and writes in its directories.

use std::path::{Path, PathBuf};

use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Gate, Setup, get, run};

/// Answers with what is in `page` of its first directory, or with the errno as one letter (A is 0); and
/// appends a dot to `count` there.
fn reader() -> PathBuf {
    plugin_with(
        r#"
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close_file (param i32) (result i32)))
        "#,
        r#"
        (func $use (param $path i32) (param $len i32) (param $flags i32) (param $rights i64) (param $append i32)
            (result i32)
            (i32.store (i32.const 16) (i32.const -1))
            (call $open (i32.const 3) (i32.const 1) (local.get $path) (local.get $len) (local.get $flags)
                (local.get $rights) (i64.const 0) (local.get $append) (i32.const 16)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (local $errno i32)
            (drop (call $use $"count" (i32.const 1) (i64.const 0x40) (i32.const 1)))
            (i32.store8 (i32.const 32) (i32.const 46))
            (i32.store (i32.const 20) (i32.const 32))
            (i32.store (i32.const 24) (i32.const 1))
            (drop (call $write (i32.load (i32.const 16)) (i32.const 20) (i32.const 1) (i32.const 28)))
            (drop (call $close_file (i32.load (i32.const 16))))
            (local.set $errno (call $use $"page" (i32.const 0) (i64.const 2) (i32.const 0)))
            (if (local.get $errno) (then
                (i32.store8 (i32.const 32) (i32.add (i32.const 65) (local.get $errno)))
                (call $answer (i32.const 404) (i32.const 32) (i32.const 1))
                (return (i32.const 1))))
            (i32.store (i32.const 24) (i32.const 100))
            (drop (call $read (i32.load (i32.const 16)) (i32.const 20) (i32.const 1) (i32.const 28)))
            (drop (call $close_file (i32.load (i32.const 16))))
            (call $answer (i32.const 200) (i32.const 32) (i32.load (i32.const 28)))
            (i32.const 1))
        "#,
    )
}

fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A configuration whose plugin has these directories.
fn text(preopens: &str) -> String {
    let text = Setup::echo().workers(2).plugin("reader", &reader(), "").text();
    text.replace("vm_config: {", &format!("vm_config: {{preopens: [{preopens}], "))
}

#[test]
fn a_plugin_answers_with_a_file_and_counts_in_another() {
    run(async {
        let data = folder("data");
        std::fs::write(data.join("page"), "first").unwrap();
        let gate =
            Gate::start(&text(&format!("{{guest: /data, host: {:?}, write: true}}", data.display().to_string())));
        assert_eq!(gate.h1().await.ask(get("/")).await.text(), "first");
        // What is there now is what the plugin sees.
        std::fs::write(data.join("page"), "second").unwrap();
        assert_eq!(gate.h1().await.ask(get("/")).await.text(), "second");
        std::fs::remove_file(data.join("page")).unwrap();
        let answer = gate.h1().await.ask(get("/")).await;
        assert_eq!((answer.status, answer.text()), (404, "m"), "NOENT");
        assert_eq!(std::fs::read_to_string(data.join("count")).unwrap(), "...", "from all workers");
    });
}

#[test]
fn a_directory_is_read_only_and_without_one_there_are_no_files() {
    run(async {
        let data = folder("read-only");
        std::fs::write(data.join("page"), "page").unwrap();
        let gate = Gate::start(&text(&format!("{{guest: /data, host: {:?}}}", data.display().to_string())));
        assert_eq!(gate.h1().await.ask(get("/")).await.text(), "page");
        assert!(!data.join("count").exists());
        let gate = Gate::start(&text(""));
        assert_eq!(gate.h1().await.ask(get("/")).await.text(), "m", "NOENT");
    });
}

#[test]
fn a_directory_that_is_not_there_is_named_with_its_key() {
    let error = Gate::try_start(&text("{guest: /data, host: /no/such}")).err().unwrap();
    assert!(
        error.contains("vm_config.preopens[0].host: there is no directory \"/no/such\"; make the directory"),
        "{error}"
    );
}
