//! The admin interface.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::e2e::cli::{file, serve};
use crate::e2e::harness::{Client, Gate, Setup, get, guest, plugin, post, run, until, within};
use crate::e2e::record::stop_gate;

#[test]
fn it_is_ready_and_knows_its_pages() {
    run(async {
        let gate = Setup::echo().start();
        let ready = gate.admin("/ready").await;
        assert_eq!((ready.status, ready.text()), (200, "ready\n"));
        assert_eq!(gate.admin("/nothing").await.status, 404);
        let mut client = Client::h1(gate.running.admin.unwrap()).await;
        let mut request = post("/ready", "x");
        request.headers_mut().insert("host", http::HeaderValue::from_static("127.0.0.1"));
        let answer = client.ask(request).await;
        assert_eq!((answer.status, answer.header("allow").as_str()), (405, "GET, HEAD"));
    });
}

/// A gateway whose configuration has values that nobody is to see, and one that is no secret.
fn secretive() -> String {
    let text = Setup::echo()
        .plugin("secretive", &guest("header_tour"), "configuration: {password: HUSH-1, mode: MODE-4}")
        .plugin("texts", &guest("header_tour"), "configuration: MODE-5")
        .text();
    text.replacen(
        "vm_config: {",
        "vm_config: {configuration: {api_key: HUSH-2, mode: MODE-6}, environment_variables: {key_values: {TOKEN: HUSH-3}}, ",
        1,
    )
}

#[test]
fn values_of_configurations_are_not_shown() {
    run(async {
        let gate = Gate::start(&secretive());
        let config = gate.admin("/config").await;
        assert_eq!(config.header("content-type"), "application/json");
        for (page, shown) in [(config, "backend"), (gate.admin("/sandboxes").await, "secretive")] {
            let text = page.text();
            assert!(page.json().is_object() && text.contains(shown), "{text}");
            assert!(!text.contains("HUSH") && !text.contains("MODE"), "{text}");
        }
    });
}

/// `serve --admin-show-configuration`.
#[test]
fn configurations_are_shown_where_the_command_line_asks_for_it() {
    run(async {
        let text = secretive();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shown.sock");
        let text = text.replace("admin: 127.0.0.1:0", &format!("admin: {:?}", format!("unix:{}", path.display())));
        for (arguments, is_shown) in [(&["--admin-show-configuration"][..], true), (&[], false)] {
            let server = serve(&file("shown.yaml", &text), arguments);
            until(|| std::os::unix::net::UnixStream::connect(&path).is_ok()).await;
            let config = ask_unix(&path, "any.example", "/config").await;
            assert!(config.starts_with("HTTP/1.1 200"), "{config}");
            for value in ["MODE-4", "MODE-5", "MODE-6"] {
                assert_eq!(config.contains(value), is_shown, "{config}");
            }
            assert!(!config.contains("HUSH"), "{config}");
            drop(server);
            // It was killed, and the next one finds what is left of its socket.
            assert!(path.exists());
        }
    });
}

/// One request over any connection, and all of the answer.
pub(crate) async fn ask_raw(mut io: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> String {
    within(async {
        io.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
}

pub(crate) async fn ask_unix(path: &Path, host: &str, page: &str) -> String {
    let socket = within(tokio::net::UnixStream::connect(path)).await.unwrap();
    ask_raw(socket, &format!("GET {page} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await
}

/// A page of another site whose name was made to mean this machine.
#[test]
fn only_hosts_that_are_its_own_are_answered() {
    run(async {
        let text = Setup::echo().text();
        let text = text.replace("admin: 127.0.0.1:0", "admin: {address: 127.0.0.1:0, hosts: [admin.internal]}");
        let gate = Gate::start(&text);
        let address = gate.running.admin.unwrap();
        let ask = async |head: &str| {
            let tcp = within(tokio::net::TcpStream::connect(address)).await.unwrap();
            ask_raw(tcp, &format!("{head}connection: close\r\n\r\n")).await
        };
        for page in ["/ready", "/metrics", "/config", "/sandboxes", "/denials", "/nothing"] {
            for (host, status) in [("evil.example:9901", 421), ("10.0.0.1", 421)] {
                let answer = ask(&format!("GET {page} HTTP/1.1\r\nhost: {host}\r\n")).await;
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                assert!(answer.contains("add that to admin.hosts"), "{answer}");
            }
        }
        for head in [
            "GET /ready HTTP/1.1\r\nhost: localhost\r\n",
            "GET /ready HTTP/1.1\r\nhost: Admin.Internal:80\r\n",
            "GET /ready HTTP/1.0\r\n",
        ] {
            let answer = ask(head).await;
            assert!(answer.contains(" 200 OK"), "{answer}");
        }
        let answer = ask("GET http://evil.example/ready HTTP/1.1\r\nhost: localhost\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        let answer = ask("GET /ready HTTP/1.1\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    });
}

#[test]
fn it_stands_on_a_unix_socket() {
    run(async {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("admin.sock");
        let _ = std::fs::remove_file(&path);
        // Left by a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let admin = format!("admin: {{address: {:?}, mode: '0640'}}", format!("unix:{}", path.display()));
        let text = Setup::echo().text().replace("admin: 127.0.0.1:0", &admin);
        let gate = Gate::start(&text);
        assert_eq!(gate.running.admin, None);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        let answer = ask_unix(&path, "any.example", "/ready").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ready\n"), "{answer}");
        let error = Gate::try_start(&text).err().unwrap();
        assert!(error.contains("admin.sock: a process listens there; stop it, or choose another path"), "{error}");
        assert!(ask_unix(&path, "a", "/metrics").await.contains("# TYPE portcullis_"));
        stop_gate(gate).await;
        assert!(!path.exists());
    });
}

#[test]
fn requests_are_counted_by_class() {
    run(async {
        let gate = Setup::echo().listener("name: counted_listener").start();
        let mut client = gate.h1().await;
        for _ in 0..3 {
            client.ask(get("/")).await;
        }
        let line = "portcullis_requests_total{listener=\"counted_listener\",class=\"2xx\"}";
        within(async { while gate.metric(line).await < 3.0 {} }).await;
        assert!((gate.metric(line).await - 3.0).abs() < 0.5);
    });
}

#[test]
fn a_busy_worker_does_not_silence_it() {
    run(async {
        let wat = plugin(&[("request_headers", "(loop $l (br $l)) (i32.const 0)")]);
        let gate = Setup::echo().plugin("busy_admin", &wat, "").start();
        let mut client = gate.h1().await;
        let mut busy = std::pin::pin!(client.ask(get("/")));
        tokio::select! {
            answer = &mut busy => panic!("the worker was busy for a second, and answered first: {answer:?}"),
            ready = gate.admin("/ready") => assert_eq!(ready.status, 200),
        }
        assert_eq!(busy.await.status, 503);
    });
}
