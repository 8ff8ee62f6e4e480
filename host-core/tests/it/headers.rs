//! Header maps.

use crate::common::{Setup, during, get, pairs};
use portcullis_core::abi::{AbiVersion, CallbackId, MapType, Status};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Direction, Headers};
use portcullis_core::testing::NullCaller;

const ALL: &[MapType] = MapType::ALL;
const BAD_ARGUMENT: i32 = Status::BadArgument as i32;

fn replace(caller: &mut NullCaller<'_>, map: i32, name: &[u8], value: &[u8]) -> i32 {
    let ((k, kl), (v, vl)) = (caller.put(name), caller.put(value));
    entry::proxy_replace_header_map_value(caller, map, k, kl, v, vl).unwrap()
}

fn remove(caller: &mut NullCaller<'_>, map: i32, name: &str) -> i32 {
    let (k, kl) = caller.put(name.as_bytes());
    entry::proxy_remove_header_map_value(caller, map, k, kl).unwrap()
}

fn set(caller: &mut NullCaller<'_>, map: i32, bytes: &[u8]) -> i32 {
    let (p, l) = caller.put(bytes);
    entry::proxy_set_header_map_pairs(caller, map, p, l).unwrap()
}

fn get_pairs(caller: &mut NullCaller<'_>, map: i32) -> Result<Vec<u8>, i32> {
    caller.bytes(|caller, p, l| entry::proxy_get_header_map_pairs(caller, map, p, l))
}

fn size(caller: &mut NullCaller<'_>, map: i32) -> Result<u32, i32> {
    match entry::proxy_get_header_map_size(caller, map, 16).unwrap() {
        0 => Ok(caller.word(16)),
        status => Err(status),
    }
}

/// In a callback, these maps can be read and these written; the others say `get` and 2.
fn check_availability(callback: CallbackId, read: &'static [MapType], write: &'static [MapType], otherwise: i32) {
    during(callback, move |caller| {
        for map in ALL.iter().copied() {
            let number = map as i32;
            let (readable, writable) = (read.contains(&map), write.contains(&map));
            let status = if readable { Status::NotFound as i32 } else { otherwise };
            assert_eq!(caller.header(map, "absent"), Err(status), "{callback} get {map:?}");
            let bytes = get_pairs(caller, number).unwrap();
            assert_eq!(bytes.is_empty(), !readable, "{callback} pairs {map:?}");
            assert_eq!(size(caller, number).is_ok(), readable, "{callback} size {map:?}");
            let status = if writable { 0 } else { BAD_ARGUMENT };
            assert_eq!(remove(caller, number, "absent"), status, "{callback} remove {map:?}");
            assert_eq!(caller.add_header(map, "n", "v"), status, "{callback} add {map:?}");
            assert_eq!(replace(caller, number, b"n", b"w"), status, "{callback} replace {map:?}");
            assert_eq!(set(caller, number, &bytes), status, "{callback} set {map:?}");
        }
    });
}

#[test]
fn each_callback_sees_its_maps_and_no_others() {
    use CallbackId as C;
    use MapType::{
        HttpCallResponseHeaders, HttpCallResponseTrailers, RequestHeaders, RequestTrailers, ResponseHeaders,
        ResponseTrailers,
    };
    for none in [C::on_vm_start, C::on_configure, C::on_tick, C::on_request_body, C::on_response_body, C::on_done] {
        check_availability(none, &[], &[], BAD_ARGUMENT);
    }
    check_availability(C::on_request_headers, &[RequestHeaders], &[RequestHeaders], BAD_ARGUMENT);
    check_availability(C::on_request_trailers, &[RequestTrailers], &[RequestTrailers], BAD_ARGUMENT);
    check_availability(C::on_response_headers, &[ResponseHeaders], &[ResponseHeaders], BAD_ARGUMENT);
    check_availability(C::on_response_trailers, &[ResponseTrailers], &[ResponseTrailers], BAD_ARGUMENT);
    let answer = &[HttpCallResponseHeaders, HttpCallResponseTrailers];
    check_availability(C::on_http_call_response, answer, &[], BAD_ARGUMENT);
    let logged = &[RequestHeaders, ResponseHeaders, ResponseTrailers];
    check_availability(C::on_log, logged, &[], Status::NotFound as i32);
}

#[test]
fn a_map_type_beyond_the_last_is_a_bad_argument_before_any_pointer_is_looked_at() {
    during(CallbackId::on_request_headers, |caller| {
        for map in [8, 9, -1, i32::MAX] {
            assert_eq!(entry::proxy_get_header_map_value(caller, map, -1, -1, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_add_header_map_value(caller, map, -1, -1, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_replace_header_map_value(caller, map, -1, -1, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_remove_header_map_value(caller, map, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_get_header_map_pairs(caller, map, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_set_header_map_pairs(caller, map, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_get_header_map_size(caller, map, -1).unwrap(), 2);
        }
    });
}

#[test]
fn bad_memory_is_found_before_a_map_that_is_not_there() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::proxy_get_header_map_value(caller, 0, -16, 0, 8, 12).unwrap(), 6);
        assert_eq!(entry::proxy_add_header_map_value(caller, 0, 0, 0, -16, 0).unwrap(), 6);
        assert_eq!(entry::proxy_set_header_map_pairs(caller, 0, 0, -1).unwrap(), 6);
    });
}

#[test]
fn names_have_no_case_and_the_first_value_is_the_one_that_is_read() {
    during(CallbackId::on_request_headers, |caller| {
        let map = MapType::RequestHeaders;
        assert_eq!(caller.header(map, "X-ID").as_deref(), Ok("7"));
        assert_eq!(caller.add_header(map, "X-UpPer", "1"), 0);
        assert_eq!(caller.header(map, "x-UPPER").as_deref(), Ok("1"));
        assert_eq!(replace(caller, 0, b"X-Id", b"9"), 0);
        assert_eq!(remove(caller, 0, ":METHOD"), 0);
        let expected = [(":path", "/p?q"), (":authority", "a.test"), ("x-id", "9"), ("empty", ""), ("x-upper", "1")];
        assert_eq!(get_pairs(caller, 0).unwrap(), pairs(&expected.into_iter().collect()));
        assert_eq!(remove(caller, 0, "x-id"), 0);
        assert_eq!(caller.header(map, "x-id"), Err(1), "all values are removed");
    });
}

#[test]
fn an_empty_value_is_found_at_address_0_and_an_absent_one_is_not() {
    during(CallbackId::on_request_headers, |caller| {
        let (key, len) = caller.put(b"empty");
        assert_eq!(entry::proxy_get_header_map_value(caller, 0, key, len, 8, 12).unwrap(), 0);
        assert_eq!((caller.word(8), caller.word(12)), (0, 0));
        assert_eq!(caller.header(MapType::RequestHeaders, "absent"), Err(1));
    });
}

#[test]
fn in_abi_0_1_0_an_absent_value_is_an_empty_one() {
    Setup::abi(AbiVersion::V0_1_0).during(CallbackId::on_request_headers, |caller| {
        assert_eq!(caller.header(MapType::RequestHeaders, "absent").as_deref(), Ok(""));
        assert_eq!(caller.header(MapType::ResponseHeaders, "absent"), Err(2), "a map that is not there");
    });
    Setup::abi(AbiVersion::V0_1_0).during(CallbackId::on_log, |caller| {
        assert_eq!(caller.header(MapType::RequestTrailers, "absent").as_deref(), Ok(""));
    });
}

#[test]
fn pairs_are_set_whole_or_not_at_all() {
    during(CallbackId::on_request_headers, |caller| {
        let before = get_pairs(caller, 0).unwrap();
        assert_eq!(before, pairs(&get("/p?q")));
        assert_eq!(usize::try_from(size(caller, 0).unwrap()).unwrap(), before.len());
        assert_eq!(set(caller, 0, &before[..before.len() - 1]), BAD_ARGUMENT, "malformed");
        assert_eq!(get_pairs(caller, 0).unwrap(), before, "and nothing has changed");
        let other: Headers = [("A", "1"), ("a", "2")].into_iter().collect();
        assert_eq!(set(caller, 0, &pairs(&other)), 0);
        assert_eq!(get_pairs(caller, 0).unwrap(), pairs(&other));
        for empty in [&b""[..], b"\0", b"\0\0\0\0"] {
            assert_eq!(set(caller, 0, empty), 0);
            assert_eq!(get_pairs(caller, 0).unwrap(), b"", "never 4 zero bytes");
        }
    });
}

#[test]
fn trailers_that_do_not_exist_are_created_by_a_write_and_not_by_a_read() {
    for created in [true, false] {
        let setup = Setup::new().on(CallbackId::on_request_body, move |caller, _| {
            assert_eq!(caller.header(MapType::RequestTrailers, "t"), Err(2));
            assert_eq!(size(caller, 1), Err(2));
            assert_eq!(remove(caller, 1, "t"), 0);
            if created { caller.add_header(MapType::RequestTrailers, "t", "1") } else { 0 }
        });
        let mut started = setup.start();
        let stream = started.stream();
        started.vm.stream(stream).unwrap().lend_trailers(Direction::Request, None, Access::Write);
        started.vm.on_body(stream, Direction::Request, true).unwrap();
        let taken = started.vm.stream(stream).unwrap().take_trailers(Direction::Request);
        assert_eq!(taken.is_some(), created);
    }
}

#[test]
fn a_full_map_takes_no_more_but_lets_its_values_be_replaced() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            let map = MapType::RequestHeaders;
            let full: Headers = (0..1024).map(|n| (format!("n{n}"), "v")).collect();
            assert_eq!(set(caller, 0, &pairs(&full)), 0);
            assert_eq!(caller.add_header(map, "more", ""), BAD_ARGUMENT);
            assert_eq!(replace(caller, 0, b"more", b""), BAD_ARGUMENT);
            assert_eq!(replace(caller, 0, b"n7", b"longer"), 0);
            assert_eq!(caller.header(map, "n7").as_deref(), Ok("longer"));
            assert_eq!(replace(caller, 0, b"n7", &vec![b'x'; 600 << 10]), 0, "there is 1 MiB");
            0
        })
        .on(CallbackId::on_request_body, |caller, _| {
            assert_eq!(replace(caller, 0, b"n7", &vec![b'y'; 600 << 10]), 0, "what it replaces makes room");
            assert_eq!(replace(caller, 0, b"n8", &vec![b'y'; 600 << 10]), BAD_ARGUMENT);
            0
        })
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, Headers::new(), Access::Write);
    started.vm.on_headers(stream, Direction::Request, false).unwrap();
    started.vm.on_body(stream, Direction::Request, false).unwrap();
    assert_eq!(started.called(CallbackId::on_request_body), 1);
}
