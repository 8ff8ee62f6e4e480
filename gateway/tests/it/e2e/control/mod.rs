//! The command `reload`, against somebody who gives answers; `live` has reloads of a process.

mod files;
mod live;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::e2e::cli::{file, portcullis, text};

/// Answers one request, and returns its head.
fn answer_once(io: impl std::io::Read + Write, answer: &str) -> String {
    let mut io = BufReader::new(io);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(io.read_line(&mut head).unwrap() > 0, "{head}");
    }
    io.get_mut().write_all(answer.as_bytes()).unwrap();
    head
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Runs `reload` against somebody who gives an answer; returns the head of the request, the exit status and what was printed.
fn reload(given: &str, arguments: &[&str]) -> (String, i32, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = listener.local_addr().unwrap().to_string();
    let given = given.to_owned();
    let answering = std::thread::spawn(move || answer_once(listener.accept().unwrap().0, &given));
    let output = portcullis(&[&["reload", "--admin", &admin], arguments].concat());
    let error = text(&output.stderr).replace(&admin, "ADMIN");
    (answering.join().unwrap(), output.status.code().unwrap(), text(&output.stdout), error)
}

#[test]
fn the_outcome_is_printed_and_is_the_exit_status() {
    let done = r#"{"generation": 7, "started": 1, "stayed": 50, "ended": 2}"#;
    let token = file("reload.token", "0123456789abcdef\n");
    let (head, code, output, error) = reload(&answer("200 OK", done), &["--token-file", token.to_str().unwrap()]);
    assert_eq!(
        (code, output.as_str()),
        (0, "generation 7 serves: plugins: 1 started, 50 stayed, 2 ended\n"),
        "{error}"
    );
    assert!(head.starts_with("POST /reload HTTP/1.1\r\n") && head.contains("\r\nhost: 127.0.0.1:"), "{head}");
    assert!(head.contains("\r\nauthorization: Bearer 0123456789abcdef\r\n"), "{head}");
    for (status, body, expected) in [
        (
            "422 Unprocessable Entity",
            "gateway.yaml:4:1: unknown key \"prot\"; did you mean \"port\"?\n",
            "ADMIN: not reloaded, and the gateway serves as before:\ngateway.yaml:4:1: unknown key \"prot\"; did you mean \"port\"?\n",
        ),
        (
            "409 Conflict",
            "a newer reload took the place of this one\n",
            "ADMIN: a newer reload took the place of this one\n",
        ),
        ("503 Service Unavailable", "the gateway stops\n", "ADMIN: the gateway stops\n"),
        ("403 Forbidden", "writes are off\n", "ADMIN: writes are off; name the file of the token by --token-file\n"),
        ("401 Unauthorized", "no token\n", "ADMIN: no token; name the file of the token by --token-file\n"),
        (
            "404 Not Found",
            "nothing",
            "ADMIN: no admin interface that reloads answers there; name that of the gateway by --admin\n",
        ),
        (
            "500 Internal Server Error",
            "a\u{1b}[2Jb",
            "ADMIN: the answer is 500 Internal Server Error: a\\x1b[2Jb; name the gateway's",
        ),
    ] {
        let (head, code, output, error) = reload(&answer(status, body), &[]);
        assert_eq!((code, output.as_str()), (1, ""), "{error}");
        assert!(error.starts_with(expected), "{error}");
        assert!(!head.contains("authorization"), "{head}");
    }
    let (_, code, _, error) = reload("", &[]);
    assert!(
        code == 1 && error.contains("the connection ended before the answer: ") && error.contains("see the log"),
        "{error}"
    );
}

#[test]
fn a_unix_socket_is_asked() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reload.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let given = answer("200 OK", "{}");
    let answering = std::thread::spawn(move || answer_once(listener.accept().unwrap().0, &given));
    let output = portcullis(&["reload", "--admin", &format!("unix:{}", path.display())]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "{}\n"), "{}", text(&output.stderr));
    let head = answering.join().unwrap();
    assert!(head.starts_with("POST /reload HTTP/1.1\r\nhost: localhost\r\n"), "{head}");
}

#[test]
fn what_cannot_be_asked_has_a_remedy() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let two_lines = file("two-lines.token", "0123456789abcdef\n0123456789abcdef\n");
    for (arguments, expected) in [
        (
            &["--admin", &*unused][..],
            "cannot connect: Connection refused (os error 111); start the gateway, or name its admin",
        ),
        (&["--admin", "unix:/nowhere/admin.sock"], "unix:/nowhere/admin.sock: cannot connect: No such file"),
        (&["--admin", "nonsense"], "nonsense: cannot connect: invalid socket address; start the gateway"),
        (&["--token-file", "/nowhere/token"], "cannot read the token in /nowhere/token: No such file"),
        (
            &["--token-file", two_lines.to_str().unwrap()],
            "two-lines.token: it has more than one line; correct the path",
        ),
    ] {
        let output = portcullis(&[&["reload"], arguments].concat());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(expected), "{error}");
        assert!(!error.contains("0123456789"), "{error}");
    }
}
