//! Buffers.

use crate::common::{Setup, body, during};
use bytes::Bytes;
use portcullis_core::abi::{AbiVersion, BufferType, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, Limits};
use portcullis_core::testing::NullCaller;
use portcullis_core::vm::VmConfig;

fn read(caller: &mut NullCaller<'_>, buffer: BufferType, start: i32, max_len: i32) -> Result<Vec<u8>, i32> {
    caller.bytes(|caller, p, l| entry::proxy_get_buffer_bytes(caller, buffer as i32, start, max_len, p, l))
}

fn write(caller: &mut NullCaller<'_>, buffer: BufferType, start: i32, len: i32, data: &[u8]) -> i32 {
    let (data, data_len) = caller.put(data);
    entry::proxy_set_buffer_bytes(caller, buffer as i32, start, len, data, data_len).unwrap()
}

fn len(caller: &mut NullCaller<'_>, buffer: BufferType) -> Result<u32, i32> {
    match entry::proxy_get_buffer_status(caller, buffer as i32, 16, 20).unwrap() {
        0 => {
            assert_eq!(caller.word(20), 0, "flags are always 0");
            Ok(caller.word(16))
        }
        status => Err(status),
    }
}

fn setup() -> Setup {
    let mut setup = Setup::new();
    setup.config.vm.configuration = Bytes::from_static(b"of the vm");
    setup.plugin.configuration = Bytes::from_static(b"of the plugin");
    setup
}

/// In a callback these buffers hold this, and the others what they hold elsewhere.
fn check(callback: CallbackId, held: &'static [(BufferType, &str)]) {
    use BufferType as B;
    setup().during(callback, move |caller| {
        for buffer in BufferType::ALL.iter().copied() {
            let held = held.iter().find(|(which, _)| *which == buffer).map(|(_, bytes)| bytes.as_bytes().to_vec());
            let expected = match (held, buffer) {
                (Some(bytes), _) => Ok(bytes),
                (None, B::VmConfiguration) => Ok(b"of the vm".to_vec()),
                (None, B::HttpCallResponseBody | B::PluginConfiguration | B::CallData) => Err(1),
                (None, _) => Ok(Vec::new()),
            };
            assert_eq!(len(caller, buffer), expected.clone().map(|bytes| bytes.len().try_into().unwrap()));
            assert_eq!(caller.buffer(buffer), expected, "{callback} {buffer:?}");
            let status = match (&expected, buffer) {
                (Err(status), _) => *status,
                (Ok(bytes), B::HttpRequestBody | B::HttpResponseBody) if !bytes.is_empty() => 0,
                _ => 2,
            };
            assert_eq!(caller.set_buffer(buffer, b"x"), status, "{callback} {buffer:?}");
        }
    });
}

#[test]
fn each_callback_sees_its_buffers_and_no_others() {
    use BufferType::{HttpCallResponseBody, HttpRequestBody, HttpResponseBody, PluginConfiguration};
    use CallbackId as C;
    for none in [C::on_vm_start, C::on_tick, C::on_request_headers, C::on_response_trailers, C::on_log, C::on_done] {
        check(none, &[]);
    }
    check(C::on_context_create, &[(PluginConfiguration, "of the plugin")]);
    check(C::on_configure, &[(PluginConfiguration, "of the plugin")]);
    check(C::on_request_body, &[(HttpRequestBody, "hello")]);
    check(C::on_response_body, &[(HttpResponseBody, "hello")]);
    check(C::on_http_call_response, &[(HttpCallResponseBody, "hello")]);
}

#[test]
fn the_plugins_configuration_is_not_to_be_had_while_a_stream_is_created() {
    let mut started = setup()
        .on(CallbackId::on_context_create, |caller, args| {
            let expected = if args[1] == 0 { Ok(b"of the plugin".to_vec()) } else { Err(1) };
            assert_eq!(caller.buffer(BufferType::PluginConfiguration), expected);
            0
        })
        .start();
    started.stream();
    assert_eq!(started.called(CallbackId::on_context_create), 2);
}

#[test]
fn in_abi_0_1_0_one_hostcall_reads_whichever_configuration_is_meant() {
    let configuration = |caller: &mut NullCaller<'_>| caller.bytes(entry::proxy_get_configuration);
    let mut setup = setup();
    setup.config = VmConfig { vm: setup.config.vm, ..VmConfig::new(AbiVersion::V0_1_0) };
    let mut started = setup
        .on(CallbackId::on_context_create, move |caller, args| {
            let expected = if args[1] == 0 { &b"of the plugin"[..] } else { b"of the vm" };
            assert_eq!(configuration(caller).unwrap(), expected);
            1
        })
        .on(CallbackId::on_vm_start, move |caller, _| i32::from(configuration(caller).unwrap() == b"of the vm"))
        .on(CallbackId::on_configure, move |caller, _| i32::from(configuration(caller).unwrap() == b"of the plugin"))
        .on(CallbackId::on_tick, move |caller, _| {
            assert_eq!(configuration(caller).unwrap(), b"of the vm");
            1
        })
        .start();
    started.stream();
    started.vm.on_tick(started.root).unwrap();
    assert_eq!(started.calls().len(), 5);
}

#[test]
fn a_buffer_type_beyond_the_last_is_a_bad_argument_before_any_pointer_is_looked_at() {
    during(CallbackId::on_request_body, |caller| {
        for buffer in [9, 100, -1] {
            assert_eq!(entry::proxy_get_buffer_bytes(caller, buffer, 0, 1, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_get_buffer_status(caller, buffer, -1, -1).unwrap(), 2);
            assert_eq!(entry::proxy_set_buffer_bytes(caller, buffer, 0, 1, -1, -1).unwrap(), 2);
        }
    });
}

#[test]
fn availability_is_checked_before_memory() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!(entry::proxy_get_buffer_bytes(caller, 7, 0, 1, -1, -1).unwrap(), 1);
        assert_eq!(entry::proxy_get_buffer_status(caller, 4, -1, -1).unwrap(), 1);
        assert_eq!(entry::proxy_set_buffer_bytes(caller, 0, 0, 1, -1, -1).unwrap(), 2);
    });
}

#[test]
fn a_read_is_cut_to_what_there_is() {
    during(CallbackId::on_request_body, |caller| {
        let buffer = BufferType::HttpRequestBody;
        assert_eq!(read(caller, buffer, 0, i32::MAX).unwrap(), b"hello", "as Go asks");
        assert_eq!(read(caller, buffer, 0, -1).unwrap(), b"hello", "as Rust asks");
        assert_eq!(read(caller, buffer, 2, 2).unwrap(), b"ll", "over the border of two chunks");
        assert_eq!(read(caller, buffer, 2, -2).unwrap(), b"llo", "the sum is past 32 bits");
        for (start, len) in [(5, 1), (6, 1), (-1, -1), (0, 0)] {
            assert_eq!(entry::proxy_get_buffer_bytes(caller, 0, start, len, 8, 12).unwrap(), 0);
            assert_eq!((caller.word(8), caller.word(12)), (0, 0), "{start} {len}");
        }
    });
}

#[test]
fn a_write_prepends_replaces_or_appends_by_its_range() {
    let cases: [(i32, i32, &str, &str); 9] = [
        (0, 0, "x", "xhello"),
        (0, 2, "x", "xllo"),
        (0, i32::MAX, "x", "x"),
        (0, -1, "x", "x"),
        (0, -1, "", ""),
        (5, 0, "x", "hellox"),
        (-1, -1, "x", "hellox"),
        (2, 2, "xyz", "hexyzo"),
        (2, 0, "x", "hexllo"),
    ];
    for (start, len, data, expected) in cases {
        let mut started = Setup::new()
            .on(CallbackId::on_response_body, move |caller, _| {
                assert_eq!(write(caller, BufferType::HttpResponseBody, start, len, data.as_bytes()), 0);
                assert_eq!(caller.buffer(BufferType::HttpResponseBody).unwrap(), expected.as_bytes());
                0
            })
            .start();
        let stream = started.stream();
        started.vm.stream(stream).unwrap().lend_body(Direction::Response, body());
        started.vm.on_body(stream, Direction::Response, true).unwrap();
        let taken = started.vm.stream(stream).unwrap().take_body(Direction::Response).unwrap();
        assert_eq!(taken.to_bytes(), expected, "the embedder gets what the guest wrote");
    }
}

#[test]
fn a_body_does_not_outgrow_its_limit_and_what_is_replaced_makes_room() {
    let mut setup = Setup::new();
    setup.config.vm.limits = Limits::default().with_buffer(8);
    setup.during(CallbackId::on_request_body, |caller| {
        let buffer = BufferType::HttpRequestBody;
        assert_eq!(write(caller, buffer, 5, 0, b"1234"), 2);
        assert_eq!(caller.buffer(buffer).unwrap(), b"hello");
        assert_eq!(write(caller, buffer, 0, -1, b"12345678"), 0);
        assert_eq!(write(caller, buffer, 4, 4, b"abcd"), 0);
        assert_eq!(caller.buffer(buffer).unwrap(), b"1234abcd");
        assert_eq!(write(caller, buffer, 0, 0, b"x"), 2);
    });
}
