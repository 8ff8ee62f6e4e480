//! A response whose request the driver has not fed.

use crate::common::{
    Bench, continue_both, per_stream, plugin, recorder, respond, ticking, trap, vm_counts, with_policy,
};
use portcullis_chain::local_response;
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy};
use portcullis_core::testing::{NullCaller, Script};

const HEADERS: CallbackId = CallbackId::on_response_headers;

#[test]
fn reaches_the_plugins() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", || recorder(&[]))]);
    assert_eq!(bench.response(false), ["response :status=200"]);
    assert_eq!(bench.response_body("abc", false), ["response body abc"]);
    assert_eq!(bench.response_trailers(), ["response trailers t=1"]);
    let expected = [
        "b: response headers 1",
        "a: response headers 1",
        "b: response body abc",
        "a: response body abc",
        "b: response trailers 1",
        "a: response trailers 1",
    ];
    assert_eq!(bench.journal(), expected);
    assert_eq!(bench.finish(), ["a: log", "b: log", "a: done", "a: delete", "b: done", "b: delete"]);
}

#[test]
fn has_vms_of_its_own_where_each_stream_has() {
    let mut bench = Bench::new(&[per_stream("a", || recorder(&[])), plugin("b", || recorder(&[]))]);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
    assert_eq!(bench.journal(), ["b: response headers 1 end", "a: response headers 1 end"]);
    assert_eq!(vm_counts(&bench.worker), (2, 0));
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (1, 0));
}

/// Logs what there is of the request.
fn looks(caller: &mut NullCaller<'_>, _: &[i32]) -> i32 {
    let map = MapType::RequestHeaders;
    let pairs = caller.bytes(|caller, ptr, len| entry::proxy_get_header_map_pairs(caller, map as i32, ptr, len));
    let path = caller.header(map, ":path");
    let added = caller.add_header(map, "x", "1");
    let (key, key_len) = caller.put(b"request\0path");
    let property = caller.bytes(|caller, ptr, len| entry::proxy_get_property(caller, key, key_len, ptr, len));
    caller.log(&format!("pairs {pairs:?}, path {path:?}, add {added}, property {property:?}"));
    0
}

#[test]
fn shows_an_empty_request() {
    let script = || {
        let script = recorder(&[]).on(HEADERS, looks).on(CallbackId::on_response_body, looks);
        script.on(CallbackId::on_log, looks)
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.response(false);
    bench.response_body("abc", true);
    assert_eq!(bench.journal(), ["a: pairs Ok([]), path Err(2), add 2, property Err(1)"; 2]);
    let log = bench.finish();
    assert_eq!(log[0], "a: pairs Ok([]), path Err(1), add 2, property Err(1)");
}

#[test]
fn is_held_and_goes_on() {
    let mut bench = Bench::new(&[plugin("a", || ticking(recorder(&[(HEADERS, &[1])]), continue_both))]);
    assert_eq!(bench.response(false), [""; 0]);
    assert_eq!(bench.response_body("abc", true), [""; 0]);
    assert_eq!(bench.tick(), ["response :status=200", "response body abc end"]);
}

#[test]
fn is_replaced_by_a_local_one() {
    let script = || recorder(&[]).on(HEADERS, |caller, _| respond(caller, 403, "no", &[], -1));
    let mut bench = Bench::new(&[plugin("a", script)]);
    let effects = bench.response(true);
    assert!(effects.iter().any(|effect| effect.contains(":status=403")), "{effects:?}");
    assert!(!effects.iter().any(|effect| effect.contains(":status=200")), "{effects:?}");
}

#[test]
fn is_answered_by_the_policy_of_a_plugin_that_fails() {
    for (policy, expected) in [
        (FailurePolicy::Closed, &["request done", "response :status=503 end"][..]),
        (FailurePolicy::Open, &["response :status=200 end"]),
    ] {
        // In its first callback, and when its context is created.
        for callback in [HEADERS, CallbackId::on_context_create] {
            let script = move || {
                Script::new().try_on(callback, move |_, args| match args {
                    [_, 0] if callback != HEADERS => Ok(0),
                    _ => Err(trap()),
                })
            };
            let mut bench = Bench::new(&[with_policy(plugin("a", script), policy)]);
            assert_eq!(bench.response(true), expected, "{policy:?} {callback}");
        }
    }
}

/// The proxy's own answer to a request that it did not let in is none of a response that came.
#[test]
fn is_not_what_the_proxy_answers_by_itself() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.worker.reply(bench.stream, local_response(431, "too_large", ""));
    assert!(bench.effects().iter().any(|effect| effect.contains(":status=431")));
    assert_eq!(bench.journal(), [""; 0]);
}

#[test]
fn may_be_followed_by_its_request() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.response(false);
    assert_eq!(bench.request(true), ["request :method=POST end"]);
    assert_eq!(bench.headers(Direction::Response, &[(":status", "404")], true), [""; 0], "a second one");
    assert_eq!(bench.response_body("abc", true), ["response body abc end"]);
    assert_eq!(bench.journal(), ["a: response headers 1", "a: request headers 1 end", "a: response body abc end"]);
}
