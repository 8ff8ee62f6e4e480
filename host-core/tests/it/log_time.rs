//! Log, clock, timer.

use std::time::Duration;

use crate::common::{Setup, during, get, http_call};
use portcullis_core::abi::{CallbackId, LogLevel};
use portcullis_core::engine::{CallStack, Trap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, Direction, StreamInfo};
use portcullis_core::testing::{LoggedLine, NullCaller};
use portcullis_core::vm::{CallOutcome, VmFailed};

fn log(caller: &mut NullCaller<'_>, level: i32, message: &[u8]) -> i32 {
    let (message, len) = caller.put(message);
    entry::proxy_log(caller, level, message, len).unwrap()
}

#[test]
fn a_line_is_logged_with_its_level_and_plugin() {
    let started = during(CallbackId::on_tick, |caller| {
        for level in 0..=5 {
            assert_eq!(log(caller, level, format!("at {level}").as_bytes()), 0);
        }
        assert_eq!(log(caller, 2, b""), 0);
        assert_eq!(entry::proxy_log(caller, 2, 0, 0).unwrap(), 0);
    });
    let lines = started.host.lines();
    for (line, level) in lines.iter().zip(LogLevel::ALL) {
        let message = format!("at {}", *level as i32);
        assert_eq!(*line, LoggedLine { level: *level, message, plugin: "plugin".into(), stream: 0, from_host: false });
    }
    assert_eq!(lines.len(), 8);
}

/// By this number the lines of a request are found, in all VMs and in callouts.
#[test]
fn lines_carry_the_number_of_their_stream() {
    for (callback, stream) in [(CallbackId::on_request_headers, 7), (CallbackId::on_log, 7), (CallbackId::on_tick, 0)] {
        let info = StreamInfo { id: 7, ..StreamInfo::default() };
        let started = Setup::stream(info).during(callback, |caller| assert_eq!(log(caller, 2, b"here"), 0));
        let lines = started.host.lines();
        assert_eq!(lines.iter().map(|line| line.stream).collect::<Vec<_>>(), [stream], "{callback}");
    }
    let info = StreamInfo { id: 7, ..StreamInfo::default() };
    let trap = |_: &mut NullCaller<'_>, _: &[i32]| Err(Trap::Deadline(CallStack::default()));
    let mut started = Setup::stream(info).try_on(CallbackId::on_log, trap).start();
    let stream = started.stream();
    assert_eq!(started.vm.on_log(stream), Err(VmFailed));
    let lines = started.host.lines();
    assert_eq!(lines.iter().map(|line| (line.stream, line.from_host)).collect::<Vec<_>>(), [(7, true)]);
}

/// Answers are told to a root; its lines belong to the stream that asked.
#[test]
fn lines_about_an_answer_carry_the_number_of_the_stream_that_asked() {
    let info = StreamInfo { id: 7, ..StreamInfo::default() };
    let mut started = Setup::stream(info)
        .on(CallbackId::on_request_headers, |caller, _| {
            http_call(caller, "up", &get("/"), b"").unwrap();
            let (name, len) = caller.put(b"a.test");
            assert_eq!(entry::envoy_resolve_dns(caller, name, len, 16).unwrap(), 0);
            0
        })
        .on(CallbackId::on_http_call_response, |caller, _| log(caller, 2, b"answered"))
        .on(CallbackId::envoy_on_resolve_dns, |caller, _| log(caller, 2, b"found"))
        .on(CallbackId::on_tick, |caller, _| log(caller, 2, b"ticked"))
        .start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    while let Some(action) = started.vm.next_action() {
        match action {
            Action::HttpCall { call, .. } => {
                started.vm.on_http_call_response(call, CallOutcome::Reset("x".to_owned())).unwrap();
            }
            Action::ResolveDns { id, .. } => started.vm.on_resolve_dns(id, &[]).unwrap(),
            _ => {}
        }
    }
    started.vm.on_tick(started.root).unwrap();
    let lines = started.host.lines();
    let lines: Vec<_> = lines.iter().map(|line| (line.message.as_str(), line.stream)).collect();
    assert_eq!(lines, [("answered", 7), ("found", 7), ("ticked", 0)]);
}

#[test]
fn a_level_beyond_critical_is_a_bad_argument_before_the_pointer_is_looked_at() {
    let started = during(CallbackId::on_tick, |caller| {
        for level in [6, 100, -1] {
            assert_eq!(entry::proxy_log(caller, level, -1, -1).unwrap(), 2);
        }
        assert_eq!(entry::proxy_log(caller, 2, -16, 0).unwrap(), 6, "length 0 does not excuse the pointer");
        assert_eq!(entry::proxy_log(caller, 2, 1 << 20, 0).unwrap(), 0, "the end of memory is inside");
        assert_eq!(entry::proxy_log(caller, 2, (1 << 20) + 1, 0).unwrap(), 6);
    });
    assert_eq!(started.host.messages(), [""]);
}

#[test]
fn a_level_that_is_not_logged_is_known_to_the_guest_and_dropped() {
    let setup = Setup::new();
    setup.host.set_log_level(LogLevel::Warn);
    let started = setup.during(CallbackId::on_tick, |caller| {
        assert_eq!((entry::proxy_get_log_level(caller, 16).unwrap(), caller.word(16)), (0, 3));
        assert_eq!(entry::proxy_get_log_level(caller, -1).unwrap(), 6);
        assert_eq!((log(caller, 2, b"info"), log(caller, 3, b"warn")), (0, 0));
    });
    assert_eq!(started.host.messages(), ["warn"]);
}

#[test]
fn the_time_is_nanoseconds_at_any_address() {
    let setup = Setup::new();
    setup.host.set_time(0x0102_0304_0506_0708);
    setup.during(CallbackId::on_request_headers, |caller| {
        for pointer in [17, 0] {
            assert_eq!(entry::proxy_get_current_time_nanoseconds(caller, pointer).unwrap(), 0);
            assert_eq!((caller.word(pointer), caller.word(pointer + 4)), (0x0506_0708, 0x0102_0304));
        }
        assert_eq!(entry::proxy_get_current_time_nanoseconds(caller, (1 << 20) - 7).unwrap(), 6);
    });
}

#[test]
fn the_tick_period_is_the_roots_whoever_sets_it_and_0_ends_it() {
    let mut started = Setup::new()
        .on(CallbackId::on_request_headers, |caller, _| {
            for period in [5, -1, 250] {
                assert_eq!(entry::proxy_set_tick_period_milliseconds(caller, period).unwrap(), 0);
            }
            0
        })
        .on(CallbackId::on_tick, |caller, _| entry::proxy_set_tick_period_milliseconds(caller, 0).unwrap())
        .start();
    let (root, stream) = (started.root, started.stream());
    assert_eq!(started.vm.tick_period(root), None);
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(started.actions(), [Action::SetTick { root }], "one is enough");
    assert_eq!(started.vm.tick_period(root), Some(Duration::from_millis(250)));
    started.vm.on_tick(root).unwrap();
    assert_eq!(started.actions(), [Action::SetTick { root }]);
    assert_eq!(started.vm.tick_period(root), None);
}
