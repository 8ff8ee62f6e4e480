//! Properties, through the hostcalls.

use std::sync::Arc;

use crate::common::{Setup, during, get, pairs};
use portcullis_core::abi::CallbackId;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Attributes, Direction, StreamInfo};
use portcullis_core::testing::NullCaller;

/// A path with its segments joined by dots.
fn read(caller: &mut NullCaller<'_>, path: &str) -> Result<Vec<u8>, i32> {
    let (path, len) = caller.put(path.replace('.', "\0").as_bytes());
    caller.bytes(|caller, p, l| entry::proxy_get_property(caller, path, len, p, l))
}

fn write(caller: &mut NullCaller<'_>, path: &str, value: &[u8]) -> i32 {
    let ((path, len), (value, value_len)) = (caller.put(path.replace('.', "\0").as_bytes()), caller.put(value));
    entry::proxy_set_property(caller, path, len, value, value_len).unwrap()
}

#[test]
fn the_plugins_own_properties_are_there_from_the_first_callback_on() {
    for callback in [CallbackId::on_context_create, CallbackId::on_vm_start, CallbackId::on_tick, CallbackId::on_log] {
        during(callback, |caller| {
            assert_eq!(read(caller, "plugin_root_id").unwrap(), b"root");
            assert_eq!(read(caller, "plugin_root_id.").unwrap(), b"root", "the C++ SDK sends a NUL at the end");
            assert_eq!(read(caller, "plugin_name").unwrap(), b"plugin");
            assert_eq!(read(caller, "plugin_vm_id").unwrap(), b"vm");
        });
    }
}

#[test]
fn a_root_has_no_stream_to_read_or_write() {
    for callback in [CallbackId::on_configure, CallbackId::on_tick, CallbackId::on_http_call_response] {
        during(callback, |caller| {
            for path in ["request", "request.path", "response.code", "connection.id", "mine"] {
                assert_eq!(read(caller, path), Err(1), "{path}");
            }
            assert_eq!(write(caller, "mine", b"1"), 1);
            assert_eq!(read(caller, ""), Err(3));
        });
    }
}

#[test]
fn a_stream_reads_what_it_has_by_now() {
    let info = StreamInfo {
        source: "1.2.3.4:5".parse().ok(),
        protocol: "HTTP/1.1",
        start_time: 6,
        request_size: 7,
        connection_id: 8,
        ..StreamInfo::default()
    };
    Setup::stream(info).during(CallbackId::on_request_headers, |caller| {
        assert_eq!(read(caller, "request.path").unwrap(), b"/p?q");
        assert_eq!(read(caller, "request.url_path").unwrap(), b"/p");
        assert_eq!(read(caller, "request.query").unwrap(), b"q");
        assert_eq!(read(caller, "request.method").unwrap(), b"GET");
        assert_eq!(read(caller, "request.host").unwrap(), b"a.test");
        assert_eq!(read(caller, "request.headers.x-id").unwrap(), b"7,8");
        assert_eq!(read(caller, "request.headers").unwrap(), pairs(&get("/p?q")));
        assert_eq!(read(caller, "request.protocol").unwrap(), b"HTTP/1.1");
        assert_eq!(read(caller, "request.time").unwrap(), 6_u64.to_le_bytes());
        assert_eq!(read(caller, "request.size").unwrap(), 7_u64.to_le_bytes());
        assert_eq!(read(caller, "connection.id").unwrap(), 8_u64.to_le_bytes());
        assert_eq!(read(caller, "connection.mtls").unwrap(), [0]);
        assert_eq!(read(caller, "source.address").unwrap(), b"1.2.3.4:5");
        assert_eq!(read(caller, "source.port").unwrap(), 5_u64.to_le_bytes());
        for absent in ["response.code", "request.nothing", "request.path.more", "nothing", "request.headers.absent"] {
            assert_eq!(read(caller, absent), Err(1), "{absent}");
        }
        for unserializable in ["", ".", "request", "connection", "source"] {
            assert_eq!(read(caller, unserializable), Err(3), "{unserializable}");
        }
    });
}

#[test]
fn headers_that_no_plugin_holds_are_read_from_the_stream() {
    let info = StreamInfo { request_headers: Some(get("/kept")), response_code: Some(404), ..StreamInfo::default() };
    Setup::stream(info).during(CallbackId::on_response_headers, |caller| {
        assert_eq!(read(caller, "request.path").unwrap(), b"/kept");
        assert_eq!(read(caller, "response.headers.server").unwrap(), b"s");
        assert_eq!(read(caller, "response.code").unwrap(), 404_u64.to_le_bytes());
    });
}

#[test]
fn what_one_plugin_of_a_stream_sets_another_reads() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            assert_eq!(write(caller, "mine", b"1"), 0);
            assert_eq!(write(caller, "mine", b"2"), 0);
            assert_eq!(write(caller, "a.b", b"3"), 0);
            assert_eq!(write(caller, "empty", b""), 0);
            assert_eq!(write(caller, "plugin_name", b"other"), 0);
            assert_eq!(write(caller, "big", &vec![0; 256 << 10]), 2, "no room");
            assert_eq!(entry::proxy_set_property(caller, 0, -1, 0, 0).unwrap(), 6);
            assert_eq!(entry::proxy_set_property(caller, 0, 0, 0, -1).unwrap(), 6);
            0
        })
        .on(CallbackId::on_response_headers, |caller, _| {
            assert_eq!(read(caller, "mine").unwrap(), b"2");
            assert_eq!(read(caller, "a.b").unwrap(), b"3");
            assert_eq!(read(caller, "empty").unwrap(), b"");
            assert_eq!(read(caller, "plugin_name").unwrap(), b"plugin", "built-in names shadow it");
            assert_eq!(read(caller, "big"), Err(1));
            0
        })
        .start();
    let info = StreamInfo::default().into_shared();
    let first = started.vm.create_stream(started.root, info.clone()).unwrap();
    let second = started.vm.create_stream(started.root, info).unwrap();
    started.vm.stream(first).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    started.vm.on_headers(first, Direction::Request, true).unwrap();
    started.vm.on_headers(second, Direction::Response, true).unwrap();
    assert_eq!(started.called(CallbackId::on_response_headers), 1);
}

/// The driver's own properties.
#[derive(Debug)]
struct Driver;

impl Attributes for Driver {
    fn get(&self, path: &[u8], out: &mut Vec<u8>) -> bool {
        let is_known = path.starts_with(b"node") || path == b"connection\0mtls";
        out.extend(is_known.then_some(1));
        is_known
    }
}

#[test]
fn a_driver_is_asked_after_the_core_and_by_no_path_that_rules_take_from_the_plugin() {
    let with_driver = || StreamInfo { attributes: Some(Arc::new(Driver)), connection_id: 8, ..StreamInfo::default() };
    Setup::stream(with_driver()).during(CallbackId::on_request_headers, |caller| {
        for path in ["node", "node.id", "node.id.", "connection.mtls"] {
            assert_eq!(read(caller, path).unwrap(), [1], "{path}");
        }
        assert_eq!(read(caller, "connection.id").unwrap(), 8_u64.to_le_bytes());
        assert_eq!(read(caller, "else"), Err(1));
        assert_eq!(write(caller, "node.mine", b"2"), 0);
        assert_eq!(read(caller, "node.mine").unwrap(), [1], "a plugin stands in for no driver");
    });
    let rules: &[(&str, &str, &[&str])] = &[("proxy_get_property", "paths", &["*", "!node.id"])];
    let ruled = Setup::stream(with_driver()).ruled(rules).during(CallbackId::on_request_headers, |caller| {
        assert_eq!(read(caller, "node.id"), Err(10));
        assert_eq!(read(caller, "node"), Err(1), "it may be in there");
        assert_eq!(read(caller, "node.id.part"), Err(1), "it may be a part");
        assert_eq!(read(caller, "node.other").unwrap(), [1]);
    });
    assert_eq!(ruled.host.denials().len(), 1);
    // Whatever such an exclusion is of, it is nothing within a property that has no parts.
    let rules: &[(&str, &str, &[&str])] = &[("proxy_get_property", "paths", &["*", "!*.cookie"])];
    Setup::stream(with_driver()).ruled(rules).during(CallbackId::on_request_headers, |caller| {
        assert_eq!(read(caller, "connection.mtls").unwrap(), [1]);
        assert_eq!(read(caller, "node"), Err(1));
    });
}
