//! Headers callbacks: what each result value does, who sees what in which order.

use crate::common::{Bench, continue_both, plugin, recorder, ticking, with_headers_stop};
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Direction;
use portcullis_core::testing::Script;

/// How far a result value stops a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    Nothing,
    Headers,
    All,
}

fn stopping(bench: &mut Bench, direction: Direction) -> Stop {
    let name = if direction == Direction::Request { "request" } else { "response" };
    bench.journal();
    let effects = match direction {
        Direction::Request => bench.request(false),
        Direction::Response => bench.response(false),
    };
    let body = bench.body(direction, "abc", false);
    let seen = bench.journal().contains(&format!("a: {name} body abc"));
    match (effects.len(), body.len(), seen) {
        (1, 1, true) => Stop::Nothing,
        (0, 2, true) => Stop::Headers,
        (0, 0, false) => Stop::All,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_result_value() {
    let cases = [
        (0, Stop::Nothing, Stop::Nothing),
        (1, Stop::All, Stop::Headers),
        (2, Stop::Nothing, Stop::Nothing),
        (3, Stop::All, Stop::All),
        (4, Stop::All, Stop::All),
        (5, Stop::All, Stop::All),
        (1000, Stop::All, Stop::All),
        (-1, Stop::All, Stop::All),
        (i32::MIN, Stop::All, Stop::All),
    ];
    for (value, usual, allowed) in cases {
        let request = plugin("a", move || recorder(&[(CallbackId::on_request_headers, &[value])]));
        let response = plugin("a", move || recorder(&[(CallbackId::on_response_headers, &[value])]));
        let mut bench = Bench::new(std::slice::from_ref(&request));
        assert_eq!(stopping(&mut bench, Direction::Request), usual, "{value}");
        let mut bench = Bench::new(&[with_headers_stop(request)]);
        assert_eq!(stopping(&mut bench, Direction::Request), allowed, "{value}, allowed");
        for (spec, expected) in [(response.clone(), usual), (with_headers_stop(response), allowed)] {
            let mut bench = Bench::new(&[spec]);
            bench.request(true);
            assert_eq!(stopping(&mut bench, Direction::Response), expected, "{value}, response");
        }
    }
}

#[test]
fn requests_pass_in_order_and_responses_in_reverse() {
    let mut bench = Bench::new(&["a", "b", "c"].map(|name| plugin(name, || recorder(&[]))));
    bench.request(true);
    bench.response(true);
    let expected = [
        "a: request headers 1 end",
        "b: request headers 1 end",
        "c: request headers 1 end",
        "c: response headers 1 end",
        "b: response headers 1 end",
        "a: response headers 1 end",
    ];
    assert_eq!(bench.journal(), expected);
}

/// Adds its name to the headers of both directions.
fn signing(name: &'static str) -> Script {
    let sign = move |map| {
        move |caller: &mut portcullis_core::testing::NullCaller<'_>, _: &[i32]| {
            let before = caller.header(map, "x").unwrap_or_default();
            caller.log(&format!("after {before:?}"));
            assert_eq!(caller.add_header(map, "X", name), 0);
            0
        }
    };
    Script::new()
        .on(CallbackId::on_request_headers, sign(MapType::RequestHeaders))
        .on(CallbackId::on_response_headers, sign(MapType::ResponseHeaders))
}

#[test]
fn edits_are_seen_by_the_next_and_at_the_end() {
    let mut bench = Bench::new(&[plugin("a", || signing("a")), plugin("b", || signing("b"))]);
    assert_eq!(bench.request(true), ["request :method=POST x=a x=b end"]);
    assert_eq!(bench.response(true), ["response :status=200 x=b x=a end"]);
    assert_eq!(bench.journal(), ["a: after \"\"", "b: after \"a\"", "b: after \"\"", "a: after \"b\""]);
}

#[test]
fn the_response_code_is_known_at_once_and_the_one_that_leaves_at_the_end() {
    let script = || {
        Script::new().on(CallbackId::on_response_headers, |caller, _| {
            let (path, path_len) = caller.put(b"response\0code");
            assert_eq!(entry::proxy_get_property(caller, path, path_len, 0, 4).ok(), Some(0));
            let (key, key_len) = caller.put(b":status");
            let (value, value_len) = caller.put(b"204");
            let map = MapType::ResponseHeaders as i32;
            entry::proxy_replace_header_map_value(caller, map, key, key_len, value, value_len).unwrap_or(-1)
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(true);
    assert_eq!(bench.response(true), ["response :status=204 end"]);
    assert_eq!(bench.info.with(|info| info.response_code), Some(204));
}

#[test]
fn the_end_stays_with_headers_that_are_held() {
    for value in [1, 3, 4] {
        let script = move || ticking(recorder(&[(CallbackId::on_request_headers, &[value])]), continue_both);
        for spec in [plugin("a", script), with_headers_stop(plugin("a", script))] {
            let mut bench = Bench::new(&[spec, plugin("b", || recorder(&[]))]);
            assert_eq!(bench.request(true), [""; 0]);
            assert_eq!(bench.tick(), ["request :method=POST end"]);
            assert_eq!(bench.journal(), ["a: request headers 1 end", "b: request headers 1 end"]);
        }
    }
}

#[test]
fn a_plugin_without_callbacks_is_not_in_the_way() {
    let mut bench = Bench::new(&[plugin("a", Script::new), plugin("b", Script::new)]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", false), ["request body abc"]);
    assert_eq!(bench.request_trailers(), ["request trailers t=1"]);
    assert_eq!(bench.response(true), ["response :status=200 end"]);
}

#[test]
fn a_chain_without_plugins_passes_everything() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.request(false), ["request :method=POST"]);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
    assert_eq!(bench.response(false), ["response :status=200"]);
    assert_eq!(bench.response_trailers(), ["response trailers t=1"]);
    assert_eq!(bench.finish(), [""; 0]);
}

#[test]
fn a_second_response_is_ignored() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(true);
    assert_eq!(bench.response(false), ["response :status=200"]);
    assert_eq!(bench.response(true), [""; 0]);
    assert_eq!(bench.response_body("abc", true), ["response body abc end"]);
    assert_eq!(bench.response_body("more", true), [""; 0], "nothing comes behind the end");
}
