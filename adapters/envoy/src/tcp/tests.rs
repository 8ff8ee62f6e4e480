use std::sync::Arc;

use portcullis::abi::PeerType;
use portcullis::model::Direction::{self, Request, Response};
use portcullis::model::Headers;
use portcullis_core::abi::{BufferType, CallbackId};
use portcullis_core::hostcall::entry;
use portcullis_core::testing::Script;

use super::{DataStatus, Filter};
use crate::envoy::{NotStarted, Requests, Scheduler, StreamAttributes, Tcp};
use crate::process::{Loaded, Process};
use crate::testing::{Lines, NoAttributes, loaded, spec};

/// A connection. What is injected or closed stands in `seen`.
#[derive(Debug, Default)]
struct Connection {
    data: [Vec<u8>; 2],
    seen: Vec<String>,
    limit: u32,
}

impl Connection {
    /// Gives data to the filter; returns what Envoy passes on with them.
    fn give(&mut self, filter: &Filter, direction: Direction, data: &str, end: bool) -> (DataStatus, String) {
        self.data[direction as usize] = data.as_bytes().to_vec();
        let status = filter.data(self, direction, end);
        (status, String::from_utf8(std::mem::take(&mut self.data[direction as usize])).unwrap())
    }
}

impl Tcp for Connection {
    fn worker(&self) -> usize {
        0
    }

    fn id(&self) -> u64 {
        7
    }

    fn buffer_limit(&self) -> u32 {
        self.limit
    }

    fn data(&self, direction: Direction) -> bytes::Bytes {
        self.data[direction as usize].clone().into()
    }

    fn drain(&mut self, direction: Direction, length: usize) {
        self.data[direction as usize].drain(..length);
    }

    fn append(&mut self, direction: Direction, data: &[u8]) {
        self.data[direction as usize].extend_from_slice(data);
    }

    fn inject(&mut self, direction: Direction, data: &[u8], end: bool) {
        self.seen.push(format!("{direction:?} {} {end}", data.escape_ascii()));
    }

    fn go_on(&mut self) {
        self.seen.push("goes on".to_owned());
    }

    fn close(&mut self, details: &[u8]) {
        self.seen.push(format!("closes {}", details.escape_ascii()));
    }

    fn cut(&mut self, details: &[u8]) {
        self.seen.push(format!("cuts {}", details.escape_ascii()));
    }

    fn stop_reading(&mut self, stop: bool) {
        self.seen.push(format!("stops {stop}"));
    }

    fn set_filter_state(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.seen.push(format!("{} is {}", key.escape_ascii(), value.escape_ascii()));
        true
    }

    fn scheduler(&mut self) -> Option<Box<dyn Scheduler>> {
        None
    }

    fn attributes(&mut self) -> Arc<dyn StreamAttributes> {
        Arc::new(NoAttributes)
    }
}

impl Requests for Connection {
    fn start(&mut self, _: &str, _: &Headers, _: &[u8], _: bool) -> Result<u64, NotStarted> {
        Err(NotStarted::CLUSTER)
    }

    fn send(&mut self, _: u64, _: &[u8], _: bool) -> bool {
        false
    }

    fn send_trailers(&mut self, _: u64, _: &Headers) -> bool {
        false
    }

    fn reset(&mut self, _: u64) {}
}

fn begin(script: fn() -> Script) -> (Connection, Filter) {
    let mut connection = Connection::default();
    let filter = Filter::new(&loaded(script), &mut connection).unwrap();
    (connection, filter)
}

#[test]
fn data_take_the_place_of_what_came() {
    let (mut connection, filter) = begin(|| {
        Script::new().on(CallbackId::on_downstream_data, |caller, _| {
            assert_eq!(caller.set_buffer(BufferType::DownstreamData, b"other"), 0);
            0
        })
    });
    assert_eq!(filter.connected(&mut connection), DataStatus::Continue);
    assert_eq!(connection.give(&filter, Request, "abc", false), (DataStatus::Continue, "other".to_owned()));
    assert_eq!(connection.give(&filter, Response, "def", true), (DataStatus::Continue, "def".to_owned()));
    assert!(connection.seen.is_empty(), "{:?}", connection.seen);
    filter.closed(&mut connection, PeerType::Remote);
    filter.finish();
}

#[test]
fn data_that_a_plugin_holds_stop_and_come_later() {
    let (mut connection, filter) = begin(|| {
        Script::new().on(CallbackId::on_downstream_data, |_, args| if args.get(2) == Some(&0) { 1 } else { 0 })
    });
    filter.connected(&mut connection);
    assert_eq!(connection.give(&filter, Request, "abc", false), (DataStatus::StopIteration, String::new()));
    let last = connection.give(&filter, Request, "def", true);
    let seen = connection.seen.join("");
    assert!(last == (DataStatus::Continue, "abcdef".to_owned()) || seen == "Request abcdef true", "{last:?} {seen}");
    filter.finish();
}

#[test]
fn a_client_is_not_read_while_plugins_hold_as_much_as_they_may() {
    let mut connection = Connection { limit: 4, ..Connection::default() };
    let loaded =
        loaded(|| Script::new().on(CallbackId::on_downstream_data, |_, args| i32::from(args.get(1) != Some(&9))));
    let filter = Filter::new(&loaded, &mut connection).unwrap();
    filter.connected(&mut connection);
    connection.give(&filter, Request, "abcdef", false);
    assert_eq!(connection.seen, ["stops true"]);
    connection.give(&filter, Request, "ghi", false);
    assert_eq!(connection.seen.last().map(String::as_str), Some("stops false"), "{:?}", connection.seen);
    filter.finish();
}

#[test]
fn a_connection_is_cut_when_plugins_hold_as_much_of_the_upstreams_data_as_they_may() {
    let lines = Lines::default();
    let process = Arc::new(Process::new(1, Arc::new(lines.clone())).unwrap());
    let script = || Script::new().on(CallbackId::on_upstream_data, |_, _| 1);
    let loaded = Arc::new(Loaded::start(&process, &[spec(script)]).unwrap());
    let mut connection = Connection { limit: 4, ..Connection::default() };
    let filter = Filter::new(&loaded, &mut connection).unwrap();
    filter.connected(&mut connection);
    connection.give(&filter, Response, "abc", false);
    assert!(connection.seen.is_empty(), "{:?}", connection.seen);
    connection.give(&filter, Response, "def", false);
    assert_eq!(connection.seen, ["cuts portcullis_upstream_data_held"]);
    assert_eq!(connection.give(&filter, Response, "ghi", false).0, DataStatus::StopIteration);
    assert_eq!(connection.seen.len(), 1, "{:?}", connection.seen);
    assert!(lines.all().iter().any(|line| line.contains("the plugin script holds")), "{lines}");
    filter.finish();
}

#[test]
fn what_plugins_set_is_filter_state() {
    let (mut connection, filter) = begin(|| {
        Script::new().on(CallbackId::on_downstream_data, |caller, _| {
            let ((path, path_len), (value, value_len)) = (caller.put(b"mine"), caller.put(b"value"));
            entry::proxy_set_property(caller, path, path_len, value, value_len).unwrap_or(-1)
        })
    });
    filter.connected(&mut connection);
    connection.give(&filter, Request, "abc", false);
    connection.give(&filter, Response, "abc", false);
    assert_eq!(connection.seen, ["wasm.mine is value"]);
    filter.finish();
}

#[test]
fn a_plugin_that_fails_cuts_its_connection() {
    let (mut connection, filter) = begin(|| {
        Script::new().try_on(CallbackId::on_downstream_data, |_, _| {
            Err(portcullis_core::engine::Trap::Wasm(
                portcullis_core::engine::WasmTrap::Unreachable,
                portcullis_core::engine::CallStack::default(),
            ))
        })
    });
    filter.connected(&mut connection);
    assert_eq!(connection.give(&filter, Request, "abc", false).0, DataStatus::StopIteration);
    assert!(connection.seen.iter().any(|seen| seen.starts_with("cuts ")), "{:?}", connection.seen);
    assert_eq!(connection.give(&filter, Response, "abc", false).0, DataStatus::StopIteration);
    filter.finish();
}
