//! Pauses that a proxy cannot wait for the end of.

use crate::common::{
    Bench, answering, call_out, continue_both, plugin, recorder, ticking, with_headers_stop, with_policy,
};
use portcullis_core::abi::{CallbackId, StreamType};
use portcullis_core::model::{Direction, FailurePolicy};

const REQUEST: CallbackId = CallbackId::on_request_headers;
const RESPONSE: CallbackId = CallbackId::on_response_headers;

#[test]
fn only_a_callout_in_the_streams_own_name_counts() {
    let script = || {
        answering(recorder(&[]), |caller| {
            caller.continue_stream(StreamType::Request);
        })
        .on(REQUEST, |caller, _| i32::from(call_out(caller) > 0))
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    assert!(!bench.worker.awaits_callout(bench.stream));
    bench.request(false);
    let other = bench.open();
    assert!(!bench.worker.awaits_callout(bench.stream), "the callout is another stream's");
    bench.turn_to(other);
    assert!(bench.worker.awaits_callout(bench.stream));
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
    bench.answer_callout();
    assert!(!bench.worker.awaits_callout(bench.stream));
    bench.worker.finish(bench.stream);
    assert!(!bench.worker.awaits_callout(bench.stream), "it is over");
}

#[test]
fn a_plugin_that_fails_closed_costs_the_stream() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[(RESPONSE, &[1])]))]);
    bench.request(true);
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Response), [""; 0], "nothing is held");
    assert_eq!(bench.response(false), [""; 0]);
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Response), ["a"]);
    assert_eq!(bench.effects(), ["request done", "response :status=503 end"]);
    assert_eq!(bench.details().as_deref(), Some("wasm_fail_stream"));
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Response), [""; 0], "once");
    assert_eq!(bench.response_body("late", true), [""; 0]);
}

#[test]
fn the_same_of_a_request_answers_it() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[(REQUEST, &[1])]))]);
    bench.request(false);
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Request), ["a"]);
    assert_eq!(bench.effects(), ["request done", "response :status=503 end"]);
}

#[test]
fn what_a_plugin_holds_that_fails_open_goes_on() {
    let held = with_headers_stop(plugin("a", || recorder(&[(REQUEST, &[1])])));
    let next = plugin("b", || recorder(&[(REQUEST, &[1])]));
    let open = |spec| with_policy(spec, FailurePolicy::Open);
    let mut bench = Bench::new(&[open(held), open(next)]);
    bench.request(false);
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Response), [""; 0], "it is the request that is held");
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Request), ["a"]);
    assert_eq!(bench.effects(), [""; 0], "the next one holds it now");
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Request), ["b"]);
    assert_eq!(bench.effects(), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
}

#[test]
fn a_response_that_has_begun_is_cut() {
    let script = || recorder(&[(CallbackId::on_response_body, &[1])]);
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    bench.response(false);
    assert_eq!(bench.response_body("abc", true), [""; 0]);
    assert_eq!(bench.worker.end_pause(bench.stream, Direction::Response), ["a"]);
    assert_eq!(bench.effects(), ["request done", "reset local_response_after_headers"]);
}

#[test]
fn who_was_overruled_may_still_try_to_go_on() {
    let script = || ticking(recorder(&[(RESPONSE, &[1])]), continue_both);
    let mut bench = Bench::new(&[with_policy(plugin("a", script), FailurePolicy::Open)]);
    bench.request(true);
    bench.response(false);
    bench.worker.end_pause(bench.stream, Direction::Response);
    assert_eq!(bench.effects(), ["response :status=200"]);
    assert_eq!(bench.tick(), [""; 0], "nothing is held any more");
}
