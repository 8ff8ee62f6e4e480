//! Reloads of a process: by signal, by request, by command, and by a change of files.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::e2e::admin::{ask_raw, ask_unix};
use crate::e2e::cli::{Server, portcullis, serve, serve_with, text};
use crate::e2e::harness::{Client, Setup, get, plugin, run, until};
use crate::e2e::record::{folder, stop};
use crate::e2e::secrets::tells_configuration;

/// A gateway whose plugin tells its configuration, in a folder of its own.
pub(super) struct Live {
    folder: PathBuf,
    pub(super) server: Server,
    client: Client,
}

impl Live {
    async fn start(name: &str, more: &str) -> Self {
        let folder = made(name);
        write(&folder, "one", more);
        Self::of(folder, "one").await
    }

    /// Starts one with the file of a folder, whose plugin tells this.
    pub(super) async fn of(folder: PathBuf, expected: &str) -> Self {
        let server = serve(&folder.join("gateway.yaml"), &["--log-json"]);
        let client = Client::h1(server.address).await;
        let mut live = Self { folder, server, client };
        assert_eq!(live.told().await, expected);
        let socket = live.socket();
        until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
        live
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    /// Returns the configuration that the plugin tells, always over the same connection.
    pub(super) async fn told(&mut self) -> String {
        let answer = self.client.ask(get("/")).await;
        assert_eq!(answer.status, 200);
        answer.header("x-configuration")
    }

    async fn until_told(&mut self, expected: &str) {
        // Bounded by the test's own limit.
        while self.told().await != expected {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Waits until a number of reloads have been told: they serve a moment before.
    pub(super) async fn until_counted(&self, reloads: usize) {
        let line = format!("portcullis_config_reloads_total{{result=\"success\"}} {reloads}");
        while !self.page("/metrics").await.lines().any(|found| found == line) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    fn hangup(&self) {
        let sent = Command::new("kill").args(["-HUP", &self.server.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Posts to `/reload`, and returns the whole answer.
    async fn post(&self) -> String {
        let socket = tokio::net::UnixStream::connect(self.socket()).await.unwrap();
        ask_raw(socket, "POST /reload HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await
    }

    async fn page(&self, page: &str) -> String {
        let answer = ask_unix(&self.socket(), "localhost", page).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub(super) async fn config(&self) -> Value {
        serde_json::from_str(&self.page("/config").await).unwrap()
    }

    fn command(&self) -> std::process::Output {
        portcullis(&["reload", "--admin", &format!("unix:{}", self.socket().display())])
    }
}

pub(super) fn made(name: &str) -> PathBuf {
    let folder = folder(name);
    std::fs::create_dir(&folder).unwrap();
    folder
}

/// Puts a whole file in the place of the one before.
fn write(folder: &Path, configuration: &str, more: &str) {
    let setup = Setup::echo().plugin("teller", &tells_configuration(), &format!("configuration: {configuration}"));
    let admin = format!("admin: {:?}", format!("unix:{}", folder.join("admin.sock").display()));
    replace(&folder.join("gateway.yaml"), &format!("{}{more}", setup.text().replace("admin: 127.0.0.1:0", &admin)));
}

pub(super) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn each_way_brings_the_next_generation_and_connections_stay() {
    run(async {
        let mut live = Live::start("live-ways", "").await;
        write(&live.folder, "two", "");
        live.hangup();
        live.until_told("two").await;
        write(&live.folder, "three", "");
        let answer = live.post().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"generation\": 3"), "{answer}");
        assert_eq!(live.told().await, "three", "at once");
        write(&live.folder, "four", "watch: true\n");
        let output = live.command();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{error}");
        assert_eq!(text(&output.stdout), "generation 4 serves: plugins: 1 started, 0 stayed, 1 ended\n");
        assert_eq!(live.told().await, "four");
        write(&live.folder, "five", "watch: true\n");
        live.until_told("five").await;
        live.until_counted(4).await;
        let config = live.config().await;
        assert_eq!((&config["generation"]["number"], &config["watch"]), (&5.into(), &true.into()));
        let last = &config["last_reload"];
        assert_eq!((&last["by"], &last["result"], &last["error"]), (&"watch".into(), &"success".into(), &Value::Null));
        assert_eq!(config["generations"].as_array().unwrap().last().unwrap()["number"], 5);
        let metrics = live.page("/metrics").await;
        for line in [
            "portcullis_config_generation 5",
            "portcullis_config_reloads_total{result=\"success\"} 4",
            "portcullis_config_reloads_total{result=\"failure\"} 0",
            "portcullis_config_last_reload_successful 1",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
        }
        let log = stop(live.server).await;
        for by in ["SIGHUP", "POST /reload", "watch"] {
            assert!(log.contains(&format!("\"by\":\"{by}\"")), "{by}: {log}");
        }
    });
}

/// A secret and the code of a plugin are files that are named, too.
#[test]
fn a_watch_sees_secrets_and_plugins() {
    run(async {
        let folder = made("live-watch");
        let (secret, code) = (folder.join("secret"), folder.join("plugin.wasm"));
        std::fs::write(&secret, "one\n").unwrap();
        std::fs::copy(tells_configuration(), &code).unwrap();
        let setup = Setup::echo().plugin(
            "teller",
            &code,
            &format!("configuration: {{file: {:?}}}", secret.display().to_string()),
        );
        let config = folder.join("gateway.yaml");
        std::fs::write(&config, setup.text() + "watch: true\n").unwrap();
        let server = serve(&config, &[]);
        let mut client = Client::h1(server.address).await;
        assert_eq!(client.ask(get("/")).await.header("x-configuration"), "one");
        replace(&secret, "two\n");
        while client.ask(get("/")).await.header("x-configuration") != "two" {}
        let other =
            plugin(&[("response_headers", r#"(call $header (i32.const 2) $"x-configuration" $"code") (i32.const 0)"#)]);
        std::fs::copy(other, folder.join("plugin.new")).unwrap();
        std::fs::rename(folder.join("plugin.new"), &code).unwrap();
        while client.ask(get("/")).await.header("x-configuration") != "code" {}
        let log = stop(server).await;
        assert!(!log.contains("not reloaded"), "{log}");
    });
}

#[test]
fn a_broken_file_changes_nothing_and_all_places_say_so() {
    run(async {
        let mut live = Live::start("live-broken", "").await;
        write(&live.folder, "two", "prot: 1\n");
        let broken = live.folder.join("gateway.yaml");
        let line = std::fs::read_to_string(&broken).unwrap().lines().count();
        let expected = format!("{}:{line}:1: unknown key \"prot\"", broken.display());
        let output = live.command();
        let error = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{error}");
        assert!(
            error.contains("not reloaded, and the gateway serves as before:\n") && error.contains(&expected),
            "{error}"
        );
        let answer = live.post().await;
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(&expected), "{answer}");
        // A plugin that does not start is found away from traffic.
        let traps = plugin(&[("configure", "unreachable")]);
        let good = std::fs::read_to_string(&broken).unwrap().replace("prot: 1\n", "");
        replace(&broken, &good.replace(tells_configuration().to_str().unwrap(), traps.to_str().unwrap()));
        let answer = live.post().await;
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("listeners[0].plugins[0]"), "{answer}");
        assert_eq!(live.told().await, "one");
        let config = live.config().await;
        assert_eq!(config["generation"]["number"], 1);
        let last = &config["last_reload"];
        assert_eq!(last["result"], "failure");
        assert!(last["error"].as_str().unwrap().contains("listeners[0].plugins[0]"), "{last}");
        let ready = live.page("/ready").await;
        assert!(
            ready.starts_with("ready\nreload: failed at ") && ready.contains("generation 1 serves on: "),
            "{ready}"
        );
        let metrics = live.page("/metrics").await;
        for line in [
            "portcullis_config_generation 1",
            "portcullis_config_reloads_total{result=\"failure\"} 3",
            "portcullis_config_last_reload_successful 0",
        ] {
            assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
        }
        // By a signal nobody is answered, and the log says it.
        replace(&broken, &good.replace("workers:", "worker:"));
        live.hangup();
        until(|| live.server.said("unknown key \\\"worker\\\"")).await;
        write(&live.folder, "three", "");
        assert!(live.post().await.starts_with("HTTP/1.1 200"));
        assert_eq!(live.told().await, "three");
        assert_eq!(live.page("/ready").await, "ready\n");
        let log = stop(live.server).await;
        assert!(log.contains("not reloaded, generation 1 serves on: "), "{log}");
    });
}

#[test]
fn over_tcp_the_command_needs_the_token() {
    run(async {
        let folder = made("live-token");
        let token = folder.join("token");
        std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
        std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
        let other = folder.join("other");
        std::fs::write(&other, "0123456789abcdef0123456789abcdeF\n").unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let keys = format!("admin: {{address: '{admin}', token_file: token}}");
        let config = folder.join("gateway.yaml");
        std::fs::write(&config, Setup::echo().text().replace("admin: 127.0.0.1:0", &keys)).unwrap();
        let server = serve(&config, &[]);
        until(|| std::net::TcpStream::connect(&admin).is_ok()).await;
        let reload = |token: &[&str]| portcullis(&[&["reload", "--admin", &admin], token].concat());
        let output = reload(&["--token-file", token.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).starts_with("generation 2 serves: "));
        for (arguments, expected) in [
            (&[][..], "needs the token of admin.token_file"),
            (&["--token-file", other.to_str().unwrap()], "not the token of admin.token_file"),
        ] {
            let output = reload(arguments);
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        }
        let log = stop(server).await;
        assert!(!log.contains("0123456789abcdef"), "{log}");
    });
}

#[test]
fn a_gateway_that_records_or_reads_standard_input_says_that_it_does_not_reload() {
    run(async {
        let folder = made("live-never");
        write(&folder, "one", "");
        let (config, socket) = (folder.join("gateway.yaml"), folder.join("admin.sock"));
        let transcripts = folder.join("transcripts");
        let mut input = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        input.stdin(Stdio::from(std::fs::File::open(&config).unwrap()));
        let refused = async |server: Server, expected: &str| {
            until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok()).await;
            let output = portcullis(&["reload", "--admin", &format!("unix:{}", socket.display())]);
            assert_eq!(output.status.code(), Some(1));
            assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
            stop(server).await;
        };
        let server = serve(&config, &["--record", transcripts.to_str().unwrap()]);
        refused(server, "a gateway that was started with --record cannot change").await;
        refused(serve_with(input, Path::new("-"), &[]), "its configuration came from standard input").await;
    });
}
