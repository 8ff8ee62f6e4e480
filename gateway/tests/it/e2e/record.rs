//! `portcullis serve --record` and `portcullis replay`: what happened to real connections happens again.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use http::Request;
use portcullis::transcript::Redaction;
use portcullis_gateway::config::Config;
use portcullis_gateway::observe::recorder::TranscriptOptions;
use portcullis_gateway::serve::server::Gateway;

use crate::e2e::cli::{Server, file, portcullis, serve, text};
use crate::e2e::harness::{Answer, Client, Gate, Sent, Setup, empty, get, guest, plugin, run, until};

const SECRET: &str = "session=c0ffee-1234";

/// A folder for transcripts, empty.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    path
}

pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|own| own == extension)).collect();
    files.sort();
    files
}

fn with_cookie(path: &str) -> Request<Sent> {
    Request::builder().uri(path).header("cookie", SECRET).body(empty()).unwrap()
}

/// A gateway in this process that records.
fn recording(setup: &str, folder: &Path, change: impl FnOnce(&mut TranscriptOptions)) -> Gate {
    let mut recording = TranscriptOptions {
        folder: folder.to_owned(),
        sample: 1,
        limit: 1 << 20,
        files: 10,
        redaction: Redaction::default(),
    };
    change(&mut recording);
    let mut gateway = Gateway::prepare(Config::parse("gateway.yaml", setup).unwrap()).unwrap();
    gateway.record(recording).unwrap();
    Gate { running: gateway.serve().unwrap() }
}

pub(crate) async fn stop(mut server: Server) -> String {
    let killed = Command::new("kill").args(["-TERM", &server.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    until(|| server.child.try_wait().unwrap().is_some()).await;
    assert!(server.child.wait().unwrap().success());
    server.log.join().unwrap()
}

pub(crate) async fn stop_gate(gate: Gate) {
    let stopping = gate.stop();
    until(|| stopping.is_finished()).await;
}

#[test]
fn what_real_connections_made_plugins_do_is_replayed_on_every_engine() {
    run(async {
        let folder = folder("record-tour");
        let path = folder.to_str().unwrap();
        let setup = Setup::echo().workers(2).plugin("my tour", &guest("header_tour"), "").text();
        let config = file("record-tour.yaml", &setup);
        let server = serve(&config, &["--engine", "wasmtime", "--record", path, "--record-limit", "1MiB"]);
        let mut clients = vec![Client::h1(server.address).await, Client::h2(server.address).await];
        for client in &mut clients {
            assert_eq!(client.ask(with_cookie("/")).await.header("x-plugin"), "header_tour");
            assert_eq!(client.ask(with_cookie("/hello")).await.text(), "Hello, World!\n");
        }
        drop(clients);
        let log = stop(server).await;
        assert!(log.contains("recording transcripts of sampled connections"), "{log}");
        let transcripts = files(&folder, "jsonl");
        let [transcript] = transcripts.as_slice() else { panic!("one VM sees all: {transcripts:?}") };
        assert!(transcript.ends_with("my_tour.0.jsonl"), "{transcript:?}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(transcript)), (0o700, 0o600));
        let recorded = std::fs::read_to_string(transcript).unwrap();
        // It logs each header, so the value came up more than once.
        assert!(recorded.matches(&"*".repeat(SECRET.len())).count() > 4, "{recorded}");
        assert!(!recorded.contains("c0ffee"), "no trace of a cookie");
        let file = transcript.to_str().unwrap();
        for info in portcullis::engine::all() {
            let output = portcullis(&["replay", file, "--engine", info.name]);
            let said = text(&output.stdout);
            assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
            assert!(said.contains(" hostcalls, no difference (recorded on wasmtime, replayed on "), "{said}");
        }
        // What a plugin did otherwise is named.
        let line = recorded.lines().position(|line| line.contains("proxy_log") && line.contains("/hello")).unwrap();
        let mut lines: Vec<_> = recorded.lines().map(str::to_owned).collect();
        lines[line] = lines[line].replace("/hello", "/hallo");
        std::fs::write(transcript, lines.join("\n") + "\n").unwrap();
        let output = portcullis(&["replay", file, "--engine", "wasmtime"]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let place = format!("my_tour.0.jsonl:{}: the bytes of `message` differ from byte", line + 1);
        assert!(said.contains(&place), "{said}");
        assert!(said.contains("  recorded: proxy_log(level: 2") && said.contains("  now:      proxy_log("), "{said}");
        let output = portcullis(&["replay", file, "--plugin", guest("body_rewrite").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        assert!(text(&output.stdout).contains("with another build of the plugin"), "{}", text(&output.stdout));
    });
}

#[test]
fn a_transcript_keeps_to_its_size_and_traffic_goes_on() {
    run(async {
        let folder = folder("record-full");
        let setup = Setup::echo().plugin("full", &guest("header_tour"), "").text();
        let gate = recording(&setup, &folder, |recording| recording.limit = 8 << 10);
        let mut client = gate.h1().await;
        for _ in 0..50 {
            assert_eq!(client.ask(get("/")).await.header("x-plugin"), "header_tour");
        }
        drop(client);
        stop_gate(gate).await;
        let transcripts = files(&folder, "jsonl");
        let recorded = std::fs::read_to_string(&transcripts[0]).unwrap();
        assert!(recorded.len() <= 8 << 10 && recorded.ends_with("{\"end\":\"full\"}\n"), "{}", recorded.len());
        let output = portcullis(&["replay", transcripts[0].to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).contains("the transcript was full then"), "{}", text(&output.stdout));
    });
}

#[test]
fn sampled_connections_alone_are_recorded() {
    run(async {
        let folder = folder("record-sample");
        let setup = Setup::echo().plugin("sampled", &guest("header_tour"), "").text();
        let gate = recording(&setup, &folder, |recording| recording.sample = 3);
        for index in 0..6 {
            let answer: Answer = gate.h1().await.ask(get(&format!("/request-{index}"))).await;
            assert_eq!(answer.header("x-plugin"), "header_tour");
        }
        stop_gate(gate).await;
        let recorded = std::fs::read_to_string(&files(&folder, "jsonl")[0]).unwrap();
        let seen: Vec<_> = (0..6).filter(|index| recorded.contains(&format!("/request-{index}\""))).collect();
        assert_eq!(seen, [0, 3], "{recorded}");
    });
}

#[test]
fn each_vm_has_a_transcript_up_to_their_number() {
    run(async {
        let folder = folder("record-files");
        let quiet = plugin(&[("request_headers", "(call $say $\"seen\") (i32.const 0)")]);
        let setup = Setup::echo().plugin("one", &guest("header_tour"), "").plugin("two", &quiet, "").plugin(
            "three",
            &guest("c_headers"),
            "",
        );
        let gate = recording(&setup.text(), &folder, |recording| recording.files = 2);
        assert_eq!(gate.h1().await.ask(get("/")).await.status, 200);
        stop_gate(gate).await;
        let names: Vec<_> = files(&folder, "jsonl");
        assert!(
            names.len() == 2 && names[0].ends_with("one.0.jsonl") && names[1].ends_with("two.0.jsonl"),
            "{names:?}"
        );
        assert_eq!(files(&folder, "wasm").len(), 2);
    });
}

#[test]
fn what_cannot_be_recorded_or_replayed_says_what_to_do() {
    let failed = |arguments: &[&str]| {
        let output = portcullis(arguments);
        assert_ne!(output.status.code(), Some(0), "{arguments:?}");
        text(&output.stderr)
    };
    let config = file("record-not.yaml", &Setup::echo().text());
    let config = config.to_str().unwrap();
    assert!(failed(&["serve", config, "--record-sample", "2"]).contains("--record <DIR>"));
    let size = failed(&["serve", config, "--record", "/tmp", "--record-limit", "1mb"]);
    assert!(size.contains("did you mean 1MiB?"), "{size}");
    let nowhere = failed(&["serve", config, "--record", "/dev/null/transcripts"]);
    assert!(nowhere.contains("cannot create the folder /dev/null/transcripts"), "{nowhere}");
    assert!(failed(&["replay", "/nowhere.jsonl"]).contains("cannot read /nowhere.jsonl: No such file"));
    assert!(failed(&["replay", config]).contains("record-not.yaml:1: this is no transcript"));
}

#[test]
fn the_names_that_are_hidden_are_printed() {
    let page = include_str!("../../../../SECURITY.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let names: Vec<_> = Redaction::DEFAULT.iter().map(|name| format!("`{name}`")).collect();
    assert!(page.contains(&format!(": {}, with any separators", names.join(", "))), "{names:?}");
}

/// Values of the names that are hidden by themselves, as headers and in the query.
#[test]
fn tokens_of_headers_and_queries_are_not_written_down() {
    run(async {
        let folder = folder("record-tokens");
        let setup = Setup::echo().plugin("tokens", &guest("header_tour"), "").text();
        let gate = recording(&setup, &folder, |_| {});
        let names = ["x-api-key", "x-auth-token", "x-vault-token", "x-other-secret"];
        let mut request = Request::builder().uri("/?access_token=HUSH-query&apiKey=HUSH-key&seen=SHOWN");
        for name in names {
            request = request.header(name, format!("HUSH-{name}"));
        }
        assert_eq!(gate.h1().await.ask(request.body(empty()).unwrap()).await.status, 200);
        stop_gate(gate).await;
        let transcripts = files(&folder, "jsonl");
        assert_eq!(transcripts.len(), 1);
        let recorded = std::fs::read_to_string(&transcripts[0]).unwrap();
        assert!(recorded.contains("SHOWN") && names.iter().all(|name| recorded.contains(name)), "{recorded}");
        assert!(!recorded.contains("HUSH"), "{recorded}");
    });
}
