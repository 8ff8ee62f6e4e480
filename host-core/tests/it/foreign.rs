//! Foreign functions.

use crate::common::{Setup, Started};
use portcullis_core::abi::{CallbackId, Status};
use portcullis_core::engine::Caller;
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Action, Limits};
use portcullis_core::resources::ForeignFunctions;
use portcullis_core::testing::NullCaller;

const NOWHERE: i32 = 0;

fn functions() -> ForeignFunctions {
    ForeignFunctions::default()
        .with("reverse", |call| {
            call.result.extend(call.arguments.iter().rev());
            Ok(())
        })
        .with("fail", |call| {
            call.result.extend_from_slice(b"why");
            Err(Status::BadArgument)
        })
        .with("who", |call| {
            let name = call.plugin().map(|plugin| plugin.name.clone()).unwrap_or_default();
            call.result.extend_from_slice(name.as_bytes());
            Ok(())
        })
        .with("declare", |call| {
            let path = call.arguments;
            if call.declare_property(path, true) { Ok(()) } else { Err(Status::BadArgument) }
        })
        .with("route", |call| {
            call.clear_route_cache();
            call.with_stream(|info| info.connection_id).map(drop).ok_or(Status::NotFound)
        })
}

fn call(caller: &mut NullCaller<'_>, name: &str, arguments: &[u8], ret_ptr: i32, ret_len: i32) -> i32 {
    let ((name, name_len), (arguments, len)) = (caller.put(name.as_bytes()), caller.put(arguments));
    entry::proxy_call_foreign_function(caller, name, name_len, arguments, len, ret_ptr, ret_len).unwrap()
}

fn during(id: CallbackId, run: impl FnMut(&mut NullCaller<'_>) + Send + 'static) -> Started {
    let mut setup = Setup::new();
    setup.config.foreign = functions();
    setup.during(id, run)
}

fn result(caller: &mut NullCaller<'_>) -> Vec<u8> {
    let (at, len) = (caller.word(16) as usize, caller.word(20) as usize);
    caller.split().0[at..at + len].to_vec()
}

#[test]
fn the_result_is_the_guests() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!((call(caller, "reverse", b"abc", 16, 20), result(caller)), (0, b"cba".to_vec()));
        assert_eq!((call(caller, "who", b"", 16, 20), result(caller)), (0, b"plugin".to_vec()));
        assert_eq!((call(caller, "reverse", b"", 16, 20), caller.word(16), caller.word(20)), (0, 0, 0));
    });
}

#[test]
fn a_function_that_fails_may_say_why() {
    during(CallbackId::on_tick, |caller| {
        assert_eq!((call(caller, "fail", b"", 16, 20), result(caller)), (2, b"why".to_vec()));
    });
}

#[test]
fn an_unknown_function_writes_nothing() {
    during(CallbackId::on_tick, |caller| {
        caller.split().0[16..24].fill(0xff);
        for name in ["", "Reverse", "reverse\0"] {
            assert_eq!(call(caller, name, b"abc", 16, 20), 1, "{name:?}");
        }
        assert_eq!((caller.word(16), caller.word(20)), (u32::MAX, u32::MAX));
    });
}

#[test]
fn null_means_not_wanted_and_other_bad_pointers_are_noticed_before_the_call() {
    during(CallbackId::on_tick, |caller| {
        caller.split().0[..24].fill(0xff);
        assert_eq!(call(caller, "reverse", b"abc", NOWHERE, NOWHERE), 0);
        assert_eq!((call(caller, "reverse", b"abc", NOWHERE, 20), caller.word(20)), (0, 3));
        assert_eq!((call(caller, "reverse", b"ab", 16, NOWHERE), caller.word(20)), (0, 3));
        assert_eq!(caller.word(0), u32::MAX, "address 0 is not written");
        assert_eq!(call(caller, "reverse", b"abc", -1, 20), 6);
        assert_eq!(call(caller, "reverse", b"abc", 16, -1), 6);
        assert_eq!(entry::proxy_call_foreign_function(caller, -1, 1, 0, 0, 16, 20).unwrap(), 6);
        assert_eq!(entry::proxy_call_foreign_function(caller, 0, 0, -1, 1, 16, 20).unwrap(), 6);
    });
}

#[test]
fn a_function_may_act_on_the_stream() {
    let mut started = during(CallbackId::on_request_headers, |caller| {
        assert_eq!(call(caller, "route", b"", NOWHERE, NOWHERE), 0);
    });
    assert!(matches!(started.actions()[..], [Action::ClearRouteCache { .. }]));
    let mut started = during(CallbackId::on_tick, |caller| {
        assert_eq!(call(caller, "route", b"", NOWHERE, NOWHERE), 1, "a root is no stream");
    });
    assert!(started.actions().is_empty());
}

#[test]
fn a_property_that_is_declared_beyond_the_budget_is_told_of() {
    let mut setup = Setup::new();
    setup.config.foreign = functions();
    setup.config.vm.limits.buffers = Limits::ENTRY_COST + 4;
    let started = setup.during(CallbackId::on_tick, |caller| {
        assert_eq!(call(caller, "declare", b"once", NOWHERE, NOWHERE), 0);
        assert_eq!(call(caller, "declare", b"once", NOWHERE, NOWHERE), 2, "declared once");
        assert_eq!(call(caller, "declare", &[b'x'; 8193], NOWHERE, NOWHERE), 2, "too long");
        caller.log("so far of the budget nothing was said");
        assert_eq!(call(caller, "declare", b"more", NOWHERE, NOWHERE), 2);
    });
    let said = started.host.messages();
    let [first, second] = &said[..] else { panic!("{said:?}") };
    assert!(first.starts_with("so far") && second.starts_with("limits.buffers is used up: "), "{said:?}");
}

#[test]
fn a_property_may_be_declared_to_be_set_once() {
    during(CallbackId::on_request_headers, |caller| {
        assert_eq!(call(caller, "declare", b"once", NOWHERE, NOWHERE), 0);
        assert_eq!(call(caller, "declare", b"once", NOWHERE, NOWHERE), 2, "declared once");
        let mut set = |name: &[u8], value: &[u8]| {
            let ((name, name_len), (value, len)) = (caller.put(name), caller.put(value));
            entry::proxy_set_property(caller, name, name_len, value, len).unwrap()
        };
        assert_eq!((set(b"once", b"1"), set(b"once", b"2")), (0, 2));
        assert_eq!((set(b"often", b"1"), set(b"often", b"2")), (0, 0));
        for more in 1_u16..256 {
            assert_eq!(call(caller, "declare", &more.to_le_bytes(), NOWHERE, NOWHERE), 0);
        }
        assert_eq!(call(caller, "declare", b"more", NOWHERE, NOWHERE), 2, "too many");
    });
}
