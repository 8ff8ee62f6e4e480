//! Bodies whose length plugins change, heads that wait for bodies, and answers without a body.

use crate::common::{Bench, plugin, recorder, with_headers_stop};
use portcullis_chain::local_response;
use portcullis_core::abi::{BufferType, CallbackId};
use portcullis_core::model::Direction;
use portcullis_core::testing::Script;

const BODY: CallbackId = CallbackId::on_request_body;
const HEADERS: CallbackId = CallbackId::on_request_headers;

/// A guest that makes each piece of a body one byte.
fn shrinking(direction: Direction) -> impl Fn() -> Script + Clone + Send + Sync {
    let (id, buffer) = match direction {
        Direction::Request => (BODY, BufferType::HttpRequestBody),
        Direction::Response => (CallbackId::on_response_body, BufferType::HttpResponseBody),
    };
    move || {
        recorder(&[]).on(id, move |caller, _| {
            assert_eq!(caller.set_buffer(buffer, b"x"), 0);
            0
        })
    }
}

#[test]
fn who_changes_a_length_is_named() {
    for direction in [Direction::Request, Direction::Response] {
        let others = || recorder(&[]);
        let mut bench = Bench::new(&[plugin("a", others), plugin("b", shrinking(direction)), plugin("c", others)]);
        bench.request(direction == Direction::Response);
        if direction == Direction::Response {
            bench.response(false);
        }
        bench.body(direction, "abc", false);
        assert_eq!(bench.worker.resized(bench.stream, direction), ["b"]);
        bench.body(direction, "def", true);
        assert_eq!(bench.worker.resized(bench.stream, direction), ["b"]);
    }
}

#[test]
fn without_one_all_are_named() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", true);
    let mut named = bench.worker.resized(bench.stream, Direction::Request);
    named.sort();
    assert_eq!(named, ["a", "b"]);
}

#[test]
fn bytes_that_plugins_hold_are_counted() {
    let held = |bench: &mut Bench| bench.worker.held_body(bench.stream, Direction::Request);
    for (status, expected) in [(0, 0), (1, 5), (2, 5), (3, 0)] {
        let status: &'static [i32] = Box::leak(Box::new([status]));
        let mut bench = Bench::new(&[plugin("a", move || recorder(&[(BODY, status)]))]);
        bench.request(false);
        assert_eq!(held(&mut bench), 0);
        bench.request_body("12345", false);
        assert_eq!(held(&mut bench), expected, "{status:?}");
    }
    let mut bench = Bench::new(&[plugin("a", || recorder(&[(HEADERS, &[4])]))]);
    bench.request(false);
    bench.request_body("12345", true);
    assert_eq!(held(&mut bench), 5, "also what has not been seen");
}

#[test]
fn what_is_held_or_not_seen_yet_is_not_missing() {
    let stop = || recorder(&[(BODY, &[1])]);
    let mut bench = Bench::new(&[plugin("a", shrinking(Direction::Request)), plugin("b", stop)]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.worker.resized(bench.stream, Direction::Request), ["a"], "b holds what it got");
    let stop = || recorder(&[(HEADERS, &[4])]);
    let mut bench = Bench::new(&[plugin("a", shrinking(Direction::Request)), plugin("b", stop)]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.worker.resized(bench.stream, Direction::Request), ["a"], "b has not seen it");
    let drop = || recorder(&[(BODY, &[3])]);
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", drop)]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.worker.resized(bench.stream, Direction::Request), ["b"], "b drops it");
}

/// By what the plugin before the last one returns for the headers, whether it may hold these alone, and whether it has a
/// callback for bodies.
#[test]
fn a_body_is_heard_when_the_head_has_left_or_who_holds_it_reads_on() {
    for (status, alone, has_callback, expected) in [
        (0, false, true, true),
        (0, false, false, true),
        (1, false, true, false),
        (1, true, true, true),
        (1, true, false, false),
        (3, true, true, false),
        (4, true, true, false),
    ] {
        let status: &'static [i32] = Box::leak(Box::new([status]));
        let script = move || {
            if has_callback { recorder(&[(HEADERS, status)]) } else { Script::new().on(HEADERS, move |_, _| status[0]) }
        };
        let mut spec = plugin("b", script);
        if alone {
            spec = with_headers_stop(spec);
        }
        let mut bench = Bench::new(&[plugin("a", || recorder(&[])), spec, plugin("c", || recorder(&[]))]);
        bench.request(false);
        assert_eq!(
            bench.worker.hears_body(bench.stream, Direction::Request),
            expected,
            "{status:?} {alone} {has_callback}"
        );
    }
}

#[test]
fn a_failure_behind_the_head_has_details_of_its_own() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(true);
    bench.response(false);
    bench.worker.fail(bench.stream, local_response(503, "before", ""), "broken", "broken{why}".to_owned());
    assert_eq!(bench.effects(), ["request done", "reset broken"]);
    assert_eq!(bench.details().as_deref(), Some("broken{why}"));
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(true);
    bench.worker.fail(bench.stream, local_response(503, "before", ""), "broken", "broken{why}".to_owned());
    assert_eq!(bench.effects(), ["request done", "response :status=503 end"]);
    assert_eq!(bench.details().as_deref(), Some("before"));
}

#[test]
fn answers_of_some_statuses_have_no_body() {
    for status in [204, 205, 304] {
        let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
        bench.request(true);
        bench.worker.reply(bench.stream, local_response(status, "", "gone"));
        assert_eq!(bench.effects(), ["request done".to_owned(), format!("response :status={status} end")]);
    }
}
