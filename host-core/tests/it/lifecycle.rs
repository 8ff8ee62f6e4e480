//! Start functions, contexts, the ends of roots and streams, traps.

use std::sync::Arc;

use crate::common::{Setup, during, get};
use bytes::Bytes;
use portcullis_core::abi::{CallbackId, DataStatus, HeadersStatus, TrailersStatus};
use portcullis_core::engine::{CallStack, StartError, Trap, WasmTrap};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Access, Action, ContextId, Direction, Plugin};
use portcullis_core::vm::VmFailed;

const START: &[CallbackId] = &[CallbackId::start, CallbackId::main_void, CallbackId::main, CallbackId::initialize];

fn trap() -> Trap {
    Trap::Wasm(WasmTrap::Unreachable, CallStack::default())
}

#[test]
fn initialize_goes_before_main_and_start_is_for_those_without_it() {
    let order = |exports: &[CallbackId]| {
        let (vm, _, calls, _) = Setup::new().returning(0, exports).vm();
        vm.unwrap();
        let calls = std::mem::take(&mut *calls.lock().unwrap());
        calls.into_iter().map(|(id, args)| (id, args.len())).collect::<Vec<_>>()
    };
    assert_eq!(order(START), [(CallbackId::initialize, 0), (CallbackId::main, 2)]);
    assert_eq!(order(&[START[1], START[3]]), [(CallbackId::initialize, 0), (CallbackId::main_void, 0)]);
    assert_eq!(order(&START[..3]), [(CallbackId::start, 0)], "main alone is not called");
    assert_eq!(order(&[CallbackId::main, CallbackId::main_void]), []);
    assert_eq!(order(&[]), []);
}

#[test]
fn a_trap_in_a_start_function_is_a_vm_that_did_not_start() {
    let (vm, ..) = Setup::new().try_on(CallbackId::initialize, |_, _| Err(trap())).vm();
    assert_eq!(vm.unwrap_err().to_string(), "_initialize failed: trap: unreachable");
}

#[test]
fn a_plugin_starts_with_its_root_then_the_vm_then_its_configuration() {
    use CallbackId::{on_configure, on_context_create, on_vm_start};
    let mut setup = Setup::new().returning(1, &[on_configure, on_vm_start, on_context_create]);
    setup.config.vm.configuration = Bytes::from_static(b"12");
    setup.plugin.configuration = Bytes::from_static(b"123");
    let mut started = setup.start();
    let expected = [(on_context_create, vec![1, 0]), (on_vm_start, vec![1, 2]), (on_configure, vec![1, 3])];
    assert_eq!(started.calls(), expected);
    let second = started.vm.add_plugin(Arc::new(Plugin::new("second"))).unwrap();
    assert_eq!(second.to_string(), "2");
    assert_eq!(started.calls()[1], (on_vm_start, vec![2, 2]), "once for each plugin");
    let stream = started.stream();
    assert_eq!(started.calls(), [(on_context_create, vec![3, 1])], "roots and streams share one counter");
    assert_eq!((stream.to_string(), started.vm.context_count()), ("3".into(), 3));
}

#[test]
fn a_plugin_may_refuse_and_one_without_callbacks_does_not() {
    let start = |setup: Setup| {
        let (vm, plugin, ..) = setup.vm();
        vm.unwrap().add_plugin(Arc::new(plugin)).map(drop)
    };
    assert!(start(Setup::new()).is_ok());
    let refused = start(Setup::new().returning(0, &[CallbackId::on_vm_start]));
    assert!(matches!(refused, Err(StartError::VmStart { plugin }) if plugin == "plugin"));
    let refused = start(Setup::new().returning(0, &[CallbackId::on_configure]));
    assert!(matches!(refused, Err(StartError::Configure { plugin }) if plugin == "plugin"));
    let trapped = start(Setup::new().try_on(CallbackId::on_configure, |_, _| Err(trap())));
    assert!(matches!(trapped, Err(StartError::Trap { during: "proxy_on_configure", .. })));
}

#[test]
fn a_root_that_asks_for_time_is_pending_until_it_says_that_it_is_done() {
    let mut started = Setup::new()
        .on(CallbackId::on_done, |caller, _| {
            assert_eq!(entry::proxy_done(caller).unwrap(), 1, "inside proxy_on_done it is too soon");
            0
        })
        .on(CallbackId::on_tick, |caller, _| entry::proxy_done(caller).unwrap())
        .returning(0, &[CallbackId::on_delete])
        .start();
    let tick = |started: &mut crate::common::Started| {
        started.vm.on_tick(started.root).unwrap();
        started.actions()
    };
    assert_eq!(tick(&mut started), [], "nobody has asked it to end");
    assert!(!started.vm.end_root(started.root).unwrap());
    assert_eq!(started.called(CallbackId::on_delete), 0);
    let root = started.root;
    assert_eq!(tick(&mut started), [Action::RootDone { root }]);
    assert_eq!(tick(&mut started), [], "twice is not found");
    started.vm.delete(root).unwrap();
    assert_eq!((started.called(CallbackId::on_delete), started.vm.context_count()), (1, 0));
}

#[test]
fn proxy_done_counts_for_the_root_also_from_a_stream() {
    let mut started = Setup::new()
        .returning(0, &[CallbackId::on_done])
        .on(CallbackId::on_request_headers, |caller, _| {
            assert_eq!(entry::proxy_done(caller).unwrap(), 0);
            assert_eq!(entry::proxy_done(caller).unwrap(), 1);
            0
        })
        .start();
    let stream = started.stream();
    assert!(!started.vm.end_root(started.root).unwrap());
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(started.actions(), [Action::RootDone { root: started.root }]);
}

#[test]
fn proxy_done_of_a_stream_that_ends_is_not_found() {
    let mut started = during(CallbackId::on_done, |caller| assert_eq!(entry::proxy_done(caller).unwrap(), 1));
    assert_eq!(started.actions(), []);
}

#[test]
fn a_root_without_proxy_on_done_is_done() {
    let mut started = Setup::new().start();
    assert!(started.vm.end_root(started.root).unwrap());
}

#[test]
fn after_a_trap_nothing_is_called_in_the_vm_any_more() {
    use CallbackId as C;
    let rest = [
        C::on_context_create,
        C::on_configure,
        C::on_tick,
        C::on_request_body,
        C::on_request_trailers,
        C::on_http_call_response,
        C::on_log,
        C::on_done,
        C::on_delete,
    ];
    let mut started = Setup::new().returning(1, &rest).try_on(C::on_request_headers, |_, _| Err(trap())).start();
    let (root, stream) = (started.root, started.stream());
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    assert_eq!(started.vm.on_headers(stream, Direction::Request, true), Err(VmFailed));
    assert_eq!(started.vm.failure(), Some("trap: unreachable"));
    assert_eq!(started.host.messages(), ["proxy_on_request_headers failed: trap: unreachable"]);
    assert_eq!(started.host.failures(), ["plugin: trap in proxy_on_request_headers"]);
    started.calls();
    let vm = &mut started.vm;
    assert_eq!(vm.on_headers(stream, Direction::Request, true), Err(VmFailed));
    assert_eq!(vm.on_body(stream, Direction::Request, true), Err(VmFailed));
    assert_eq!(vm.on_trailers(stream, Direction::Request), Err(VmFailed));
    assert_eq!(vm.on_tick(root), Err(VmFailed));
    assert_eq!(vm.on_log(stream), Err(VmFailed));
    assert_eq!(vm.on_done(stream), Err(VmFailed));
    assert_eq!(vm.create_stream(root, portcullis_core::model::StreamInfo::default().into_shared()), Err(VmFailed));
    assert_eq!(vm.end_root(root), Err(VmFailed));
    assert!(vm.add_plugin(Arc::new(Plugin::new("late"))).is_err());
    let headers = vm.stream(stream).unwrap().take_headers(Direction::Request);
    assert_eq!(headers, Some(get("/")), "what was lent comes back");
    assert_eq!(vm.delete(stream), Err(VmFailed));
    assert!(vm.stream(stream).is_none());
    assert_eq!(started.calls(), []);
    assert_eq!(started.host.messages().len(), 1, "it is said once");
    assert_eq!(started.host.failures().len(), 1, "and counted once");
}

#[test]
fn failures_have_their_reason_in_one_word() {
    use CallbackId as C;
    let stack = CallStack::default;
    for (trap, reason) in [
        (Trap::Exit(1), "exit"),
        (Trap::Abort(String::new()), "abort"),
        (Trap::Deadline(stack()), "deadline"),
        (Trap::Stack(stack()), "stack"),
        (Trap::Wasm(WasmTrap::DivisionByZero, stack()), "trap"),
    ] {
        let trap = std::sync::Mutex::new(Some(trap));
        let mut started =
            Setup::new().try_on(C::on_tick, move |_, _| Err(trap.lock().unwrap().take().unwrap())).start();
        assert_eq!(started.vm.on_tick(started.root), Err(VmFailed));
        assert_eq!(started.host.failures(), [format!("plugin: {reason} in proxy_on_tick")]);
    }
    for callback in [C::on_vm_start, C::on_configure] {
        let (vm, plugin, _, host) = Setup::new().on(callback, |_, _| 0).vm();
        assert!(vm.unwrap().add_plugin(Arc::new(plugin)).is_err());
        assert_eq!(host.failures(), [format!("plugin: refused in {callback}")]);
    }
}

#[test]
fn proc_exit_and_abort_end_the_vm_with_their_reason() {
    let failure = |setup: Setup| {
        let mut started = setup.start();
        assert_eq!(started.vm.on_tick(started.root), Err(VmFailed));
        started.vm.failure().unwrap().to_owned()
    };
    let exit = Setup::new().try_on(CallbackId::on_tick, |caller, _| entry::proc_exit(caller, 3).map(|()| 0));
    assert_eq!(failure(exit), "the plugin called proc_exit(3)");
    let abort = Setup::new().try_on(CallbackId::on_tick, |caller, _| {
        let (text, _) = caller.put(b"\x04\0\0\0n\0o\0");
        entry::abort(caller, text + 4, -1, 7, 8).map(|()| 0)
    });
    assert_eq!(failure(abort), "the plugin aborted: no at :7:8");
}

#[test]
fn what_filters_return_is_read_as_deployed_hosts_read_it() {
    use DataStatus as D;
    use HeadersStatus as H;
    let headers = |value, allow| {
        let mut setup = Setup::new().returning(value, &[CallbackId::on_request_headers]);
        setup.plugin.allow_on_headers_stop_iteration = allow;
        let mut started = setup.start();
        let stream = started.stream();
        started.vm.on_headers(stream, Direction::Request, false).unwrap()
    };
    let all = H::StopAllAndWatermark;
    let expected =
        [(0, H::Continue), (1, all), (2, H::Continue), (3, H::StopAllAndBuffer), (4, all), (5, all), (-1, all)];
    for (value, status) in expected {
        assert_eq!(headers(value, false), status, "{value}");
    }
    assert_eq!(headers(1, true), H::StopIteration);
    let mut body = [0, 1, 2, 3, 4, -1].map(D::from_guest).into_iter();
    assert!(body.by_ref().take(3).eq([D::Continue, D::StopAndBuffer, D::StopAndWatermark]));
    assert!(body.all(|status| status == D::StopNoBuffer));
    let trailers = [0, 1, 2, -1].map(TrailersStatus::from_guest);
    assert_eq!(trailers.map(|status| status == TrailersStatus::Continue), [true, false, false, false]);
}

#[test]
fn a_header_callback_is_called_in_the_shape_in_which_it_is_exported() {
    let callbacks = [CallbackId::on_request_headers_0_1_0, CallbackId::on_response_headers];
    let mut started = Setup::new().returning(0, &callbacks).start();
    let stream = started.stream();
    started.vm.stream(stream).unwrap().lend_headers(Direction::Request, get("/"), Access::Write);
    started.vm.on_headers(stream, Direction::Request, true).unwrap();
    started.vm.on_headers(stream, Direction::Response, true).unwrap();
    assert_eq!(started.calls(), [(callbacks[0], vec![2, 6]), (callbacks[1], vec![2, 0, 1])]);
}

#[test]
fn logging_has_the_vm_context_for_start_functions_and_no_plugin() {
    let (vm, _, _, host) = Setup::new()
        .on(CallbackId::initialize, |caller, _| {
            assert_eq!(caller.acting(), ContextId::VM);
            caller.log("early");
            0
        })
        .vm();
    vm.unwrap();
    assert_eq!(host.lines()[0].plugin, "");
    assert_eq!(host.messages(), ["early"]);
}
