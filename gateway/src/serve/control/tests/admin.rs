//! The admin interface over real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::sync::watch;

use super::fake::{Fake, File, LIMIT};
use crate::config::Config;
use crate::observe::admin::{self, AdminSocket, Showing, Shown, UnixSocket};
use crate::serve::control::{Control, Source};
use crate::serve::server::Gateway;

/// An admin interface at a socket, over a reload that ends at once.
struct Interface {
    control: Control,
    showing: Showing,
    stop: watch::Sender<bool>,
    task: Option<std::thread::JoinHandle<()>>,
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

impl Interface {
    fn start(fake: &Fake, file: &File, with_token: bool, socket: AdminSocket) -> Self {
        let token = file.0.join("token");
        std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
        std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
        let more = if with_token { ", token_file: token" } else { "" };
        file.write(1, &format!("admin: {{address: 127.0.0.1:1{more}}}\n"));
        let (config, source) = Source::read_first(&file.path()).unwrap();
        let mut admin = Gateway::prepare(config.clone()).unwrap().admin();
        let showing = admin.showing.clone();
        let shows = showing.clone();
        fake.change(|state| {
            state.show = Some(Box::new(move |config: &Config| shows.replace(Shown::of(config, Value::Null, false))));
        });
        let control = Control::start(fake.clone(), source.unwrap(), config.watch).unwrap();
        admin.control = Some(control.clone());
        let (stop, stopped) = watch::channel(false);
        let task = std::thread::spawn(move || admin::run(admin, socket, stopped));
        Self { control, showing, stop, task: Some(task) }
    }

    fn tcp(fake: &Fake, file: &File, with_token: bool) -> (Self, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        (Self::start(fake, file, with_token, AdminSocket::Tcp(socket)), address)
    }

    fn unix(fake: &Fake, file: &File, with_token: bool, mode: u32) -> (Self, PathBuf) {
        let path = file.0.join("admin.sock");
        let socket = UnixSocket::bind(&path, mode).unwrap();
        (Self::start(fake, file, with_token, AdminSocket::Unix(socket)), path)
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let _ = self.task.take().map(std::thread::JoinHandle::join);
    }
}

/// Sends a request and returns status and answer.
fn send(mut io: impl Read + Write, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
    io.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    (answer.get(9..12).unwrap().parse().unwrap(), answer)
}

fn tcp(address: SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(LIMIT)).unwrap();
    tcp
}

fn unix(path: &Path) -> UnixStream {
    let unix = UnixStream::connect(path).unwrap();
    unix.set_read_timeout(Some(LIMIT)).unwrap();
    unix
}

const BEARER: &str = "authorization: Bearer 0123456789abcdef0123456789abcdef";

#[test]
fn over_tcp_a_reload_needs_post_the_token_and_no_other_site() {
    let (fake, file) = (Fake::free(), File::new("tcp"));
    let (interface, address) = Interface::tcp(&fake, &file, true);
    for (method, headers, status, part) in [
        ("GET", &[BEARER][..], 405, "allow: POST"),
        ("HEAD", &[BEARER], 405, "allow: POST"),
        ("PUT", &[BEARER], 405, "allow: POST"),
        ("POST", &[], 401, "www-authenticate: Bearer"),
        ("POST", &["authorization: Bearer 0123456789abcdef0123456789abcdeF"], 401, "not the token of admin.token_file"),
        ("POST", &[BEARER, "origin: https://evil.example"], 403, "a page of another site"),
        ("POST", &[BEARER, "sec-fetch-site: cross-site"], 403, "a page of another site"),
    ] {
        let (found, answer) = send(tcp(address), method, "/reload", headers);
        assert!(found == status && answer.contains(part), "{method} {headers:?}: {answer}");
        assert!(!answer.contains(TOKEN), "{answer}");
    }
    let mut io = tcp(address);
    io.write_all(
        format!("POST /reload HTTP/1.1\r\nhost: evil.example\r\n{BEARER}\r\nconnection: close\r\n\r\n").as_bytes(),
    )
    .unwrap();
    let mut answer = String::new();
    io.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert_eq!(fake.asked(), [0_usize; 0], "nothing was reloaded");
    let (status, answer) = send(tcp(address), "POST", "/reload", &[BEARER, "content-length: 0"]);
    assert_eq!(status, 200, "{answer}");
    let json: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(json, serde_json::json!({ "generation": 2, "started": 2, "stayed": 3, "ended": 1 }));
    // Another token, from the next reload on.
    std::fs::write(file.0.join("token"), "another-token-of-32-characters--").unwrap();
    assert_eq!(send(tcp(address), "POST", "/reload", &[BEARER]).0, 200);
    assert_eq!(send(tcp(address), "POST", "/reload", &[BEARER]).0, 401);
    assert_eq!(
        send(tcp(address), "POST", "/reload", &["authorization: Bearer another-token-of-32-characters--"]).0,
        200
    );
    assert!(!format!("{:?}", interface.showing).contains("another-token"));
}

#[test]
fn without_a_token_writes_are_off_and_it_says_how_to_switch_them_on() {
    let (fake, file) = (Fake::free(), File::new("off"));
    let (_interface, address) = Interface::tcp(&fake, &file, false);
    for headers in [&[][..], &[BEARER]] {
        let (status, answer) = send(tcp(address), "POST", "/reload", headers);
        assert!(
            status == 403 && answer.contains("admin.token_file") && answer.contains("admin: unix:PATH"),
            "{answer}"
        );
    }
    assert_eq!(fake.asked(), [0_usize; 0]);
}

#[test]
fn a_unix_socket_of_one_user_needs_no_token_and_one_of_others_does() {
    let (fake, file) = (Fake::free(), File::new("unix"));
    {
        let (_interface, path) = Interface::unix(&fake, &file, false, 0o600);
        assert_eq!(send(unix(&path), "POST", "/reload", &["origin: http://evil.example"]).0, 403);
        assert_eq!(send(unix(&path), "POST", "/reload", &["sec-fetch-site: same-site"]).0, 403);
        assert_eq!(send(unix(&path), "GET", "/reload", &[]).0, 405);
        assert_eq!(fake.asked(), [0_usize; 0]);
        assert_eq!(send(unix(&path), "POST", "/reload", &[]).0, 200);
    }
    {
        let (_interface, path) = Interface::unix(&fake, &file, false, 0o660);
        assert_eq!(send(unix(&path), "POST", "/reload", &[]).0, 403);
    }
    let (_interface, path) = Interface::unix(&fake, &file, true, 0o660);
    assert_eq!(send(unix(&path), "POST", "/reload", &[]).0, 401);
    assert_eq!(send(unix(&path), "POST", "/reload", &[BEARER]).0, 200);
    assert_eq!(fake.asked().len(), 2);
}

#[test]
fn each_outcome_has_an_answer_and_the_pages_follow() {
    let (fake, file) = (Fake::default(), File::new("answers"));
    let (interface, path) = Interface::unix(&fake, &file, false, 0o600);
    let config = || -> Value {
        let (status, answer) = send(unix(&path), "GET", "/config", &[]);
        assert_eq!(status, 200);
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    assert_eq!((&config()["workers"], &config()["generation"]["number"]), (&1.into(), &1.into()));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| send(unix(&path), "POST", "/reload", &[]));
        fake.until_asked(1);
        file.write(2, "admin: {address: 127.0.0.1:1}\n");
        let second = scope.spawn(|| send(unix(&path), "POST", "/reload", &[]));
        let (status, answer) = first.join().unwrap();
        assert!(status == 409 && answer.contains("a newer reload"), "{answer}");
        fake.until_asked(2);
        fake.change(|state| state.may_end = 1);
        assert_eq!(second.join().unwrap().0, 200);
    });
    let shown = config();
    assert_eq!((&shown["workers"], &shown["generation"]["number"]), (&2.into(), &2.into()));
    assert_eq!(shown["last_reload"]["result"], "success");
    file.write(3, "prot: 1\n");
    let (status, answer) = send(unix(&path), "POST", "/reload", &[]);
    assert!(status == 422 && answer.contains("gateway.yaml:4:1: unknown key \"prot\""), "{answer}");
    let shown = config();
    assert_eq!((&shown["workers"], &shown["last_reload"]["result"]), (&2.into(), &"failure".into()));
    let (status, ready) = send(unix(&path), "GET", "/ready", &[]);
    assert!(status == 200 && ready.contains("\nreload: failed at ") && ready.contains("unknown key"), "{ready}");
    let (_, metrics) = send(unix(&path), "GET", "/metrics", &[]);
    for name in [
        "portcullis_config_generation ",
        "portcullis_config_reloads_total{result=\"failure\"} ",
        "portcullis_config_reloads_total{result=\"success\"} ",
        "portcullis_config_reloads_total{result=\"cancelled\"} ",
        "portcullis_config_last_reload_successful ",
        "portcullis_config_last_reload_success_timestamp_seconds ",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name}: {metrics}");
    }
    interface.control.stop();
    let (status, answer) = send(unix(&path), "POST", "/reload", &[]);
    assert!(status == 503 && answer.contains("the gateway stops"), "{answer}");
}
