//! The `portcullis` command.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use crate::e2e::harness::{Client, Setup, Upstream, get, guest, plugin, reply, run, until};

pub(crate) fn portcullis(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().unwrap()
}

pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_says_ok() {
    let good = file("good.yaml", &Setup::echo().plugin("checked", &guest("header_tour"), "").text());
    let output = portcullis(&["check", good.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("{}: ok: 1 listener(s), 1 cluster(s)\n", good.display()));
}

#[test]
fn check_says_what_is_wrong() {
    let refused = plugin(&[("configure", r#"(call $say $"never") (i32.const 0)"#)]);
    for (name, config, message) in [
        ("key.yaml", Setup::echo().text().replace("workers: 1", "worker: 1"), ":1:1: unknown key \"worker\""),
        ("yaml.yaml", "listeners: [".to_owned(), "yaml.yaml:"),
        ("plugin.yaml", Setup::echo().plugin("p", &refused, "").text(), ":7:9: listeners[0].plugins[0]"),
    ] {
        let path = file(name, &config);
        let output = portcullis(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(text(&output.stderr).contains(message), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
    let output = portcullis(&["check", "/nowhere/gateway.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("/nowhere/gateway.yaml: cannot read the configuration"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn abi_prints_the_tables() {
    let output = portcullis(&["abi"]);
    assert_eq!(output.status.code(), Some(0));
    for name in ["proxy_log", "proxy_http_call", "fd_write", "proxy_on_request_headers"] {
        assert!(text(&output.stdout).contains(name), "{name}");
    }
}

#[test]
fn engines_are_listed_with_what_they_can_enforce() {
    let output = portcullis(&["engines"]);
    assert_eq!(output.status.code(), Some(0));
    let text = text(&output.stdout);
    assert!(text.lines().next().unwrap().contains("wasmtime (default)"), "{text}");
    for info in portcullis::engine::all() {
        assert!(text.contains(info.name) && text.contains(info.version), "{text}");
    }
    for (feature, _) in portcullis::engine::all()[0].features.list() {
        assert!(text.lines().any(|line| line.starts_with(feature) && line.contains("yes")), "{feature}: {text}");
    }
    for name in portcullis::engine::missing() {
        assert!(text.contains(&format!("{name}: not in this binary; build it with `--features {name}`")), "{text}");
    }
}

#[test]
fn a_plugin_that_was_compiled_ahead_is_not_compiled_again() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code-cache");
    let _ = std::fs::remove_dir_all(&folder);
    let (code, wasm) = (folder.to_str().unwrap(), guest("header_tour"));
    let ahead = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ahead.wasm");
    let arguments = ["compile", wasm.to_str().unwrap(), "-o", ahead.to_str().unwrap(), "--code-cache", code];
    let output = portcullis(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("with code for wasmtime"), "{}", text(&output.stdout));
    let log = |plugin: &Path| {
        let config = format!("code_cache: {code}\n{}", Setup::echo().plugin("ahead", plugin, "").text());
        let config = file("ahead.yaml", &config);
        let output = portcullis(&["--log", "debug", "check", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    };
    assert!(log(&ahead).contains("taken from the plugin itself"));
    // Rights and a signature that are written behind the code leave it to be the module's.
    let rights = file("ahead-rights.yaml", "{preset: headers}");
    let key = file("ahead.pem", crate::e2e::packages::PRIVATE);
    let signed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ahead-signed.wasm");
    let paths = [&ahead, &signed, &rights, &key].map(|path| path.to_str().unwrap());
    let output = portcullis(&["package", paths[0], "-o", paths[1], "--rights", paths[2], "--key", paths[3]]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(log(&signed).contains("taken from the plugin itself"));
    assert!(log(&wasm).contains("compiled"));
    assert!(log(&wasm).contains("taken from the code cache"));
    std::fs::write(folder.join("key"), [7; 32]).unwrap();
    assert!(log(&ahead).contains(" compiled"), "another key");
}

#[test]
fn what_cannot_be_compiled_ahead_says_why() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("code-cache-errors");
    let compile = |plugin: &str, more: &[&str]| {
        let output = portcullis(&[&["compile", plugin, "-o", "/dev/null"], more].concat());
        assert_ne!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    let cache = ["--code-cache", folder.to_str().unwrap()];
    assert!(compile("/nowhere.wasm", &cache).contains("cannot read /nowhere.wasm: No such file"));
    assert!(compile("/nowhere.wasm", &[]).contains("--code-cache"));
    assert!(compile("Cargo.toml", &cache).contains("not a WebAssembly module"));
    let wasm = guest("header_tour");
    assert!(
        compile(wasm.to_str().unwrap(), &[&cache[..], &["--engine", "wasm3"]].concat()).contains("no engine \"wasm3\"")
    );
}

#[test]
fn help_is_worth_reading() {
    let output = portcullis(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    for word in
        ["serve", "check", "compile", "inspect", "replay", "engines", "abi", "presets", "quickstart.yaml", "--log"]
    {
        assert!(text(&output.stdout).contains(word), "{word}");
    }
    assert_eq!(portcullis(&["frobnicate"]).status.code(), Some(2));
}

#[test]
fn the_version_names_the_command_its_commit_and_its_engines() {
    let output = portcullis(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout);
    let lines: Vec<_> = shown.lines().collect();
    let [name, commit, engines] = lines[..] else { panic!("{shown}") };
    assert_eq!(name, format!("portcullis {}", env!("CARGO_PKG_VERSION")));
    let commit = commit.strip_prefix("commit: ").unwrap();
    assert!(commit == "unknown" || commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    let expected: Vec<_> =
        portcullis::engine::all().iter().map(|info| format!("{} {}", info.name, info.version)).collect();
    assert_eq!(engines, format!("engines: {}", expected.join(", ")));
    assert_eq!(text(&portcullis(&["-V"]).stdout), format!("{name}\n"));
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = portcullis(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in ["serve", "sandboxes", "record-sample", "code-cache"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let error = text(&portcullis(&["completions", "sh"]).stderr);
    assert!(error.contains("bash") && error.contains("zsh"), "it says which there are: {error}");
}

#[test]
fn there_are_manual_pages() {
    let output = portcullis(&["man"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = text(&output.stdout);
    assert!(page.contains(".TH portcullis 1") && page.contains("quickstart.yaml"), "{page}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manual");
    let _ = std::fs::remove_dir_all(&folder);
    let output = portcullis(&["man", "-o", folder.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pages = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: Vec<_> = pages.collect();
    for command in ["portcullis.1", "portcullis-serve.1", "portcullis-check.1", "portcullis-man.1"] {
        assert!(pages.contains(&command.to_owned()), "{command}: {pages:?}");
    }
    assert!(!pages.contains(&"portcullis-compile-module.1".to_owned()), "it is for the program itself");
    let serve = std::fs::read_to_string(folder.join("portcullis-serve.1")).unwrap();
    assert!(serve.contains("record") && serve.contains("SIGTERM"), "{serve}");
    let output = portcullis(&["man", "-o", "/dev/null/manual"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to /dev/null/manual"), "{}", text(&output.stderr));
}

/// A gateway in a process of its own.
pub(crate) struct Server {
    pub(crate) child: Running,
    pub(crate) address: SocketAddr,
    pub(crate) log: std::thread::JoinHandle<String>,
    so_far: Arc<Mutex<String>>,
}

impl Server {
    /// Whether a text is in the log, which goes on.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.so_far.lock().unwrap().contains(text)
    }

    /// The log up to now.
    pub(crate) fn log_so_far(&self) -> String {
        self.so_far.lock().unwrap().clone()
    }

    /// Waits for the address of its admin interface.
    pub(crate) async fn admin(&self) -> SocketAddr {
        let address = || {
            let log = self.so_far.lock().unwrap();
            let rest = &log[log.find("admin interface")?..];
            let rest = &rest[rest.find("127.0.0.1:")?..];
            rest[..rest.find(char::is_whitespace)?].trim_matches('"').parse().ok()
        };
        until(|| address().is_some()).await;
        address().unwrap()
    }
}

/// A process that ends with the test, however that ends.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one and reads from its log where it listens.
pub(crate) fn serve(config: &Path, arguments: &[&str]) -> Server {
    serve_with(Command::new(env!("CARGO_BIN_EXE_portcullis")), config, arguments)
}

/// The same, by another command that runs it.
pub(crate) fn serve_with(mut command: Command, config: &Path, arguments: &[&str]) -> Server {
    command.arg("serve").arg(config).args(arguments);
    serve_command(command)
}

/// The same, by a command that is complete.
pub(crate) fn serve_command(mut command: Command) -> Server {
    command.stderr(Stdio::piped()).env_remove("RUST_LOG");
    let mut child = Running(command.spawn().unwrap());
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let (told, address) = std::sync::mpsc::channel();
    let so_far = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&so_far);
    let log = std::thread::spawn(move || {
        let mut line = String::new();
        while log.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.contains("listening") {
                let _ = told.send(line.clone());
            }
            *all.lock().unwrap() += &std::mem::take(&mut line);
        }
        std::mem::take(&mut *all.lock().unwrap())
    });
    let line = address.recv_timeout(crate::e2e::harness::LIMIT).expect("it does not listen");
    let start = line.find("127.0.0.1:").unwrap();
    let end =
        line[start..].find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').map_or(line.len(), |end| start + end);
    Server { child, address: line[start..end].parse().unwrap(), log, so_far }
}

#[test]
fn sigterm_finishes_what_is_in_flight() {
    run(async {
        let go = Arc::new(Notify::new());
        let waits = Arc::clone(&go);
        let upstream = Upstream::new(move |_| {
            let waits = Arc::clone(&waits);
            async move {
                waits.notified().await;
                reply(200, "whole")
            }
        });
        let config = file(
            "sigterm.yaml",
            &Setup::to(&upstream)
                .workers(2)
                .plugin("tour", &guest("header_tour"), "root_id: r")
                .text()
                .replace("vm_config: {", "vm_config: {vm_id: v, "),
        );
        let mut server = serve(&config, &["--log-json"]);
        let mut client = Client::h1(server.address).await;
        let stopping = async {
            until(|| upstream.requests() == 1).await;
            let killed = Command::new("kill").arg("-TERM").arg(server.child.id().to_string()).status().unwrap();
            assert!(killed.success());
            until(|| std::net::TcpStream::connect(server.address).is_err()).await;
            assert!(server.child.try_wait().unwrap().is_none());
            go.notify_one();
        };
        let (answer, ()) = tokio::join!(client.ask(get("/x")), stopping);
        assert_eq!((answer.status, answer.text(), answer.header("x-plugin").as_str()), (200, "whole", "header_tour"));
        until(|| server.child.try_wait().unwrap().is_some()).await;
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        let log = server.log.join().unwrap();
        let line = log.lines().find(|line| line.contains("-> :path: /x")).expect("the plugin's line");
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["target"], &line["level"]), (&"plugin".into(), &"INFO".into()));
        assert_eq!(line["fields"]["plugin"], "tour");
        assert_eq!((&line["fields"]["root"], &line["fields"]["vm"]), (&"r".into(), &"v".into()));
        assert!(line["fields"].get("context").is_some(), "{line}");
    });
}

#[test]
fn a_port_in_use_ends_it() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    let config = Setup::echo().text().replace("address: 127.0.0.1:0", &format!("address: {address}"));
    let output = portcullis(&["serve", file("in_use.yaml", &config).to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {address}")), "{}", text(&output.stderr));
}

#[test]
fn plugins_that_would_share_a_vm_with_other_rights_are_refused_or_kept_apart() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sharing-conflict.yaml");
    let config = std::fs::read_to_string(example)
        .unwrap()
        .replace("guests/wasm/header_tour.wasm", guest("header_tour").to_str().unwrap());
    let refused = file("sharing-reject.yaml", &config);
    let output = portcullis(&["check", refused.to_str().unwrap()]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in [
        "sharing-reject.yaml:15:9: listeners[0].plugins[1]: the plugins \"tagger\" and \"caller\" would share a VM (vm_id \"shared\")",
        "capabilities (only \"caller\" has proxy_http_call), and in rules (proxy_http_call.upstreams)",
        "(\"tagger\" is defined in line 10)",
        "write `sharing: isolate`",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let isolated = file("sharing-isolate.yaml", &config.replace("\nsharing: reject", "\nsharing: isolate"));
    assert_eq!(portcullis(&["check", isolated.to_str().unwrap()]).status.code(), Some(0));
    let output = portcullis(&["sandboxes", isolated.to_str().unwrap()]);
    let shown = text(&output.stdout);
    assert!(
        shown.contains("2 sandbox(es)") && shown.contains("\"tagger\" and \"caller\" do not share a VM"),
        "{shown}"
    );
    let output = portcullis(&["sandboxes", "--json", isolated.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["sandboxes"].as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(json["apart"][0]["plugins"], serde_json::json!(["tagger", "caller"]));
    // Equal rights share.
    let same = config.replace("            proxy_http_call: { upstreams: [backend] }\n", "            proxy_log: {}\n");
    let same = file("sharing-same.yaml", &same);
    let shown = text(&portcullis(&["sandboxes", same.to_str().unwrap()]).stdout);
    assert!(shown.contains("plugins       tagger, caller") && shown.contains("1 sandbox(es)"), "{shown}");
}
