//! Values that the configuration refers to: plugins get them, and nobody else sees them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::e2e::admin::ask_unix;
use crate::e2e::cli::{file, serve_with};
use crate::e2e::harness::wat::plugin_with;
use crate::e2e::harness::{Client, Setup, get, run, until};
use crate::e2e::record::{files, folder, stop};

/// A plugin that puts its configuration into the header `x-configuration` of each response.
pub(crate) fn tells_configuration() -> PathBuf {
    plugin_with(
        r#"(import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))"#,
        r#"(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $get (i32.const 7) (i32.const 0) (local.get 1) (i32.const 32) (i32.const 36)))
             (i32.const 1))
           (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
             (call $header (i32.const 2) $"x-configuration" (i32.load (i32.const 32)) (i32.load (i32.const 36)))
             (i32.const 0))"#,
    )
}

#[test]
fn a_plugin_gets_them_and_pages_log_and_transcripts_do_not_show_them() {
    run(async {
        let credentials = Path::new(env!("CARGO_TARGET_TMPDIR")).join("credentials");
        std::fs::create_dir_all(&credentials).unwrap();
        std::fs::write(credentials.join("key"), "HUSH\"credential\n").unwrap();
        let secret = file("secret.txt", "HUSH-of-a-file\n");
        let socket = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets.sock");
        let configuration = format!(
            "configuration: {{a: {{credential: key}}, b: {{env: KEY_OF_TEST}}, c: [{{file: {:?}}}], mode: fast}}",
            secret.display().to_string()
        );
        let text = Setup::echo().plugin("teller", &tells_configuration(), &configuration).text();
        let text = text.replace("admin: 127.0.0.1:0", &format!("admin: {:?}", format!("unix:{}", socket.display())));
        let transcripts = folder("secrets-transcripts");
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.env("CREDENTIALS_DIRECTORY", &credentials).env("KEY_OF_TEST", "HUSH-of-the-environment");
        let arguments = ["--admin-show-configuration", "--record", transcripts.to_str().unwrap(), "--log", "debug"];
        let server = serve_with(command, &file("secrets.yaml", &text), &arguments);
        let answer = Client::h1(server.address).await.ask(get("/")).await;
        assert_eq!(
            answer.header("x-configuration"),
            r#"{"a":"HUSH\"credential","b":"HUSH-of-the-environment","c":["HUSH-of-a-file"],"mode":"fast"}"#
        );
        until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        for page in ["/config", "/sandboxes", "/metrics", "/ready", "/denials"] {
            let shown = ask_unix(&socket, "localhost", page).await;
            assert!(shown.starts_with("HTTP/1.1 200") && !shown.contains("HUSH"), "{page}: {shown}");
            if page == "/config" {
                for part in
                    [r#""credential": "<redacted>""#, r#""env": "KEY_OF_TEST""#, "secret.txt", r#""mode": "fast""#]
                {
                    assert!(shown.contains(part), "{part}: {shown}");
                }
            }
        }
        let log = stop(server).await;
        assert!(!log.contains("HUSH"), "{log}");
        let transcripts = files(&transcripts, "jsonl");
        assert!(!transcripts.is_empty());
        for transcript in transcripts {
            let text = std::fs::read_to_string(transcript).unwrap();
            assert!(text.contains("x-configuration") && text.contains("****"), "{text}");
            assert!(!text.contains("HUSH"), "{text}");
        }
    });
}
