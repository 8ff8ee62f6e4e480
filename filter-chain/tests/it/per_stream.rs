//! Plugins whose streams each have a VM. What engines do for it is tested in `portcullis`.

use crate::common::{Bench, answering, call_out, continue_both, recorder, trap, vm_counts, with_policy};
use bytes::Bytes;
use portcullis_chain::{Effect, PluginSpec, Worker};
use portcullis_core::abi::{BufferType, CallbackId, MapType};
use portcullis_core::hostcall::entry;
use portcullis_core::model::{Direction, FailurePolicy, StreamInfo};
use portcullis_core::resources::{GrpcEvent, Host};
use portcullis_core::testing::{FakeHost, Script};
use portcullis_core::vm::CallOutcome;

const HEADERS: CallbackId = CallbackId::on_request_headers;

/// A plugin with a VM for each stream.
fn per_stream(script: impl Fn() -> Script + Clone + Send + Sync + 'static) -> PluginSpec {
    crate::common::per_stream("a", script)
}

/// Logs each callback with the id of its stream's context, and makes a callout when the request comes.
fn calling() -> Script {
    let script = recorder(&[]).on(HEADERS, |caller, args| {
        let call = call_out(caller);
        caller.log(&format!("request of {} calls {call}", args[0]));
        1
    });
    answering(script, continue_both)
}

#[test]
fn each_stream_has_a_vm_from_its_first_callback_to_its_last() {
    let mut bench = Bench::new(&[per_stream(|| recorder(&[]))]);
    assert_eq!(vm_counts(&bench.worker), (0, 0), "none before anything has come");
    bench.request(true);
    let first = bench.open();
    bench.request(true);
    assert_eq!(vm_counts(&bench.worker), (2, 0));
    assert_eq!(bench.finish(), ["a: log", "a: done", "a: delete"]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.turn_to(first);
    bench.response(true);
    assert_eq!(bench.finish(), ["a: log", "a: done", "a: delete"]);
    assert_eq!(vm_counts(&bench.worker), (0, 0));
    bench.worker.shut_down();
    assert_eq!((bench.worker.pending_roots(), bench.journal()), (0, vec![]), "no root is told of an end");
}

#[test]
fn a_callout_lets_its_own_stream_go_on() {
    let mut bench = Bench::new(&[per_stream(calling)]);
    bench.request(true);
    let first = bench.open();
    bench.request(true);
    // The contexts have the same ids, and so have the callouts.
    assert_eq!(bench.journal(), ["a: request of 2 calls 4"; 2]);
    assert_eq!(bench.worker_effects(), ["callout to auth"; 2]);
    assert_eq!(bench.answer_callout(), [""; 0], "that was the first's");
    assert_eq!(bench.worker_effects(), ["wake another"]);
    assert_eq!(bench.answer_callout(), ["request :method=POST end"]);
    bench.turn_to(first);
    assert_eq!(bench.effects(), ["request :method=POST end"]);
}

#[test]
fn a_vm_waits_for_the_callouts_of_a_stream_that_is_over() {
    let mut bench = Bench::new(&[per_stream(calling)]);
    bench.request(true);
    bench.finish();
    assert_eq!(bench.worker_effects(), ["callout to auth"]);
    assert_eq!(vm_counts(&bench.worker), (1, 0));
    bench.answer_callout();
    assert_eq!(bench.journal(), ["a: answer 4 headers 1"]);
    assert_eq!(vm_counts(&bench.worker), (0, 0));
}

#[test]
fn not_all_that_wait_without_a_stream_can_be_kept() {
    let mut bench = Bench::new(&[per_stream(calling)]);
    for _ in 0..300 {
        bench.request(true);
        bench.finish();
        bench.open();
    }
    assert_eq!(vm_counts(&bench.worker), (256, 0));
    let effects = bench.worker_effects();
    assert_eq!(effects.iter().filter(|effect| *effect == "cancel").count(), 44);
    let told = bench.host.messages().into_iter().filter(|line| line.contains("of further ones are given up")).count();
    assert_eq!(told, 1, "not once for each");
    assert!(bench.host.lines().iter().any(|line| line.message.contains("are given up") && line.plugin == "a"));
    // When answers come there is room again.
    bench.answer_callout();
    bench.request(true);
    bench.finish();
    assert_eq!(vm_counts(&bench.worker), (256, 0));
}

#[test]
fn a_grpc_stream_ends_with_its_stream() {
    let script = || {
        recorder(&[]).on(HEADERS, |caller, _| {
            let (upstream, len) = caller.put(b"auth");
            assert_eq!(entry::proxy_grpc_stream(caller, upstream, len, 0, 0, 0, 0, 0, 0, 16).unwrap(), 0);
            0
        })
    };
    let mut bench = Bench::new(&[per_stream(script)]);
    bench.request(true);
    assert!(matches!(bench.worker.effect(), Some(Effect::GrpcStart { .. })));
    bench.finish();
    assert_eq!((bench.worker_effects(), vm_counts(&bench.worker)), (vec!["cancel".to_owned()], (0, 0)));
}

#[test]
fn a_trap_is_the_affair_of_one_stream() {
    for (policy, effects) in [
        (FailurePolicy::Closed, ["request done", "response :status=503 end"].as_slice()),
        (FailurePolicy::Reload, &["request done", "response :status=503 end"]),
        (FailurePolicy::Open, &["request :method=POST end"]),
    ] {
        let script = || {
            recorder(&[]).try_on(HEADERS, |caller, _| match caller.header(MapType::RequestHeaders, "trap") {
                Ok(_) => Err(trap()),
                Err(_) => Ok(0),
            })
        };
        let mut bench = Bench::new(&[with_policy(per_stream(script), policy)]);
        let headers = [(":method", "POST"), ("trap", "1")];
        let seen = bench.headers(Direction::Request, &headers, true);
        assert_eq!(seen.len(), effects.len(), "{seen:?}");
        assert_eq!(vm_counts(&bench.worker), (0, 1));
        let failed = bench.open();
        assert_eq!(bench.request(true), ["request :method=POST end"]);
        bench.finish();
        bench.turn_to(failed);
        assert_eq!(bench.finish(), [""; 0], "nothing is called in it any more");
        assert_eq!(vm_counts(&bench.worker), (0, 0));
    }
}

#[test]
fn a_tcp_stream_has_a_vm_and_loses_it() {
    let script = || {
        recorder(&[]).try_on(CallbackId::on_downstream_data, |caller, _| {
            match caller.buffer(BufferType::DownstreamData).unwrap_or_default().as_slice() {
                b"trap" => Err(trap()),
                _ => Ok(0),
            }
        })
    };
    for (policy, goes_on) in [(FailurePolicy::Closed, false), (FailurePolicy::Open, true)] {
        let mut worker = Worker::new(|| Box::new(FakeHost::new()) as Box<dyn Host>);
        let chain = worker.load(&[with_policy(per_stream(script), policy)]).unwrap();
        let connect = |worker: &mut Worker| worker.connect(&chain, StreamInfo::default().into_shared(), 100);
        let (first, second) = (connect(&mut worker), connect(&mut worker));
        assert_eq!(vm_counts(&worker), (2, 0));
        worker.data(first, Direction::Request, Bytes::from_static(b"trap").into(), false);
        assert_eq!(vm_counts(&worker), (1, 1));
        let mut effects = String::new();
        while let Some(effect) = worker.connection_effect(first) {
            effects.push_str(&format!("{effect:?} "));
        }
        assert_eq!(effects.contains("Reset"), !goes_on, "{effects}");
        worker.finish_connection(first);
        worker.finish_connection(second);
        assert_eq!(vm_counts(&worker), (0, 0));
    }
}

#[test]
fn chains_share_a_plugin_and_not_its_vms() {
    let spec = per_stream(|| recorder(&[]));
    let host = FakeHost::new();
    let mut worker = Worker::new(move || Box::new(host.clone()) as Box<dyn Host>);
    let once = worker.load(std::slice::from_ref(&spec)).unwrap();
    assert_eq!(worker.load(std::slice::from_ref(&spec)).unwrap(), once);
    let twice = worker.load(&[spec.clone(), spec]).unwrap();
    let stream = worker.open(&twice, StreamInfo::default().into_shared(), 100);
    worker.headers(stream, Direction::Request, [(":method", "GET")].into_iter().collect(), true);
    assert_eq!(vm_counts(&worker), (2, 0), "one for each place in the chain");
    worker.finish(stream);
    assert_eq!(vm_counts(&worker), (0, 0));
}

#[test]
fn a_grpc_call_of_a_stream_that_is_over_is_made() {
    let script = || {
        let script = recorder(&[]).on(CallbackId::on_log, |caller, _| {
            let (upstream, len) = caller.put(b"auth");
            assert_eq!(entry::proxy_grpc_call(caller, upstream, len, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16).unwrap(), 0);
            0
        });
        script.on(CallbackId::on_grpc_receive, |caller, _| {
            caller.log("answer");
            0
        })
    };
    let mut bench = Bench::new(&[per_stream(script)]);
    bench.request(true);
    bench.finish();
    let Some(Effect::GrpcStart { id, .. }) = bench.worker.effect() else { panic!("no call") };
    assert_eq!((vm_counts(&bench.worker), bench.worker.pending_roots()), ((1, 0), 1), "a graceful stop waits for it");
    bench.worker.grpc_event(id, GrpcEvent::Message(Bytes::from_static(b"m")));
    assert_eq!((bench.journal(), vm_counts(&bench.worker)), (vec!["a: answer".to_owned()], (0, 0)));
}

/// Callouts in flight of a plugin are limited as those of one VM.
#[test]
fn callouts_of_all_streams_count_together() {
    let mut spec = per_stream(calling);
    spec.vm.limits.callouts = 2;
    let spec = crate::common::per_stream_of(&spec, calling);
    let mut bench = Bench::new(&[spec]);
    for call in ["4", "4", "-1"] {
        bench.request(true);
        assert_eq!(bench.journal(), [format!("a: request of 2 calls {call}")]);
        bench.open();
    }
}

/// A failed VM may go before its stream does; the stream must not find another one in its place.
#[test]
fn a_stream_whose_vm_has_gone_is_alone() {
    let script = || {
        let script = recorder(&[]).on(CallbackId::on_new_connection, |caller, _| {
            call_out(caller);
            0
        });
        script.try_on(CallbackId::on_http_call_response, |_, _| Err(trap()))
    };
    let host = FakeHost::new().with_upstream("auth");
    let mut worker = Worker::new(move || Box::new(host.clone()) as Box<dyn Host>);
    let specs = [with_policy(per_stream(script), FailurePolicy::Open)];
    let chain = worker.load(&specs).unwrap();
    let first = worker.connect(&chain, StreamInfo::default().into_shared(), 100);
    let Some(Effect::Callout { id, .. }) = worker.effect() else { panic!("no callout") };
    worker.callout_done(id, CallOutcome::Reset(String::new()));
    assert_eq!(vm_counts(&worker), (0, 0), "it has failed, and the stream goes on without it");
    let second = worker.connect(&chain, StreamInfo::default().into_shared(), 100);
    worker.finish_connection(first);
    assert_eq!(vm_counts(&worker), (1, 0), "the second stream's");
    worker.finish_connection(second);
}
