//! Trailers: passing, holding, making and removing them.

use crate::common::{Bench, continue_both, plugin, recorder, ticking, with_headers_stop};
use portcullis_core::abi::{CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::Direction;
use portcullis_core::testing::{NullCaller, Script};

const BODY: CallbackId = CallbackId::on_request_body;
const TRAILERS: CallbackId = CallbackId::on_request_trailers;

/// Adds request trailers; the status.
fn add(caller: &mut NullCaller<'_>) -> i32 {
    caller.add_header(MapType::RequestTrailers, "made", "1")
}

#[test]
fn they_pass_and_are_edited() {
    let script = || {
        recorder(&[]).on(TRAILERS, |caller, args| {
            assert_eq!(args[1], 1);
            assert_eq!(caller.header(MapType::RequestTrailers, "t"), Ok("1".to_owned()));
            add(caller)
        })
    };
    let mut bench = Bench::new(&[plugin("a", script), plugin("b", || recorder(&[]))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_trailers(), ["request trailers t=1 made=1"]);
    assert_eq!(bench.journal().last().map(String::as_str), Some("b: request trailers 2"));
}

#[test]
fn every_value_but_0_holds_them() {
    for value in [1, 2, 3, 100, -1] {
        let script = move || ticking(recorder(&[(TRAILERS, &[value])]), continue_both);
        let mut bench = Bench::new(&[plugin("a", script)]);
        bench.request(false);
        assert_eq!(bench.request_trailers(), [""; 0], "{value}");
        assert_eq!(bench.tick(), ["request trailers t=1"], "{value}");
    }
}

#[test]
fn continue_releases_all_that_was_held() {
    let results: &[(CallbackId, &[i32])] = &[(CallbackId::on_request_headers, &[1]), (BODY, &[1])];
    let first = with_headers_stop(plugin("a", move || recorder(results)));
    let mut bench = Bench::new(&[first, plugin("b", || recorder(&[]))]);
    assert_eq!(bench.request(false), [""; 0]);
    assert_eq!(bench.request_body("abc", false), [""; 0]);
    assert_eq!(bench.request_trailers(), ["request :method=POST", "request body abc", "request trailers t=1"]);
}

#[test]
fn held_with_headers_and_body_they_are_released_together() {
    let results: &[(CallbackId, &[i32])] = &[(CallbackId::on_request_headers, &[1]), (BODY, &[2]), (TRAILERS, &[1])];
    let mut bench = Bench::new(&[with_headers_stop(plugin("a", move || ticking(recorder(results), continue_both)))]);
    bench.request(false);
    bench.request_body("abc", false);
    assert_eq!(bench.request_trailers(), [""; 0]);
    assert_eq!(bench.tick(), ["request :method=POST", "request body abc", "request trailers t=1"]);
}

#[test]
fn trailers_without_body() {
    let mut bench = Bench::new(&[plugin("a", || recorder(&[]))]);
    bench.request(false);
    assert_eq!(bench.request_trailers(), ["request trailers t=1"]);
    assert_eq!(bench.journal(), ["a: request headers 1", "a: request trailers 1"]);
}

#[test]
fn the_last_body_callback_makes_them() {
    let script = || {
        recorder(&[]).on(BODY, |caller, args| {
            assert_eq!(add(caller), if args[2] == 1 { 0 } else { 2 }, "only at the end");
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script), plugin("b", || recorder(&[]))]);
    bench.request(false);
    assert_eq!(bench.request_body("abc", false), ["request body abc"]);
    assert_eq!(bench.request_body("de", true), ["request body de", "request trailers made=1"]);
    let journal = bench.journal();
    let expected = ["b: request headers 1", "b: request body abc", "b: request body de", "b: request trailers 1"];
    assert_eq!(journal.iter().filter(|line| line.starts_with("b")).collect::<Vec<_>>(), expected);
    assert!(!journal.contains(&"a: request trailers 1".to_owned()), "who made them knows them");
}

#[test]
fn trailers_that_are_made_take_the_end_from_an_empty_body() {
    let script = || recorder(&[]).on(BODY, |caller, _| add(caller));
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    assert_eq!(bench.request_body("", true), ["request trailers made=1"]);
}

#[test]
fn made_while_the_body_is_held_they_pass_when_it_does() {
    let when_called = || {
        ticking(recorder(&[]), continue_both).on(BODY, |caller, _| {
            assert_eq!(add(caller), 0);
            1
        })
    };
    let later = || {
        ticking(recorder(&[(BODY, &[1])]), |caller| {
            assert_eq!(add(caller), 0);
            continue_both(caller);
        })
    };
    for script in [Box::new(when_called) as Box<dyn Fn() -> Script + Send + Sync>, Box::new(later)] {
        let mut bench = Bench::new(&[plugin("a", script), plugin("b", || recorder(&[]))]);
        bench.request(false);
        assert_eq!(bench.request_body("abc", true), [""; 0]);
        assert_eq!(bench.tick(), ["request body abc", "request trailers made=1"]);
        assert_eq!(bench.journal().last().map(String::as_str), Some("b: request trailers 1"));
    }
}

#[test]
fn a_read_makes_none() {
    let script = || {
        recorder(&[]).on(BODY, |caller, _| {
            assert_ne!(caller.header(MapType::RequestTrailers, "t"), Ok(String::new()));
            0
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    assert_eq!(bench.request_body("abc", true), ["request body abc end"]);
}

/// Proxies that change messages in place have to see that trailers were removed.
#[test]
fn emptied_trailers_leave_as_trailers_without_any() {
    for direction in [Direction::Request, Direction::Response] {
        let script = || {
            let remove = |map: MapType| {
                move |caller: &mut NullCaller<'_>, _: &[i32]| {
                    let (key, len) = caller.put(b"t");
                    entry::proxy_remove_header_map_value(caller, map as i32, key, len).unwrap_or(-1)
                }
            };
            let script = recorder(&[]).on(TRAILERS, remove(MapType::RequestTrailers));
            script.on(CallbackId::on_response_trailers, remove(MapType::ResponseTrailers))
        };
        let mut bench =
            Bench::new(&[plugin("a", || recorder(&[])), plugin("b", script), plugin("c", || recorder(&[]))]);
        bench.request(false);
        let name = if direction == Direction::Request {
            "request"
        } else {
            bench.response(false);
            "response"
        };
        assert_eq!(bench.body(direction, "abc", false), [format!("{name} body abc")]);
        assert_eq!(bench.trailers(direction), [format!("{name} trailers ")]);
        let (before, after) = if direction == Direction::Request { ("a", "c") } else { ("c", "a") };
        let journal = bench.journal();
        assert_eq!(
            journal[journal.len() - 2..],
            [format!("{before}: {name} trailers 1"), format!("{after}: {name} trailers 0"),]
        );
        assert_eq!(bench.trailers(direction), [""; 0], "the direction is over");
    }
}

/// Trailers that a plugin has made and removed again are none that came, and are told all the same.
#[test]
fn trailers_that_were_made_and_removed_leave_as_trailers_without_any() {
    let script = || {
        recorder(&[]).on(BODY, |caller, _| {
            assert_eq!(add(caller), 0);
            let (key, len) = caller.put(b"made");
            entry::proxy_remove_header_map_value(caller, MapType::RequestTrailers as i32, key, len).unwrap_or(-1)
        })
    };
    let mut bench = Bench::new(&[plugin("a", script)]);
    bench.request(false);
    assert_eq!(bench.request_body("abc", true), ["request body abc", "request trailers "]);
}

#[test]
fn response_trailers_pass_in_reverse_and_are_made_likewise() {
    let script = || {
        recorder(&[]).on(CallbackId::on_response_body, |caller, args| match args[2] {
            1 => caller.add_header(MapType::ResponseTrailers, "made", "1"),
            _ => 0,
        })
    };
    let mut bench = Bench::new(&[plugin("a", || recorder(&[])), plugin("b", script)]);
    bench.request(true);
    bench.response(false);
    assert_eq!(bench.response_body("abc", true), ["response body abc", "response trailers made=1"]);
    assert_eq!(bench.journal().last().map(String::as_str), Some("a: response trailers 1"));
}
