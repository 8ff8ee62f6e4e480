//! Pauses that nothing ends, and those that Pingora cannot wait for the end of.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_core::abi::BufferType;
use portcullis_core::model::FailurePolicy;
use portcullis_core::testing::Script;
use portcullis_pingora::{BodyMode, Options};

use crate::http1::{get, post};
use crate::plugins::{ON_REQUEST, ON_REQUEST_BODY, ON_RESPONSE, ON_RESPONSE_BODY, RESPONSE, scripted, with_policy};
use crate::proxy::Proxy;

/// Holds the head of a response until it has the body.
fn scanner() -> Script {
    Script::new().on(ON_RESPONSE, |_, args| i32::from(args.get(2) != Some(&1))).on(ON_RESPONSE_BODY, |caller, args| {
        if args.get(2) != Some(&1) {
            return 1;
        }
        let length = caller.buffer(BufferType::HttpResponseBody).unwrap_or_default().len();
        caller.add_header(RESPONSE, "x-scanned", &length.to_string());
        0
    })
}

/// Lines of logs, of all tests of the process: whoever looks for a line names the plugin.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_response_that_waits_for_its_body_is_answered_by_the_failure_policy_and_the_log_says_why() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
    let proxy = Proxy::start(&[scripted("scanner-closed", scanner)]);
    assert_eq!(proxy.exchange(post("/echo", "", b"abc")).status(), 503);
    assert_eq!(proxy.exchange(get("/empty", "")).status(), 200, "nothing follows that it could wait for");
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let told = |what: &str| {
        let line = text.lines().find(|line| line.contains("scanner-closed") && line.contains(what));
        let line = line.unwrap_or_else(|| panic!("{what:?} is not in {text}"));
        assert!(line.contains("Pingora") && line.contains("set response_body to buffer"), "{line}");
    };
    told("may hold the head of a response until it has seen the body");
    told("the plugin holds the response, and its failure policy decides");

    let proxy = Proxy::start(&[with_policy(scripted("scanner-open", scanner), FailurePolicy::Open)]);
    let answer = proxy.exchange(post("/echo", "", b"abc"));
    assert_eq!((answer.status(), answer.text().as_str()), (200, "abc"));
}

#[test]
fn it_waits_if_the_body_is_buffered() {
    let options = Options::default().with_response_body(BodyMode::Buffer);
    let proxy = Proxy::optional(&[scripted("scanner", scanner)], options);
    let answer = proxy.exchange(post("/echo", "", b"abc"));
    assert_eq!((answer.text().as_str(), answer.get("x-scanned")), ("abc", Some("3")));
    let answer = proxy.exchange(get("/large", ""));
    assert_eq!((answer.body.len(), answer.get("x-scanned")), (300_000, Some("300000")));
    let answer = proxy.exchange(get("/half", ""));
    assert_eq!(answer.status(), 502, "nothing of it was sent");
}

#[test]
fn a_request_in_pingoras_own_way_does_not_wait_for_its_body() {
    let script =
        || Script::new().on(ON_REQUEST, |_, args| i32::from(args.get(2) != Some(&1))).on(ON_REQUEST_BODY, |_, _| 0);
    let options = Options::default().with_request_body(BodyMode::Stream);
    let proxy = Proxy::optional(&[scripted("holder", script)], options);
    assert_eq!(proxy.exchange(post("/echo", "", b"abc")).status(), 503);
    assert!(proxy.upstream.seen().is_empty());
    let proxy = Proxy::optional(&[with_policy(scripted("holder", script), FailurePolicy::Open)], options);
    assert_eq!(proxy.exchange(post("/echo", "", b"abc")).text(), "abc");
}

#[test]
fn a_pause_that_nothing_ends_is_ended_by_the_limit() {
    let options = Options::default().with_pause_limit(Duration::ZERO);
    for (on, path) in [(ON_REQUEST, "/empty"), (ON_REQUEST_BODY, "/echo")] {
        let proxy = Proxy::optional(&[scripted("stopper", move || Script::new().on(on, |_, _| 1))], options);
        assert_eq!(proxy.exchange(post(path, "", b"abc")).status(), 503, "{on}");
        let open = with_policy(scripted("stopper", move || Script::new().on(on, |_, _| 1)), FailurePolicy::Open);
        let proxy = Proxy::optional(&[open], options);
        assert_eq!(proxy.exchange(post(path, "", b"abc")).status(), 200, "{on}");
    }
}
